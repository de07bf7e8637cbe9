// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PIPSecMB
import LRP2PReactor
import Testing

private let hasIPSecMB = (try? CipherSuites.make(.ipsecMB)) != nil

/// The knob that says whose code seals and opens datagrams.
@Suite(.serialized) struct AEADProviderTests {
  @Test func automaticTakesTheFasterThatIsThere() throws {
    let configuration = ReactorConfiguration()
    let reactor = try Reactor(
      configuration: configuration, identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    #expect(reactor.engine.aeadProvider == (hasIPSecMB ? "libipsec-mb" : "libsodium"))
  }

  @Test func libsodiumIsAlwaysThere() throws {
    var configuration = ReactorConfiguration()
    configuration.aeadProvider = .libsodium
    let reactor = try Reactor(
      configuration: configuration, identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    #expect(reactor.engine.aeadProvider == "libsodium")
  }

  @Test func whatIsAskedForAndMissingIsAnError() throws {
    var configuration = ReactorConfiguration()
    configuration.aeadProvider = .ipsecMB
    do throws(ReactorError) {
      let reactor = try Reactor(
        configuration: configuration, identity: Identity(), bind: .any(port: 0), accepting: .anyone)
      #expect(hasIPSecMB && reactor.engine.aeadProvider == "libipsec-mb")
    } catch {
      guard case .configuration(.unavailable(field: "aeadProvider", let reason)) = error else { throw error }
      #expect(!hasIPSecMB && reason.hasPrefix("libipsec-mb: "))
    }
  }

  /// Each speaks with the other, through many changes of the key; what was made of the keys goes with the connection.
  @Test(.enabled(if: hasIPSecMB, "there is no libipsec-mb"), arguments: AEAD.allCases)
  func bothSpeakWithEachOther(aead: AEAD) throws {
    let bytes: UInt64 = 8 << 20
    var configuration = ReactorConfiguration()
    configuration.aeadProvider = .ipsecMB
    configuration.engine.aeads = aead == .chacha20Poly1305 ? [aead] : [aead, .chacha20Poly1305]
    configuration.engine.keyEpochBits = 9
    var pair = try ReactorPair(
      configuration: configuration, clientSends: bytes, serverSends: bytes, clientProvider: .libsodium)
    _ = try pair.client.engine.connect(to: pair.server4, expecting: .key(pair.serverKey))
    let isDone = try pair.runUntilClosed(1)
    #expect(isDone)
    for handler in [pair.clientHandler, pair.serverHandler] {
      #expect(handler.mismatches == 0 && handler.violations == 0)
      #expect(handler.peers.values.allSatisfy { $0.closed == .finished && $0.received == bytes })
    }
    let suite = try #require(pair.server.engine.suite as? IPSecMBSuite)
    if aead == .aes256GCM, pair.server.engine.peers.inUse > 0 { #expect(suite.expandedKeyCount > 0) }
    pair.server.engine.wipe()
    #expect(suite.expandedKeyCount == 0)
  }
}

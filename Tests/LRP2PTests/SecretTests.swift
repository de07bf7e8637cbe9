// SPDX-License-Identifier: MIT
import CProcess
import Foundation
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// A key as the tests hold it: changed, so that none of their copies is found.
private struct Masked: Sendable {
  static let mask: UInt8 = 0xA5
  var bytes: [UInt8]

  init(_ key: borrowing SecretKey) {
    bytes = []
    for index in 0..<32 { bytes.append(key[index] ^ Self.mask) }
  }

  var isZero: Bool { bytes.allSatisfy { $0 == Self.mask } }
}

extension [Masked] {
  /// In how many places of the memory of the process each of them stands.
  fileprivate var places: [Int] {
    let all = flatMap(\.bytes)
    var places = [Int](repeating: -1, count: count)
    let seen = unsafe all.withUnsafeBufferPointer { all in
      unsafe places.withUnsafeMutableBytes {
        unsafe process_find(all.baseAddress!, count, Masked.mask, $0.baseAddress!.assumingMemoryBound(to: Int.self))
      }
    }
    #expect(seen > 1 << 20)
    return places
  }
}

/// In a frame of its own, which `wipeStack` of the caller overwrites.
@inline(never)
private func secret(of identity: Identity) -> Masked { Masked(identity.secretKey) }

/// Takes everybody, and keeps nothing of what they say.
private struct UnreadingHandler: ReceivingHandler {
  var connections = 0

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) { connections += 1 }
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
}

/// Where keys are, and that they are nowhere else and nowhere afterwards. Each test looks through the memory of the whole process.
@Suite(.serialized) struct SecretTests {
  /// The keys of both sides of a transfer that is under way.
  @inline(never)
  private func keys(of pair: borrowing ReactorPair, _ identity: Identity) -> [Masked] {
    var keys = [secret(of: identity)]
    for row in KeyRow.all(pair.server.engine.peers.keys.count) {
      keys.append(Masked(pair.server.engine.peers.keys[row].bytes))
    }
    for row in KeyRow.all(pair.client.engine.peers.keys.count) {
      keys.append(Masked(pair.client.engine.peers.keys[row].bytes))
    }
    for slot in Slot.all(pair.server.engine.peers.slots) where pair.server.engine.peers.flows.contains(slot) {
      keys.append(Masked(pair.server.engine.peers.flows[slot].previousKey.key.bytes))
    }
    return keys.filter { !$0.isZero }
  }

  /// Megabytes under keys that change, and then everything is dropped in the middle of it.
  @inline(never)
  private func transfer(_ provider: AEADProvider, _ aead: AEAD) throws -> [Masked] {
    var configuration = ReactorConfiguration()
    configuration.aeadProvider = provider
    configuration.engine.aeads = aead == .chacha20Poly1305 ? [aead] : [aead, .chacha20Poly1305]
    configuration.engine.keyEpochBits = 9
    let identity = Identity()
    var pair = try ReactorPair(
      configuration: configuration, clientSends: 8 << 20, serverSends: 8 << 20, serverIdentity: identity)
    _ = try pair.client.engine.connect(to: pair.server4, expecting: .key(pair.serverKey))
    var seen: [Masked] = []
    // Four epochs of 512 datagrams, and in the middle of the next.
    for part in 1...10 as ClosedRange<UInt64> {
      while pair.serverHandler.peers.values.first?.received ?? 0 < part * 300_000 { try pair.turn() }
      seen += keys(of: pair, identity)
    }
    wipeStack()
    let places = keys(of: pair, identity).places
    #expect(places.count >= 5 && places.allSatisfy { $0 > 0 }, "the search finds what is there")
    #expect(pair.serverHandler.mismatches == 0 && pair.server.engine.statistics.handshakesCompleted == 1)
    return seen
  }

  @Test(arguments: [AEADProvider.libsodium, .automatic], AEAD.allCases)
  func nothingIsLeftOfTheKeysOfReactorsThatAreGone(provider: AEADProvider, aead: AEAD) throws {
    let keys = try transfer(provider, aead)
    wipeStack()
    #expect(keys.places.allSatisfy { $0 == 0 })
  }

  /// Megabytes each way, until nothing is on its way any more. Keys of earlier epochs, and those in use.
  @inline(never)
  private func epochs(_ pair: inout ReactorPair, _ identity: Identity) throws -> (over: [Masked], used: [Masked]) {
    var seen: [Masked] = []
    for part in 1...16 as ClosedRange<UInt64> {
      while pair.serverHandler.peers.values.first?.received ?? 0 < part << 18 { try pair.turn() }
      seen += keys(of: pair, identity)
    }
    // Until the clock has wiped what may still be late.
    while !(Self.hasOneKey(pair.server) && Self.hasOneKey(pair.client)) { try pair.turn() }
    let used = keys(of: pair, identity)
    return (seen.filter { key in !used.contains { $0.bytes == key.bytes } }, used)
  }

  private static func hasOneKey(_ reactor: borrowing Reactor) -> Bool {
    for slot in Slot.all(reactor.engine.peers.slots) where reactor.engine.peers.flows.contains(slot) {
      if reactor.engine.peers.flows[slot].previousKey.key.aead != 0 { return false }
    }
    return true
  }

  /// While the connection goes on, under the keys that follow from them.
  @Test(arguments: [AEADProvider.libsodium, .automatic], AEAD.allCases)
  func nothingIsLeftOfTheKeysOfEpochsThatAreOver(provider: AEADProvider, aead: AEAD) throws {
    var configuration = ReactorConfiguration()
    configuration.aeadProvider = provider
    configuration.engine.aeads = aead == .chacha20Poly1305 ? [aead] : [aead, .chacha20Poly1305]
    configuration.engine.keyEpochBits = 9
    let identity = Identity()
    var pair = try ReactorPair(
      configuration: configuration, clientSends: nil, serverSends: nil, serverIdentity: identity)
    let peer = try pair.client.engine.connect(to: pair.server4, expecting: .key(pair.serverKey))
    pair.client.engine.offer(peer, upTo: 4 << 20)
    let (over, used) = try epochs(&pair, identity)
    wipeStack()
    #expect(over.count >= 6 && over.places.allSatisfy { $0 == 0 })
    #expect(used.count >= 5 && used.places.allSatisfy { $0 > 0 }, "the search finds what is there")
    // It has not ended: nothing but the epochs has.
    pair.client.engine.offer(peer, upTo: 5 << 20)
    while pair.serverHandler.peers.values.first?.received != 5 << 20 { try pair.turn() }
    #expect(pair.serverHandler.mismatches == 0 && pair.serverHandler.closedCount == 0)
  }

  /// A server that many have dialled and nobody has answered.
  @inline(never)
  private func halfOpen() throws -> Masked {
    let identity = Identity()
    var server = try Reactor(identity: identity, bind: .loopback, accepting: .anyone)
    var handler = StreamHandler(bytesToSend: nil)
    let secret = LRP2PTests.secret(of: identity)
    for _ in 0..<20 {
      var client = try Reactor(identity: Identity(), bind: .loopback, accepting: .anyone)
      _ = try client.engine.connect(to: server.localAddress, expecting: .key(identity.publicKey))
      try client.turn(&handler, timeout: 0)
      try server.turn(&handler, timeout: 0)
    }
    wipeStack()
    #expect(server.engine.peers.handshakes.inUse == 20)
    // The identity's own, and the engine's.
    #expect([secret].places == [2], "half-open handshakes have no copy")
    return secret
  }

  @Test func halfOpenHandshakesHoldNoStaticSecret() throws {
    let secret = try halfOpen()
    wipeStack()
    #expect([secret].places == [0])
  }

  /// A dial that has a secret to tell, answered or not.
  @inline(never)
  private func told(isAnswered: Bool) throws -> Masked {
    let secret = secret(of: Identity())
    let identity = Identity()
    var server = try Reactor(identity: identity, bind: .loopback, accepting: .anyone)
    var client = try Reactor(identity: Identity(), bind: .loopback, accepting: .anyone)
    var (handler, listener) = (StreamHandler(bytesToSend: nil), UnreadingHandler())
    var said = secret.bytes.map { $0 ^ Masked.mask }
    _ = try client.engine.connect(to: server.localAddress, expecting: .key(identity.publicKey), payload: said)
    // What the program has of it is its own.
    var elements = said.mutableSpan
    var bytes = unsafe elements.mutableBytes
    LRP2PCore.wipe(&bytes)
    #expect([secret].places == [1], "until message 3 it is there")
    let end = currentInstant() + .seconds(10)
    while isAnswered, listener.connections == 0, currentInstant() < end {
      try client.turn(&handler, timeout: .milliseconds(1))
      try server.turn(&listener, timeout: .milliseconds(1))
    }
    wipeStack()
    // Neither side needs it any more, but a dial without an answer.
    if isAnswered { #expect(listener.connections == 1 && [secret].places == [0]) }
    return secret
  }

  @Test(arguments: [false, true]) func nothingIsLeftOfWhatADialHasTold(isAnswered: Bool) throws {
    let secret = try told(isAnswered: isAnswered)
    wipeStack()
    #expect([secret].places == [0])
  }

  @inline(never)
  private func identities() throws -> [Masked] {
    let path = FileManager.default.temporaryDirectory.appending(component: "lrp2p-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let identity = Identity()
    try identity.save(to: path)
    let again = try Identity(contentsOf: path)
    #expect(again.publicKey == identity.publicKey)
    return [secret(of: identity)]
  }

  @Test func nothingIsLeftOfAnIdentity() throws {
    let keys = try identities()
    wipeStack()
    #expect(keys.places == [0])
  }

  @Test func nothingIsLeftOfAnEndpoint() async throws {
    let identity = Identity()
    let secret = LRP2PTests.secret(of: identity)
    let server = try Endpoint(identity: identity, bind: .loopback, accepting: .anyone)
    let client = try Endpoint(bind: .loopback, accepting: .anyone)
    let connection = try await client.connect(to: server.localAddress, expecting: .key(server.publicKey))
    connection.close()
    await client.close()
    await server.close()
    wipeStack()
    // The identity itself is still there.
    #expect([secret].places == [1])
    withExtendedLifetime(identity) {}
  }

  private func isInNoCoreDump(_ address: UnsafeRawPointer) -> Bool { unsafe process_page_is(address, "dd") != 0 }
  private func isLocked(_ address: UnsafeRawPointer) -> Bool { unsafe process_page_is(address, "lo") != 0 }

  @Test func keysAreInNoCoreDump() throws {
    let reactor = try Reactor(identity: Identity(), bind: .loopback, accepting: .anyone)
    for row in [KeyRow(0), KeyRow(reactor.engine.peers.slots)] {
      let key = unsafe UnsafeRawPointer(reactor.engine.peers.keys.pointer(row))
      #expect(unsafe isInNoCoreDump(key))
      // A page and more is within half of what may be locked, but where hardly anything may be.
      #expect(unsafe isLocked(key) || process_lock_limit() < 64 << 10)
    }
    let memory = SecretPages()
    let block = unsafe memory.allocate(byteCount: 32)
    #expect(unsafe isInNoCoreDump(block))
    // More than is locked of one owner.
    let large = unsafe memory.allocate(byteCount: SecretPages.mostLocked + 1)
    #expect(unsafe isInNoCoreDump(large) && !isLocked(large))
    unsafe memory.release(large, byteCount: SecretPages.mostLocked + 1)
    unsafe memory.release(block, byteCount: 32)
    #expect(unsafe !isInNoCoreDump(large) && !isInNoCoreDump(block), "what was asked of the pages goes with them")
  }
}

// SPDX-License-Identifier: MIT
import CMemoryUse
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// Connections over real sockets on loopback.
@Suite(.serialized) struct ConnectionTests {
  private func expectAllFinished(_ handler: StreamHandler, bytes: UInt64) {
    #expect(handler.mismatches == 0 && handler.violations == 0)
    let wrong = handler.peers.values.filter {
      $0.closed != .finished || $0.received != bytes || $0.acknowledged != bytes
    }
    #expect(wrong.isEmpty, "\(wrong.prefix(3))")
  }

  @Test(arguments: AEAD.allCases, backends) func transferBothWays(aead: AEAD, backend: ReactorBackend) throws {
    let bytes: UInt64 = 8 << 20
    var configuration = ReactorConfiguration(backend)
    // ChaCha20-Poly1305 is always in the list; first place is what counts.
    configuration.engine.aeads = aead == .chacha20Poly1305 ? [aead] : [aead, .chacha20Poly1305]
    var pair = try ReactorPair(configuration: configuration, clientSends: bytes, serverSends: bytes)
    _ = try pair.client.engine.connect(to: pair.server4, expecting: .key(pair.serverKey))
    let isDone = try pair.runUntilClosed(1)
    #expect(isDone)
    expectAllFinished(pair.clientHandler, bytes: bytes)
    expectAllFinished(pair.serverHandler, bytes: bytes)
  }

  /// The answers come from there, or the dialler would drop them.
  @Test(arguments: backends) func everyAddressOfAHostCanBeDialled(backend: ReactorBackend) throws {
    let bytes: UInt64 = 1 << 20
    var pair = try ReactorPair(configuration: .init(backend), clientSends: bytes, serverSends: bytes)
    let port = pair.server.localAddress.port
    // What is printed of a listener on all addresses is one, too.
    let addresses = [
      Address(ipv4: 0x7F00_0002, port: port), Address(ipv4: 0x7F12_3456, port: port), pair.server4, .any(port: port),
      Address(ipv4: 0, port: port),
    ]
    for address in addresses { _ = try pair.client.engine.connect(to: address, expecting: .key(pair.serverKey)) }
    let isDone = try pair.runUntilClosed(addresses.count)
    #expect(isDone)
    expectAllFinished(pair.clientHandler, bytes: bytes)
    expectAllFinished(pair.serverHandler, bytes: bytes)
    #expect(pair.client.engine.statistics.handshakesFromElsewhere == 0)
    #expect(pair.server.statistics.sourcesRefused == 0 && pair.server.engine.statistics.pathValidations == 0)
  }

  /// 100 MiB each way at the same time, through a relay that drops, reorders, duplicates and corrupts.
  @Test func throughBadRelay() throws {
    let bytes: UInt64 = 100 << 20
    var pair = try ReactorPair(clientSends: bytes, serverSends: bytes)
    var link = Link()
    link.delay = 0
    link.jitter = .milliseconds(1)
    link.loss = 0.05
    link.duplication = 0.02
    link.corruption = 0.01
    var relay = Relay(to: pair.server4, link: link, seed: 1)
    _ = try pair.client.engine.connect(to: relay.address, expecting: .key(pair.serverKey))
    let end = currentInstant() + .seconds(300)
    while currentInstant() < end, pair.clientHandler.closedCount == 0 || pair.serverHandler.closedCount == 0 {
      try pair.client.turn(&pair.clientHandler, timeout: 0)
      try pair.server.turn(&pair.serverHandler, timeout: 0)
      relay.step(now: currentInstant())
    }
    expectAllFinished(pair.clientHandler, bytes: bytes)
    expectAllFinished(pair.serverHandler, bytes: bytes)
    let ends = [pair.client.engine.statistics, pair.server.engine.statistics]
    let failures = ends.reduce(0) { $0 + $1.authenticationFailures + $1.keyUnavailable }
    #expect(ends.allSatisfy { $0.isBalanced })
    #expect(relay.corrupted > 1000 && failures > 1000)
    print(
      "relay: \(relay.carried) datagrams, \(relay.dropped) dropped, \(relay.corrupted) corrupted, "
        + "\(failures) refused, \(Double(currentInstant() - (end - .seconds(300))) / 1e9) s")
  }

  /// The client's address changes three times under a transfer both ways, and in the end the path carries less.
  @Test(arguments: backends) func rebindingAndShrinking(backend: ReactorBackend) throws {
    let bytes: UInt64 = 40 << 20
    var pair = try ReactorPair(configuration: ReactorConfiguration(backend), clientSends: bytes, serverSends: bytes)
    var link = Link()
    link.delay = 0
    link.jitter = .milliseconds(1)
    link.loss = 0.005
    var relay = Relay(to: pair.server4, link: link, seed: 2)
    _ = try pair.client.engine.connect(to: relay.address, expecting: .key(pair.serverKey))
    let end = currentInstant() + .seconds(300)
    var changes = 0
    while currentInstant() < end, pair.clientHandler.closedCount == 0 || pair.serverHandler.closedCount == 0 {
      try pair.client.turn(&pair.clientHandler, timeout: 0)
      try pair.server.turn(&pair.serverHandler, timeout: 0)
      relay.step(now: currentInstant())
      let received = pair.serverHandler.peers.values.first?.received ?? 0
      if changes < 3, received > UInt64(changes + 1) * (5 << 20), pair.serverHandler.moves.count == changes {
        relay.rebind()
        changes += 1
      }
      if received > 30 << 20 { relay.link.largestDatagram = 1280 }
    }
    expectAllFinished(pair.clientHandler, bytes: bytes)
    expectAllFinished(pair.serverHandler, bytes: bytes)
    #expect(changes == 3 && pair.serverHandler.moves.count == 3 && pair.clientHandler.moves.isEmpty)
  }

  /// A thousand connections to one socket, over IPv4 and IPv6, each echoing 64 KiB, again and again, until a round needs no
  /// more memory than those before it: tables keep the size of the largest crowd, which is another in each round, but what a
  /// connection leaves behind would be added every time.
  @Test(arguments: backends) func thousandConnectionsAgain(backend: ReactorBackend) throws {
    let bytes: UInt64 = 64 << 10
    var pair = try ReactorPair(configuration: ReactorConfiguration(backend), clientSends: bytes, serverSends: nil)
    var inUse: [Int] = []
    var isSettled = false
    while !isSettled, inUse.count < 6 {
      pair.clientHandler = StreamHandler(bytesToSend: bytes)
      pair.serverHandler = StreamHandler(bytesToSend: nil)
      for index in 0..<1000 {
        _ = try pair.client.engine.connect(
          to: index % 2 == 0 ? pair.server4 : pair.server6, expecting: .key(pair.serverKey))
      }
      let isDone = try pair.runUntilClosed(1000)
      #expect(isDone, "\(pair.clientHandler.closedCount) \(pair.serverHandler.closedCount)")
      expectAllFinished(pair.clientHandler, bytes: bytes)
      expectAllFinished(pair.serverHandler, bytes: bytes)
      // The slots linger: seven probe timeouts, which a queue of a thousand handshakes makes long, and longer where a FIN is
      // repeated, but not beyond what `Flow.longestLinger` says.
      let end = currentInstant() + .seconds(250)
      while currentInstant() < end,
        pair.client.engine.statistics.peers + pair.server.engine.statistics.peers > 0
      { try pair.turn() }
      #expect(pair.client.engine.statistics.peers == 0 && pair.server.engine.statistics.peers == 0)
      #expect(pair.client.engine.statistics.poolBytesInUse == 0)
      pair.clientHandler = StreamHandler(bytesToSend: bytes)
      pair.serverHandler = StreamHandler(bytesToSend: nil)

      let now = memory_use()
      isSettled = inUse.max().map { now <= $0 + 16_384 } ?? false
      inUse.append(now)
    }
    #expect(isSettled, "\(inUse) bytes in use after each round")
  }
}

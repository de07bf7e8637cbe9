// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// Who stops sends what it owes.
@Suite struct StopTests {
  private static let connections = 40

  /// Two reactors with connections on which nothing moves. The server sends one datagram a turn.
  private static func openPair(_ backend: ReactorBackend) throws -> ReactorPair {
    var configuration = ReactorConfiguration(backend)
    configuration.maximumSegments = 1
    configuration.sendMessages = 1
    configuration.sendBatchesPerTurn = 1
    var pair = try ReactorPair(configuration: configuration, clientSends: nil, serverSends: nil)
    let address = pair.server4
    for _ in 0..<connections { _ = try pair.client.engine.connect(to: address, expecting: .anyone) }
    let end = currentInstant() + .seconds(60)
    while pair.serverHandler.peers.count < connections || pair.clientHandler.peers.count < connections,
      currentInstant() < end
    {
      try pair.turn()
    }
    for _ in 0..<200 { try pair.turn() }
    try #require(pair.serverHandler.peers.count == connections && pair.clientHandler.peers.count == connections)
    return pair
  }

  private static func told(_ pair: inout ReactorPair) throws -> Int {
    for _ in 0..<20 { try pair.client.turn(&pair.clientHandler, timeout: .milliseconds(1)) }
    return pair.clientHandler.peers.values.count { $0.closed == .remote(code: 7, reason: "") }
  }

  @Test(arguments: backends) func whoIsClosedBeforeTheStopIsTold(backend: ReactorBackend) throws {
    var pair = try Self.openPair(backend)
    for peer in Array(pair.serverHandler.peers.keys) { pair.server.engine.close(peer, code: 7) }
    pair.server.remote.stop()
    try pair.server.run(&pair.serverHandler)
    #expect(try Self.told(&pair) == Self.connections)
  }

  @Test(arguments: backends) func whoTurnsTheReactorDrainsIt(backend: ReactorBackend) throws {
    var pair = try Self.openPair(backend)
    let turns = pair.server.statistics.turns
    try pair.server.flush(&pair.serverHandler)
    // There is nothing to do.
    #expect(pair.server.statistics.turns == turns)
    for peer in Array(pair.serverHandler.peers.keys) { pair.server.engine.close(peer, code: 7) }
    try pair.server.flush(&pair.serverHandler)
    #expect(pair.server.statistics.turns - turns <= UInt64(Self.connections + 2))
    #expect(try Self.told(&pair) == Self.connections)
  }

  /// Connections that end by themselves have ended when `drain` returns, and nobody new is accepted.
  @Test(arguments: backends) func drainWaitsForTheEnd(backend: ReactorBackend) throws {
    var pair = try Self.openPair(backend)
    let peers = pair.server.engine.connectedPeers()
    #expect(Set(peers) == Set(pair.serverHandler.peers.keys))
    for peer in peers { pair.server.engine.close(peer, code: 7) }
    let wasAccepting = pair.server.engine.isAccepting
    #expect(wasAccepting)
    #expect(try pair.server.drain(&pair.serverHandler, deadline: .never) == 0)
    let isAccepting = pair.server.engine.isAccepting
    #expect(!isAccepting)
    let left = pair.server.engine.connectedPeers()
    #expect(left.isEmpty)
    #expect(try Self.told(&pair) == Self.connections)

    let late = try pair.client.engine.connect(to: pair.server4, expecting: .key(pair.serverKey))
    for _ in 0..<50 { try pair.turn() }
    let info = pair.client.engine.info(of: late)
    #expect(info == nil && pair.serverHandler.peers.count == Self.connections)
  }

  /// Those that are left at the deadline are told that this side goes.
  @Test(arguments: backends) func drainClosesWhatIsLeft(backend: ReactorBackend) throws {
    var pair = try Self.openPair(backend)
    #expect(try pair.server.drain(&pair.serverHandler, deadline: 0) == Self.connections)
    let left = pair.server.engine.connectedPeers()
    #expect(left.isEmpty)
    for _ in 0..<20 { try pair.client.turn(&pair.clientHandler, timeout: .milliseconds(1)) }
    let ends = pair.clientHandler.peers.values.map(\.closed)
    #expect(ends.allSatisfy { $0 == .remote(code: CloseCode.goingAway, reason: "") })
  }
}

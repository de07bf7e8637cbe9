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
    for _ in 0..<connections { _ = try pair.client.engine.connect(to: address) }
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
    try pair.server.drain(&pair.serverHandler)
    // There is nothing to do.
    #expect(pair.server.statistics.turns == turns)
    for peer in Array(pair.serverHandler.peers.keys) { pair.server.engine.close(peer, code: 7) }
    try pair.server.drain(&pair.serverHandler)
    #expect(pair.server.statistics.turns - turns <= UInt64(Self.connections + 2))
    #expect(try Self.told(&pair) == Self.connections)
  }
}

// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// The reactor tells the engine when it could not send all that there was.
@Suite struct SocketLimitTests {
  @Test(arguments: backends) func aTurnThatEndsEarlyIsTold(backend: ReactorBackend) throws {
    var configuration = ReactorConfiguration(backend)
    // One message a turn.
    configuration.sendMessages = 1
    configuration.sendBatchesPerTurn = 1
    var pair = try ReactorPair(configuration: configuration, clientSends: nil, serverSends: nil)
    var peers: [Peer] = []
    for _ in 0..<3 { peers.append(try pair.client.engine.connect(to: pair.server4, expecting: .key(pair.serverKey))) }
    try pair.client.turn(&pair.clientHandler, timeout: 0)
    var isBehind = pair.client.engine.socketIsBehind
    #expect(isBehind)
    let end = currentInstant() + .seconds(30)
    while currentInstant() < end, pair.serverHandler.peers.count < 3 || pair.client.engine.hasReadyPeers {
      try pair.turn()
    }
    try pair.client.turn(&pair.clientHandler, timeout: 0)
    isBehind = pair.client.engine.socketIsBehind
    #expect(!isBehind)
    // Two of them have much to send: one waits for the other.
    for peer in peers[0..<2] { pair.client.engine.offer(peer, upTo: 10_000_000) }
    try pair.client.turn(&pair.clientHandler, timeout: 0)
    let limits = peers.map { pair.client.engine.statistics(of: $0)?.limitedBy }
    #expect(limits[0...1].contains(.socket) && limits[2] == .application)
    #expect(pair.client.engine.statistics.isBalanced && pair.server.engine.statistics.isBalanced)
    let statistics = pair.client.statistics
    #expect(statistics.datagramsPerSendCall > 0 && statistics.datagramsPerReceiveCall > 0)
  }
}

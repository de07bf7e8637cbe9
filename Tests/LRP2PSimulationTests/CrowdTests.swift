// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A server among honest and hostile peers.
@Suite struct CrowdTests {
  private static func play(seed: UInt64, peers: Int) -> ScenarioResult {
    var scenario = Scenario(.crowd)
    scenario.seed = seed
    scenario.peers = peers
    return scenario.run()
  }

  // In 3 one had less than half while the end of a session, less than a segment, waited for everyone else's turn; in 359 and 413
  // while a short last segment ended the turn as more data would, so that the ACK behind it waited.
  @Test(arguments: [1, 2, 3, 359, 413] as [UInt64])
  func honestPeersHaveTheirShare(seed: UInt64) throws {
    let result = Self.play(seed: seed, peers: 300)
    #expect(result.failure == nil, "lrp2p-sim crowd --peers 300 --seed \(seed)")
    #expect(result.honestPeers == 240 && result.hostilePeers == 60 && result.hostileDatagrams > 5000)
    let share = try #require(result.leastShare)
    #expect(share >= 0.5)
  }

  /// Hundreds that have something to send at the same time.
  @Test(arguments: [29, 34] as [UInt64])
  func aThousandPeers(seed: UInt64) {
    let failure = Self.play(seed: seed, peers: 1000).failure
    #expect(failure == nil, "lrp2p-sim crowd --peers 1000 --seed \(seed)")
  }

  @Test func theSameSeedIsTheSameCrowd() {
    let first = Self.play(seed: 5, peers: 100).traceHash
    let again = Self.play(seed: 5, peers: 100).traceHash
    #expect(first == again)
    let other = Self.play(seed: 6, peers: 100).traceHash
    #expect(first != other)
  }

  /// A host that may send a thousand datagrams a second does, and no more.
  @Test func sendingIsLimited() throws {
    var network = SimulatedNetwork<BulkHandler>(seed: 1)
    let (near, far) = (Address(ipv4: 0x0A00_0001, port: 1), Address(ipv4: 0x0A00_0002, port: 1))
    network.addHost(BulkHandler(bytesToSend: 1 << 30), at: near)
    network.addHost(BulkHandler(bytesToSend: 0), at: far)
    network.route(from: 0, to: 1, over: network.addLink(Link()))
    network.route(from: 1, to: 0, over: network.addLink(Link()))
    network.limitSending(of: 0, datagramsPerSecond: 1000, socket: 10)
    _ = try network.onHost(0) { engine, _ in try engine.connect(to: far, expecting: .anyone) }
    network.run(for: .seconds(1))
    let before = network.counters(ofLink: 0).datagrams
    network.run(for: .seconds(4))
    let sent = network.counters(ofLink: 0).datagrams - before
    // A whole batch more at most, which was asked for while there was room.
    #expect((3950...4400).contains(sent))
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What becomes of many retransmissions that are lost themselves.
@Suite struct RecoveryTests {
  /// A path of 20 Mbit/s and 600 ms loses four of five datagrams for five seconds, and then none. ACKs tell by packet numbers what
  /// became of what was sent again, so the window is not held by what nobody will ever describe.
  @Test(arguments: [CongestionAlgorithm.cubic, .bbr], 1...3 as ClosedRange<UInt64>)
  func aBurstOfLossesIsOver(controller: CongestionAlgorithm, seed: UInt64) {
    var network = SimulatedNetwork<BulkHandler>(seed: seed)
    var link = Link()
    link.rate = 20_000_000
    link.delay = .milliseconds(300)
    link.buffer = 1_500_000
    network.addHost(BulkHandler(bytesToSend: 1 << 40), at: Address(ipv4: 1, port: 1))
    network.addHost(BulkHandler(bytesToSend: 0), at: Address(ipv4: 2, port: 1))
    let (forth, back) = (network.addLink(link), network.addLink(link))
    network.route(from: 0, to: 1, over: forth)
    network.route(from: 1, to: 0, over: back)
    let peer = network.onHost(0) { engine, _ in try? engine.connect(to: Address(ipv4: 2, port: 1), expecting: .anyone)
    }!
    network.onHost(0) { engine, _ in engine.setCongestionControl(controller, for: peer) }
    network.run(for: .seconds(10))
    for number in [forth, back] { network[link: number].loss = 0.8 }
    network.run(for: .seconds(5))
    for number in [forth, back] { network[link: number].loss = 0 }
    // CUBIC has a small window to begin with.
    network.run(for: .seconds(controller == .bbr ? 6 : 12))
    let before = network.readHost(1) { _, handler in handler.streams[0].received }
    network.run(for: .seconds(10))
    let after = network.readHost(1) { _, handler in handler.streams[0].received }
    #expect((after - before) * 8 / 10 > link.rate / 5)
  }
}

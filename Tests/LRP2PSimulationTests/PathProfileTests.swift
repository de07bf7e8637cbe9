// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What the congestion controllers do on the paths of the profiles, in virtual time.
@Suite struct PathProfileTests {
  private func play(_ profile: Profile, _ change: (inout Scenario) -> Void = { _ in }) -> ScenarioResult {
    var scenario = Scenario(profile)
    change(&scenario)
    let result = scenario.run()
    #expect(result.failure == nil && result.isVerified)
    return result
  }

  /// A long path is used from the third round trip on, and its queue does not overflow for that.
  @Test func aLongPathIsFilled() {
    let cold = play(.geo250)
    #expect(cold.completion! <= 5.5 && cold.lossOfProduct <= 0.1)
    let remembered = play(.geo250) { $0.isPathRemembered = true }
    #expect(remembered.completion! <= 5.0 && remembered.lossOfProduct <= 0.1)
  }

  @Test(arguments: 1...3 as ClosedRange<UInt64>) func aLongPathThatLoses(seed: UInt64) {
    let result = play(.geo20) {
      $0.loss = 0.01
      $0.seed = seed
    }
    #expect(result.completion! <= 7.5)
  }

  @Test(arguments: [Profile.lan, .geo20]) func theStartDoesNotOverflowAQueue(profile: Profile) {
    let result = play(profile) { if profile == .geo20 { $0.buffer = 0.25 } }
    #expect(result.lossOfProduct <= 0.1)
    #expect(result.returnBytesPerForwardByte <= 0.002)
  }

  @Test(arguments: [CongestionAlgorithm.cubic, .bbr]) func twoFlowsShare(controller: CongestionAlgorithm) {
    // Whose datagram meets the full queue is a matter of microseconds in a world without noise: one path alone says little.
    let indexes = ([19, 20, 21] as [UInt64]).map { roundTrip in
      play(.lan) {
        ($0.rate, $0.returnRate, $0.roundTrip, $0.buffer) = (50_000_000, 50_000_000, .milliseconds(roundTrip), 1)
        $0.flows = [controller, controller]
        ($0.bytes, $0.seconds) = (1 << 50, 30)
      }.jainIndex!
    }
    #expect(indexes.reduce(0, +) / 3 >= (controller == .bbr ? 0.98 : 0.8))
  }

  @Test func cubicAndBBRShare() {
    let result = play(.lan) {
      ($0.rate, $0.returnRate, $0.roundTrip, $0.buffer) = (100_000_000, 100_000_000, .milliseconds(20), 1)
      $0.flows = [.cubic, .bbr]
      ($0.bytes, $0.seconds) = (1 << 50, 60)
    }
    #expect(result.shares.min()! >= 0.2)
  }

  @Test(arguments: [CongestionAlgorithm.cubic, .bbr]) func theControllerIsExchanged(first: CongestionAlgorithm) {
    var network = SimulatedNetwork<BulkHandler>(seed: 1)
    var link = Link()
    link.rate = 100_000_000
    link.buffer = 200_000
    network.addHost(BulkHandler(bytesToSend: 30_000_000), at: Address(ipv4: 1, port: 1))
    network.addHost(BulkHandler(bytesToSend: 0), at: Address(ipv4: 2, port: 1))
    network.route(from: 0, to: 1, over: network.addLink(link))
    network.route(from: 1, to: 0, over: network.addLink(link))
    let peer = network.onHost(0) { engine, _ in try? engine.connect(to: Address(ipv4: 2, port: 1), expecting: .anyone)
    }!
    network.onHost(0) { engine, _ in engine.setCongestionControl(first, for: peer) }
    for round in 0..<10 {
      network.run(for: .milliseconds(200))
      network.onHost(0) { engine, _ in engine.setCongestionControl(round % 2 == 0 ? .bbr : .cubic, for: peer) }
      let now = network.readHost(0) { engine, _ in engine.statistics(of: peer)?.congestion }
      #expect(now == nil || now == (round % 2 == 0 ? .bbr : .cubic))
    }
    let isDone = network.run(for: .seconds(20)) {
      $0.readHost(1) { _, handler in handler.streams.first?.isFinished ?? false }
    }
    #expect(isDone)
  }
}

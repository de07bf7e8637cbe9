// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What links do to datagrams, one link alone.
@Suite struct LinkTests {
  /// Of 1250 bytes, which is 1 ms at 10 Mbit/s.
  private struct Given: ~Copyable {
    var state: LinkState
    var random = SeededRandom(seed: 1)
    var arrivals: [Instant?] = []

    init(_ change: (inout Link) -> Void = { _ in }) {
      var link = Link()
      (link.rate, link.delay) = (10_000_000, 0)
      change(&link)
      state = LinkState(link)
    }

    mutating func give(_ count: Int = 1, at now: Instant) {
      for _ in 0..<count {
        switch state.carry(1250, knowsECN: false, random: &random, now: now) {
        case .dropped: arrivals.append(nil)
        case .arrives(let arrival, _, _, _): arrivals.append(arrival)
        }
      }
    }
  }

  private static func milliseconds(_ time: Double) -> Instant { Instant(time * 1e6) }

  @Test func whatWaitsGoesOnAtTheNewRate() {
    var link = Given()
    link.state.plan([(Self.milliseconds(50.5), .rate(1_000_000)), (.milliseconds(100), .rate(100_000_000))])
    link.give(70, at: 0)
    #expect(link.arrivals[49] == .milliseconds(50))
    // Half of it at either rate.
    #expect(link.arrivals[50] == Self.milliseconds(55.5))
    #expect(link.arrivals[53] == Self.milliseconds(85.5))
    // 95.5 ms, and 45 % of the next by 100 ms.
    #expect(link.arrivals[54] == Self.milliseconds(95.5) && link.arrivals[55] == Self.milliseconds(100.055))
    #expect(link.arrivals[69] == Self.milliseconds(101.455))
    #expect(link.state.link.rate == 10_000_000 && link.state.link(at: .milliseconds(60)).rate == 1_000_000)
    #expect(link.state.link(at: .seconds(1)).rate == 100_000_000)
  }

  /// The same whether the change was announced or has come.
  @Test func theQueueIsCountedInBytes() {
    var link = Given { $0.buffer = 10 * 1250 }
    link.state.plan([(.milliseconds(5), .rate(1_000_000))])
    link.give(20, at: 0)
    #expect(link.arrivals.count { $0 != nil } == 11 && link.state.counters.overflowed == 9)
    // At 5 ms six are left, and the eleventh leaves at 65 ms.
    #expect(link.arrivals[10] == .milliseconds(65))
    link.give(10, at: .milliseconds(5))
    #expect(link.arrivals.count { $0 != nil } == 16)
    #expect(link.state.counters.queued == 16 && link.state.freeAt == .milliseconds(115))
    #expect(link.state.counters.queuedTime > 0)
  }

  @Test func nothingLeavesAHaltedLinkAndNothingIsLost() {
    var link = Given()
    link.state.plan([(.milliseconds(2), .halted(true)), (.milliseconds(1000), .halted(false))])
    link.give(4, at: 0)
    link.give(1, at: .milliseconds(500))
    #expect(link.arrivals == [1, 2, 1001, 1002, 1003].map { .milliseconds($0) })
    #expect(link.state.counters.dropped == 0)
  }

  /// What leaves while it is down is lost, whenever it came.
  @Test func whatLeavesALinkThatIsDownIsLost() {
    var link = Given()
    link.state.plan([(Self.milliseconds(2.5), .down(true)), (Self.milliseconds(4.5), .down(false))])
    link.give(6, at: 0)
    #expect(link.arrivals == [.milliseconds(1), .milliseconds(2), nil, nil, .milliseconds(5), .milliseconds(6)])
    #expect(link.state.counters.whileDown == 2 && link.state.counters.dropped == 2)
  }

  @Test(arguments: [false, true]) func aShorterDelayReordersUnlessTheLinkKeepsTheOrder(keepsOrder: Bool) {
    var link = Given {
      $0.delay = .milliseconds(50)
      $0.keepsOrder = keepsOrder
    }
    link.state.plan([(.milliseconds(10), .delay(.milliseconds(20)))])
    link.give(1, at: 0)
    link.give(1, at: .milliseconds(8))
    link.give(1, at: .milliseconds(10))
    #expect(link.arrivals == [51, 59, keepsOrder ? 59 : 31].map { .milliseconds($0) })
    #expect(link.state.counters.reordered == (keepsOrder ? 0 : 1))
  }

  @Test(arguments: [false, true]) func jitterReordersUnlessTheLinkKeepsTheOrder(keepsOrder: Bool) {
    var link = Given {
      $0.jitter = .milliseconds(5)
      $0.keepsOrder = keepsOrder
    }
    for number in 0..<1000 { link.give(at: .milliseconds(UInt64(number))) }
    let arrivals = link.arrivals.compactMap(\.self)
    #expect(arrivals.count == 1000 && (arrivals == arrivals.sorted()) == keepsOrder)
    #expect((link.state.counters.reordered == 0) == keepsOrder)
    // None is late by more than the jitter.
    let late = zip(arrivals, 1...).map { Int($0) - $1 * 1_000_000 }
    #expect(late.allSatisfy { (0..<5_000_000).contains($0) } && late.max()! > 4_900_000)
  }

  @Test func aPolicerDropsWhatIsBeyondItsRate() {
    var link = Given {
      $0.rate = 0
      $0.policer = Policer(rate: 1_000_000, burst: 5000)
    }
    link.give(10, at: 0)
    #expect(link.arrivals.count { $0 != nil } == 4 && link.state.counters.policed == 6)
    // 1250 bytes are 10 ms.
    link.give(1, at: .milliseconds(9))
    link.give(2, at: .milliseconds(10))
    #expect(link.arrivals[10...] == [nil, .milliseconds(10), nil])
    // No more than the burst, however long it rests.
    link.give(10, at: .seconds(100))
    #expect(link.arrivals[13...].count { $0 != nil } == 4)
    #expect(link.state.counters.faults["policer_drop"] == link.state.counters.dropped)
  }

  @Test func whatIsGatheredLeavesTogether() {
    var link = Given {
      $0.delay = .milliseconds(7)
      $0.aggregation = .milliseconds(4)
    }
    link.give(6, at: .milliseconds(1))
    #expect(link.arrivals == [11, 11, 11, 15, 15, 15].map { .milliseconds($0) })
  }

  /// A link of a network tells how it is now.
  @Test func aNetworkTellsTheLinkAsItIs() {
    var network = SimulatedNetwork<StreamHandler>(seed: 1)
    let link = network.addLink(Link())
    network.schedule(link: link, [(network.now + .seconds(2), .loss(0.5)), (network.now + .seconds(1), .loss(0.25))])
    #expect(network[link: link].loss == 0)
    network.run(for: .seconds(1))
    #expect(network[link: link].loss == 0.25)
    network[link: link].delay = .milliseconds(77)
    network.run(for: .seconds(1))
    #expect(network[link: link].loss == 0.5 && network[link: link].delay == .milliseconds(77))
  }
}

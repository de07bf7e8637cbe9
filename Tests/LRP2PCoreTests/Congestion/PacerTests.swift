// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct PacerTests {
  private static let datagram = 1400
  /// Bytes a second: from two segments in a round trip of seconds to what no network carries.
  private static let rates: [UInt64] = [
    300, 875, 1_999, 10_000, 23_456, 56_000, 1_000_000, 125_000_000, 12_500_000_000,
  ]

  private func burst(_ rate: UInt64) -> Double { Double(max(rate / 1000, 2_800)) }

  @Test func noRateNoLimit() {
    var pacer = Pacer()
    for _ in 0..<100 {
      let isAllowed = pacer.allows(now: 5)
      #expect(isAllowed)
      pacer.spend(Self.datagram)
    }
    #expect(pacer.nextSend(now: 5) == 5)
  }

  /// A sender that never lacks data, woken when it asked to be or somewhat later.
  @Test(arguments: rates, [0, 40_000, 3_000_000] as [Nanoseconds])
  func sendsAtItsRate(rate: UInt64, lateness: Nanoseconds) {
    var random = TestRandom(seed: rate)
    var pacer = Pacer()
    let start: Instant = 1 << 40
    var now = start
    pacer.setRate(bytesPerSecond: rate, now: now)
    // Ten thousand datagrams' worth, or a thousand wake-ups.
    let duration = min(Double(10_000 * Self.datagram) / Double(rate), 100_000) * 1e9 + 1e7
    var sent = 0.0
    var wrong = 0
    var wakes = 0
    while Double(now - start) < duration, wakes < 20_000 {
      var count = 0
      while pacer.allows(now: now), count < 100_000 {
        pacer.spend(Self.datagram)
        sent += Double(Self.datagram)
        count += 1
        // The very first burst is of a size that does not depend on the rate.
        let allowed = Double(now - start) * 1e-9 * Double(rate) + max(burst(rate), 65_536) + Double(Self.datagram)
        if sent > allowed + 1 { wrong += 1 }
      }
      // When it is woken it may send.
      if count == 0 { wrong += 1 }
      let next = pacer.nextSend(now: now)
      if next <= now { wrong += 1 }
      now = next + (lateness == 0 ? 0 : random.next() % lateness)
      wakes += 1
    }
    #expect(wrong == 0)
    let ideal = Double(now - start) * 1e-9 * Double(rate)
    // Late wake-ups cost what is beyond a burst.
    let burstTime = burst(rate) / Double(rate) * 1e9
    if Double(lateness) < burstTime / 2 { #expect(sent > 0.95 * ideal - burst(rate), "\(sent) of \(ideal)") }
  }

  /// What leaves together after a pause is a quarter of the round trip: a queue may be no longer than the path. On long paths it is a
  /// millisecond, and never less than an eighth of one.
  @Test(
    arguments: [(0, 125), (400, 125), (1000, 250), (4000, 1000), (600_000, 1000)] as [(UInt64, UInt64)])
  func aBurstIsAPartOfTheRoundTrip(roundTrip: UInt64, burst: UInt64) {
    let rate: UInt64 = 1_000_000_000
    var pacer = Pacer()
    var now: Instant = 1 << 40
    pacer.setRate(bytesPerSecond: rate, roundTrip: .microseconds(roundTrip), now: now)
    pacer.spend(1 << 30)
    now += .seconds(10)
    pacer.stopsWaiting(now: now)
    pacer.setRate(bytesPerSecond: rate, roundTrip: .microseconds(roundTrip), now: now + .seconds(10))
    let packets = pacer.allowance(of: 1000, now: now + .seconds(10))
    #expect(packets == Int(burst))
  }

  /// Asking often, for whatever reason, costs nothing: a busy connection has ACKs to send every few microseconds.
  @Test(arguments: rates.filter { $0 < 2_000_000 })
  func askingOftenCostsNothing(rate: UInt64) {
    var pacer = Pacer()
    var now: Instant = 1 << 40
    pacer.setRate(bytesPerSecond: rate, now: now)
    while pacer.allows(now: now) { pacer.spend(Self.datagram) }
    var sent = 0
    let step = max(1_000_000_000 / rate / 10, 700)
    let steps = 1_000_000 as UInt64
    for round in 0..<steps {
      now += step
      if round % 64 == 0 { pacer.setRate(bytesPerSecond: rate, now: now) }
      if pacer.allows(now: now) {
        pacer.spend(Self.datagram)
        sent += Self.datagram
      }
    }
    let ideal = Double(steps * step) * 1e-9 * Double(rate)
    #expect(abs(Double(sent) - ideal) < 0.02 * ideal + 4 * Double(Self.datagram), "\(sent) of \(ideal)")
  }

  /// However long its turn was away, a tenth of a second's worth is all that leaves at once.
  @Test(arguments: rates)
  func aStandstillSavesATenthOfASecond(rate: UInt64) {
    var pacer = Pacer()
    pacer.setRate(bytesPerSecond: rate, now: 1)
    for now in [2, .seconds(100_000), 1 << 62] as [Instant] {
      var sent = 0.0
      while pacer.allows(now: now) {
        pacer.spend(Self.datagram)
        sent += Double(Self.datagram)
      }
      #expect(sent >= burst(rate) - 1 || now == 2)
      #expect(sent <= max(burst(rate), Double(rate) / 10) + Double(2 * Self.datagram))
    }
  }

  /// The fastest that a window of 2^40 bytes and a round trip of a microsecond come to.
  @Test func extremes() {
    for rate: UInt64 in [1, 1 << 61, .max] {
      var pacer = Pacer()
      pacer.setRate(bytesPerSecond: rate, now: 1)
      pacer.spend(1 << 50)
      let isAllowed = pacer.allows(now: 1)
      let next = pacer.nextSend(now: 1)
      #expect(next > 1 && !isAllowed)
    }
  }

  /// What is owed at one rate is paid off at the next; a clock that stands still gives nothing.
  @Test func rateChanges() {
    var pacer = Pacer()
    var now: Instant = 1_000_000
    pacer.setRate(bytesPerSecond: 1_000_000_000, now: now)
    while pacer.allows(now: now) { pacer.spend(Self.datagram) }
    pacer.setRate(bytesPerSecond: 1_000_000, now: now)
    var isAllowed = pacer.allows(now: now)
    let next = pacer.nextSend(now: now)
    #expect(!isAllowed && next > now && pacer.rate == 1_000_000)
    isAllowed = pacer.allows(now: now - 5)
    #expect(!isAllowed)
    now = next
    isAllowed = pacer.allows(now: now)
    #expect(isAllowed)
  }

  /// The allowance is as many packets as leave one by one.
  @Test(arguments: rates)
  func allowanceIsWhatLeaves(rate: UInt64) {
    var random = TestRandom(seed: rate)
    var pacer = Pacer()
    var now: Instant = 1 << 40
    pacer.setRate(bytesPerSecond: rate, now: now)
    var (wrong, allowed) = (0, 0)
    for _ in 0..<3_000 {
      now += UInt64(random.below(Int(min(2e12 / Double(rate), 1e10))))
      let allowance = pacer.allowance(of: Self.datagram, now: now)
      allowed += allowance
      var together = pacer
      if allowance > 0 { together.spend(allowance * Self.datagram) }
      var count = 0
      while count <= allowance, pacer.allows(now: now) {
        pacer.spend(Self.datagram)
        count += 1
      }
      if count != allowance || together.nextSend(now: now) != pacer.nextSend(now: now) { wrong += 1 }
    }
    #expect(wrong == 0 && allowed > 0)
    var unlimited = Pacer()
    #expect(unlimited.allowance(of: 1, now: 5) > 1_000_000)
  }
}

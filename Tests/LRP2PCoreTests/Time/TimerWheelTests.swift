// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

private let tick: Nanoseconds = 1 << 15

/// The wheel and the deadlines it was told.
private struct Checked: ~Copyable {
  var wheel: TimerWheel<Int>
  var now: Instant
  /// When each slot may fire at the earliest, and the tick in which it must have.
  var deadlines: [(deadline: Instant, lastTick: UInt64)?]
  var wrong: [String] = []
  var fired = 0

  init(slots: Int, now: Instant) {
    wheel = TimerWheel(rows: slots, now: now)
    deadlines = Array(repeating: nil, count: slots)
    self.now = now
  }

  mutating func set(_ slot: Int, at deadline: Instant) {
    wheel.set(slot, at: deadline)
    deadlines[slot] = deadline == .never ? nil : (deadline, max(deadline, now) / tick + 1)
  }

  mutating func cancel(_ slot: Int) {
    wheel.cancel(slot)
    deadlines[slot] = nil
  }

  mutating func grow(to slots: Int) {
    wheel.grow(to: slots)
    deadlines += Array(repeating: nil, count: slots - deadlines.count)
  }

  /// Takes one slot that is due.
  mutating func pop() -> Bool {
    guard let slot = wheel.popExpired(now: now) else { return false }
    fired += 1
    if let entry = deadlines[slot] {
      if entry.deadline > now { wrong.append("\(slot) fires at \(now), before \(entry.deadline)") }
    } else {
      wrong.append("\(slot) fires without being set")
    }
    deadlines[slot] = nil
    return true
  }

  mutating func advance(to instant: Instant) {
    now = instant
    while pop() {}
    check(isDrained: true)
  }

  mutating func check(isDrained: Bool) {
    var earliest: UInt64?
    for (slot, entry) in deadlines.enumerated() {
      if wheel.isSet(slot) != (entry != nil) { wrong.append("\(slot) is lost, or set without reason") }
      guard let entry else { continue }
      earliest = min(earliest ?? .max, entry.lastTick)
      if isDrained, entry.lastTick <= now / tick { wrong.append("\(slot) of \(entry.deadline) is late at \(now)") }
    }
    let next = wheel.nextDeadline
    guard let earliest else {
      if next != .never { wrong.append("a deadline, \(next), of nothing") }
      return
    }
    let (bound, isBeyondTime) = earliest.multipliedReportingOverflow(by: tick)
    if !isBeyondTime, next > bound { wrong.append("wakes at \(next), later than \(earliest * tick)") }
    // A wake-up that has come already and finds nothing would be asked for for ever.
    if isDrained, next <= now { wrong.append("wakes at \(next), before \(now)") }
  }
}

/// Where the clock may start: at zero, at a large value, and just below where a level of the wheel wraps around.
private let starts: [Instant] =
  [0, 1, 1 << 45, 1 << 60, 1 << 62]
  + (1...8).flatMap { level in
    let boundary: Instant = 1 << (15 + 6 * UInt64(level))
    return [boundary - 1, boundary - 3 * tick - 7, 63 * (boundary >> 6) + 5, 5 &* boundary - tick]
  }

@Suite struct TimerWheelTests {
  private func span(_ random: inout TestRandom) -> Nanoseconds {
    // All scales alike, from within a tick to centuries.
    let bits = UInt64(random.below(48))
    return random.happens(percent: 2) ? random.next() >> UInt64(4 + random.below(4)) : random.next() % (1 << bits)
  }

  @Test(arguments: starts)
  func agreesWithAModel(start: Instant) {
    for seed in 0..<6 {
      var random = TestRandom(seed: UInt64(seed) ^ start)
      var checked = Checked(slots: 1 + random.below(60), now: start)
      // A clock that often stands still, one that creeps and one that leaps.
      let pace = random.below(3)
      for _ in 0..<1500 where checked.wrong.isEmpty {
        let slot = random.below(checked.deadlines.count)
        switch random.below(100) {
        case 0..<50: checked.set(slot, at: checked.now + span(&random))
        case 50..<54: checked.set(slot, at: checked.now - min(checked.now, span(&random)))
        case 54..<56: checked.set(slot, at: (checked.now / tick + UInt64(random.below(130))) * tick)
        case 56: checked.set(slot, at: .never)
        case 57..<65: checked.cancel(slot)
        case 65: if checked.deadlines.count < 100 { checked.grow(to: checked.deadlines.count + random.below(9)) }
        case 66..<72:
          // A handler in the middle of a round of expiries sets timers too.
          checked.now += span(&random) >> UInt64(pace * 8)
          if checked.pop(), checked.pop() { checked.set(slot, at: checked.now + span(&random)) }
        case 72..<80:
          let next = checked.wheel.nextDeadline
          if next != .never { checked.advance(to: max(next, checked.now)) }
        default:
          checked.advance(to: checked.now + span(&random) >> UInt64(pace * 8))
        }
        if checked.now > 1 << 63 { break }
        checked.check(isDrained: false)
      }
      let wrong = checked.wrong.first
      #expect(wrong == nil, "seed \(seed)")
    }
  }

  /// An entry moves down level by level: the way to it is as many wake-ups as there are levels, not more.
  @Test(arguments: starts)
  func wakesSeldom(start: Instant) {
    for bits in 0..<UInt64(61) {
      var checked = Checked(slots: 1, now: start)
      checked.set(0, at: start + 1 << bits + bits)
      var wakes = 0
      while checked.deadlines[0] != nil, wakes < 20, checked.wrong.isEmpty {
        checked.advance(to: checked.wheel.nextDeadline)
        wakes += 1
      }
      let wrong = checked.wrong.first
      #expect(wrong == nil && wakes <= 9, "2^\(bits) after \(start): \(wakes)")
    }
  }

  /// Deadlines beyond what eight levels reach, up to the last instant: they wait, and hold nothing up.
  @Test(arguments: [0, 1 << 45, 1 << 57, 1 << 62] as [Instant])
  func theEndOfTime(start: Instant) {
    let far: [Instant] = [1 << 63 - 1, 1 << 63, 1 << 63 + 1 << 57, 3 << 62, .max - tick, .max - 2, .max - 1]
    var checked = Checked(slots: far.count + 1, now: start)
    for (slot, deadline) in far.enumerated() { checked.set(slot, at: deadline) }
    checked.set(far.count, at: start + .seconds(1))
    checked.advance(to: start + .milliseconds(999))
    var fired = checked.fired
    #expect(fired == 0)
    checked.advance(to: start + .milliseconds(1001))
    fired = checked.fired
    #expect(fired == 1)
    // The clock passes all of them but those of the last tick, for which there is no later one.
    for instant: Instant in [1 << 62, 1 << 63 + 1 << 56, .max - 3 * tick, .max - 1] where instant >= start {
      checked.advance(to: instant)
    }
    fired = checked.fired
    let wrong = checked.wrong.first
    #expect(wrong == nil && fired == 1 + far.count - 2)
  }

  /// Many entries in one bucket of a high level: all of them come down, and in the order of their ticks.
  @Test func crowdedBucket() {
    var checked = Checked(slots: 5000, now: 123_456_789)
    var random = TestRandom(seed: 7)
    let center = checked.now + .seconds(10_000)
    for slot in 0..<5000 { checked.set(slot, at: center + UInt64(random.below(1 << 26))) }
    // Every other one leaves from the middle of its chain.
    for slot in stride(from: 0, to: 5000, by: 2) { checked.cancel(slot) }
    var fired: [Instant] = []
    checked.now = center + 1 << 27
    while let slot = checked.wheel.popExpired(now: checked.now) {
      fired.append(checked.deadlines[slot]!.deadline / tick)
      checked.deadlines[slot] = nil
    }
    checked.check(isDrained: true)
    let wrong = checked.wrong.first
    #expect(fired.count == 2500 && fired == fired.sorted() && wrong == nil)
  }

  @Test func growthKeepsEntries() {
    var checked = Checked(slots: 1, now: 0)
    for slot in 0..<200 {
      checked.set(slot, at: .seconds(UInt64(slot) + 1))
      checked.grow(to: slot + 2)
    }
    let slots = checked.wheel.rows
    #expect(slots == 201)
    for second in 1...200 as ClosedRange<UInt64> { checked.advance(to: .seconds(second) + tick) }
    let (fired, wrong) = (checked.fired, checked.wrong.first)
    #expect(fired == 200 && wrong == nil)
  }

  @Test func itsMemoryIsTold() {
    var wheel = TimerWheel<Int>(rows: 16, now: 0)
    let before = wheel.blockCount
    wheel.grow(to: 17)
    let after = wheel.blockCount
    #expect((before, after) == (1, 2))
    var blocks = 0
    unsafe wheel.forEachBlock { _ in blocks += 1 }
    #expect(blocks == 2)
  }
}

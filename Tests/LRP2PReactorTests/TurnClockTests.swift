// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore
import LRP2PReactor
import Testing

@Suite struct TurnClockTests {
  /// Three ticks in two nanoseconds.
  private static func ticks(_ time: Nanoseconds) -> UInt64 { time / 2 * 3 }

  /// Parts of a nanosecond are cut off.
  private func isAbout(_ told: Instant?, _ time: Instant) -> Bool { told == time || told == time - 1 }

  /// Knows the rate from readings `apart`, the last of them at `start + apart`, where the counter stands at `counter`.
  private static func clock(
    from start: Instant, apart: Nanoseconds = TurnClock.base, counter: UInt64 = 5_000_000_000
  ) -> TurnClock {
    var clock = TurnClock(isUsable: true)
    let first = counter - ticks(apart)
    clock.take(start, from: first - 50, to: first)
    clock.take(start + apart, from: counter - 50, to: counter)
    return clock
  }

  @Test(arguments: [0, 1 << 40, 1 << 62] as [Instant], [100, 1_000, 10_000_000] as [UInt64])
  func tellsTheTimeNearAReading(start: Instant, milliseconds: UInt64) {
    let apart = Nanoseconds.milliseconds(milliseconds)
    let counter = Self.ticks(apart) + 100
    let clock = Self.clock(from: start, apart: apart, counter: counter)
    for later in [0, 2, 100, 50_000, 999_998] as [Nanoseconds] {
      let told = clock.instant(at: counter + Self.ticks(later))
      #expect(isAbout(told, start + apart + later), "\(later) ns later")
    }
    for later in [TurnClock.reach + 2, .seconds(1), .seconds(1 << 20)] as [Nanoseconds] {
      #expect(clock.instant(at: counter + Self.ticks(later)) == nil)
    }
    // Another processor's counter, behind.
    for earlier in [1, 1000, counter] { #expect(clock.instant(at: counter - earlier) == nil) }
  }

  @Test func knowsNothingBeforeTwoReadings() {
    var clock = TurnClock(isUsable: true)
    #expect(clock.instant(at: 0) == nil && clock.wantsReading(at: 0))
    clock.take(1000, from: 0, to: 30)
    #expect(clock.instant(at: 30) == nil && clock.wantsReading(at: 30))
    clock.take(1000 + TurnClock.base - 1, from: 1_000_000, to: 1_000_030)
    #expect(clock.rate == 0 && clock.instant(at: 1_000_030) == nil)
  }

  @Test func wantsReadingsWhileItIsOfUse() {
    let clock = Self.clock(from: 0)
    #expect(!clock.wantsReading(at: 5_000_000_000) && !clock.wantsReading(at: 5_000_000_000 + Self.ticks(200_000)))
    #expect(clock.wantsReading(at: 5_000_000_000 + Self.ticks(260_000)) && clock.wantsReading(at: 0))
    #expect(!TurnClock(isUsable: false).wantsReading(at: 0))
  }

  /// Whoever is interrupted while it reads does not know when that was.
  @Test func refusesAReadingThatTookLong() {
    var clock = Self.clock(from: 0)
    let counter = 5_000_000_000 + Self.ticks(400_000)
    clock.take(TurnClock.base + 900_000, from: counter, to: counter + Self.ticks(3_000))
    #expect(isAbout(clock.instant(at: counter), TurnClock.base + 400_000))
  }

  /// A first reading that was interrupted counts no longer once a shorter one shows that it was.
  @Test func beginsAnewBehindALongFirstReading() {
    var clock = TurnClock(isUsable: true)
    clock.take(0, from: 0, to: Self.ticks(.milliseconds(5)))
    let counter = Self.ticks(TurnClock.base)
    clock.take(TurnClock.base, from: counter - 50, to: counter)
    #expect(clock.rate == 0)
    clock.take(2 * TurnClock.base, from: 2 * counter - 50, to: 2 * counter)
    #expect(isAbout(clock.instant(at: 2 * counter + 150), 2 * TurnClock.base + 100))
  }

  /// A counter that slept while the clock went on tells a wrong rate: the next readings mend it.
  @Test func mendsARateThatWasTooHigh() {
    var clock = Self.clock(from: 0)
    let rate = clock.rate
    var counter = 5_000_000_000 + Self.ticks(.seconds(30))
    var time = TurnClock.base + .seconds(3600)
    clock.take(time, from: counter - 50, to: counter)
    #expect(clock.rate > 100 * rate)
    counter += Self.ticks(TurnClock.base)
    time += TurnClock.base
    clock.take(time, from: counter - 50, to: counter)
    #expect(clock.rate.distance(to: rate).magnitude <= 1)
    #expect(isAbout(clock.instant(at: counter + 150), time + 100))
  }

  /// After a rest of a day, and with a counter that has begun anew or stood still.
  @Test func findsTheRateAgain() {
    var clock = Self.clock(from: 0)
    let rate = clock.rate
    let day = Nanoseconds.seconds(86_400)
    var counter = 5_000_000_000 + Self.ticks(day)
    clock.take(TurnClock.base + day, from: counter - 50, to: counter)
    #expect(clock.rate.distance(to: rate).magnitude <= 1)
    #expect(isAbout(clock.instant(at: counter + 3), TurnClock.base + day + 2))
    for jump in [500, 5_000_000_000] as [UInt64] {
      counter = jump
      clock.take(TurnClock.base + 2 * day, from: counter - 50, to: counter)
      #expect(clock.instant(at: counter) == nil)
      counter += Self.ticks(.seconds(1))
      clock.take(TurnClock.base + 2 * day + .seconds(1), from: counter - 50, to: counter)
      let told = clock.instant(at: counter + 150)
      #expect(isAbout(told, TurnClock.base + 2 * day + .seconds(1) + 100))
      clock = Self.clock(from: 0)
    }
  }

  /// The real ones, if the system has such a counter: at no time further apart than a reading may take.
  @Test(.enabled(if: TurnClock.counterIsSteady)) func agreesWithTheSystem() {
    var clock = TurnClock(isUsable: true)
    let start = currentInstant()
    var compared = 0
    while currentInstant() < start + 3 * TurnClock.base {
      let before = lrp2p_counter()
      if clock.wantsReading(at: before) {
        let reading = currentInstant()
        clock.take(reading, from: before, to: lrp2p_counter())
      }
      let earliest = currentInstant()
      let told = clock.instant(at: lrp2p_counter())
      let latest = currentInstant()
      guard let told else { continue }
      compared += 1
      #expect(told + .microseconds(10) >= earliest && told <= latest + .microseconds(10))
    }
    #expect(compared > 0)
  }
}

// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// The time of each turn, from the processor's counter as long as a reading of the clock is near.
///
/// A reading costs a tenth of a microsecond behind a sleep, between a request and its answer, as neither the C library's code nor
/// the kernel's page are in the cache by then. The counter is an instruction. So the clock is read behind a turn's work, and what
/// has passed since then is told by the counter: for a millisecond at most, so that a counter that goes wrong (a virtual machine
/// may move to another processor) misleads until the next reading, and never further ahead than that.
package struct TurnClock: BitwiseCopyable {
  /// The last reading of the clock, and the counter then.
  private var instant: Instant = 0
  private var ticks: UInt64 = 0
  /// The reading that the counter's rate is measured from.
  private var first: (instant: Instant, ticks: UInt64)?
  /// Nanoseconds in 2^32 ticks; 0 as long as that is not known.
  package private(set) var rate: UInt64 = 0
  /// Ticks of the shortest reading so far; of very few a coarse counter makes no difference.
  private var shortest = UInt64.max
  private let isUsable: Bool

  /// How far from a reading the counter is believed.
  package static var reach: Nanoseconds { .milliseconds(1) }
  /// How far apart two readings are that tell the rate: a hundred times the reach, so that what one of them is off by is nothing.
  package static var base: Nanoseconds { .milliseconds(100) }
  /// A reading that takes so many times as long as the shortest was interrupted, and says nothing about the counter.
  private static var longestReading: UInt64 { 16 }

  /// - Parameter isUsable: whether the counter is the same on all processors, and steady.
  package init(isUsable: Bool) { self.isUsable = isUsable }

  /// Whether the kernel itself keeps time by the counter that `lrp2p_counter` reads: it does where that is steady and all
  /// processors agree on it.
  package static var counterIsSteady: Bool {
    var name = [UInt8](repeating: 0, count: 32)
    var span = name.mutableSpan
    var bytes = unsafe span.mutableBytes
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    guard let count = try? SmallFile.read(path, into: &bytes).count else { return false }
    let source = name.prefix(count)
    return source.elementsEqual("tsc\n".utf8) || source.elementsEqual("arch_sys_counter\n".utf8)
  }

  /// The time when the counter stands at `ticks`; nil when the clock has to be read.
  @inline(__always)
  package func instant(at ticks: UInt64) -> Instant? {
    // A counter that has gone back has gone very far ahead.
    let passed = nanoseconds(ticks &- self.ticks)
    return rate != 0 && passed <= Self.reach ? instant &+ passed : nil
  }

  @inline(__always)
  private func nanoseconds(_ ticks: UInt64) -> Nanoseconds {
    let product = ticks.multipliedFullWidth(by: rate)
    return product.high == 0 ? product.low >> 32 : .never
  }

  /// Whether there ought to be a new reading, for the turns to come.
  package func wantsReading(at ticks: UInt64) -> Bool {
    isUsable && (rate == 0 || nanoseconds(ticks &- self.ticks) > Self.reach / 4)
  }

  /// Takes a reading that was made while the counter went from `before` to `after`.
  package mutating func take(_ reading: Instant, from before: UInt64, to after: UInt64) {
    let length = max(after &- before, 8)
    // The first ones may have been interrupted themselves: whoever finds a much shorter one begins anew.
    if length < shortest / Self.longestReading { first = nil }
    shortest = min(shortest, length)
    guard length / Self.longestReading <= shortest else { return }
    (instant, ticks) = (reading, after)
    guard let first, reading > first.instant, after > first.ticks else {
      // The first one, or the counter is another one now.
      first = (reading, after)
      rate = 0
      return
    }
    let passed = reading - first.instant
    guard passed >= Self.base else { return }
    self.first = (reading, after)
    let counted = after - first.ticks
    rate = passed >> 32 < counted ? counted.dividingFullWidth((passed >> 32, passed << 32)).quotient : 0
  }

  /// The time now, at the start of a turn's work.
  @inline(__always)
  func now() -> Instant { rate == 0 ? currentInstant() : instant(at: lrp2p_counter()) ?? currentInstant() }

  /// To be called behind a turn's work: reads the clock if that is worth while.
  mutating func read() {
    guard isUsable else { return }
    let before = lrp2p_counter()
    guard wantsReading(at: before) else { return }
    let reading = currentInstant()
    take(reading, from: before, to: lrp2p_counter())
  }
}

/// A token bucket over bytes. Its burst is large enough that a GSO send leaves whole, and on fast paths covers what
/// the path carries in a millisecond, so that one timer tick never limits the rate.
package struct Pacer: BitwiseCopyable {
  // Fractions of a byte count: a slow path that is asked often gains less than one each time.
  private var credit = 0.0
  private var updated: Instant = 0
  /// Bytes per second; 0 before the first round trip, when only the initial window limits.
  package private(set) var rate: UInt64 = 0
  private var burst: UInt64 = 65_536

  package init() {}

  package mutating func setRate(bytesPerSecond: UInt64, now: Instant) {
    refill(now: now)
    rate = bytesPerSecond
    burst = max(rate / 1000, 16 * 1400)
  }

  package mutating func allows(now: Instant) -> Bool {
    guard rate > 0 else { return true }
    refill(now: now)
    return credit > 0
  }

  package mutating func spend(_ bytes: Int) {
    if rate > 0 { credit -= Double(bytes) }
  }

  /// When sending may go on after `allows` has said no: when the debt is paid and an eighth of the burst is there.
  package func nextSend(now: Instant) -> Instant {
    guard rate > 0 else { return now }
    let bytes = Double(max(burst / 8, 4 * 1400)) + max(-credit, 0)
    return now + Nanoseconds(min(bytes / Double(rate), 3600) * 1e9)
  }

  private mutating func refill(now: Instant) {
    guard now > updated else { return }
    let gained = updated == 0 ? Double(burst) : Double(rate) * Double(now - updated) / 1e9
    credit = min(credit + gained, Double(burst))
    updated = now
  }
}

/// A token bucket over bytes. Its burst is large enough that a GSO send leaves whole, and on fast paths covers what
/// the path carries in a millisecond, so that one timer tick never limits the rate.
package struct Pacer: BitwiseCopyable {
  private var credit: Int64 = 0
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
    if rate > 0 { credit -= Int64(bytes) }
  }

  /// When sending may go on after `allows` has said no: when the debt is paid and an eighth of the burst is there.
  package func nextSend(now: Instant) -> Instant {
    guard rate > 0 else { return now }
    let bytes = max(burst / 8, 4 * 1400) + UInt64(max(-credit, 0))
    return now + bytes * 1_000_000 / max(rate / 1000, 1)
  }

  private mutating func refill(now: Instant) {
    guard now > updated else { return }
    if updated == 0 {
      credit = Int64(burst)
    } else {
      let elapsed = min(now - updated, .milliseconds(100))
      let (gained, _) = (rate / 1000).multipliedReportingOverflow(by: elapsed)
      credit = min(credit + Int64(gained / 1_000_000), Int64(burst))
    }
    updated = now
  }
}

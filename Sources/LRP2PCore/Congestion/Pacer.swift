// SPDX-License-Identifier: MIT
/// A token bucket over bytes (RFC 9002, 7.7). Its burst is what the path carries in a millisecond, so that one timer tick never
/// limits the rate, and two packets at least: more would overflow the short queues of slow paths. A sender that has waited for
/// credit and is called late has all that it was to send in that time.
package struct Pacer: BitwiseCopyable {
  // Fractions of a byte count: a slow path that is asked often gains less than one each time.
  private var credit = 0.0
  private var updated: Instant = 0
  /// Bytes per second; 0 before the first round trip, when only the initial window limits.
  package private(set) var rate: UInt64 = 0
  private var burst: UInt64 = 65_536
  /// Data is waiting for credit since the last look: what time brings is not lost if the next one comes late.
  private var isWaiting = false
  /// What time brought lately beyond what was waited for, as turns came late: so much may be saved while something else holds the
  /// sender back.
  private var lateBytes = 0.0
  /// Bytes that leave together at least; 0 leaves that to the rate.
  private var quantum: UInt64 = 0
  /// The credit is spent: sending goes on when there is enough for a burst.
  private var isFilling = false

  package init() {}

  /// - Parameter roundTrip: the shortest of the path, or `.max`. A burst is a quarter of it at most, as the queue may be no longer than the
  ///   path.
  package mutating func setRate(bytesPerSecond: UInt64, roundTrip: Nanoseconds = .max, now: Instant) {
    refill(now: now)
    rate = bytesPerSecond
    let length = min(max(roundTrip / 4, Self.shortestBurst), Self.longestBurst)
    burst = max(min(rate, Self.fastest) * length / 1_000_000_000, Self.leastBurst, quantum)
  }

  private static var shortestBurst: Nanoseconds { .microseconds(125) }
  private static var longestBurst: Nanoseconds { .milliseconds(1) }
  private static var fastest: UInt64 { 1 << 40 }

  /// The first data leaves: of it `burst` bytes at once.
  package mutating func start(bytesPerSecond: UInt64, burst bytes: Int, now: Instant) {
    rate = bytesPerSecond
    burst = UInt64(bytes)
    credit = Double(bytes)
    updated = now
  }

  private static var leastBurst: UInt64 { 2 * 1400 }
  /// A turn that comes later than this loses the rest.
  private static var longestTurn: Nanoseconds { .milliseconds(100) }

  /// Sends in trains of so many bytes, from a full one on; 0 ends that.
  package mutating func setQuantum(_ bytes: Int) {
    quantum = UInt64(bytes)
    burst = max(rate / 1000, Self.leastBurst, quantum)
    guard quantum > 0 else { return }
    credit = Double(quantum)
    isFilling = false
  }

  /// Something else holds the sender back now: what time brings from here on is not credit that it has waited for.
  package mutating func stopsWaiting(now: Instant) {
    guard isWaiting else { return }
    refill(now: now)
    isWaiting = false
  }

  /// Nothing is in flight: how late turns were is forgotten.
  package mutating func restarted() { lateBytes = 0 }

  package mutating func allows(now: Instant) -> Bool {
    guard rate > 0 else { return true }
    refill(now: now)
    // What a nanosecond brings is not told apart.
    if isFilling, credit >= least - max(Double(rate) / 1e9, 1) { isFilling = false }
    if isWaiting, !isFilling { lateBytes = max(credit - least, lateBytes - lateBytes / 8) }
    isWaiting = isFilling
    return !isFilling
  }

  /// How many packets of so many bytes each `allows` would let out one behind the other.
  package mutating func allowance(of bytes: Int, now: Instant) -> Int {
    guard allows(now: now) else { return 0 }
    guard rate > 0 else { return Int(Int32.max) }
    return max(Int((min(credit, Double(Int32.max)) / Double(bytes)).rounded(.up)), 1)
  }

  /// The smallest burst: what the path carries in an eighth of a millisecond, or four packets, or on a slow path two.
  private var least: Double {
    Double(quantum > 0 ? quantum : max(rate / 8000, min(4 * 1400, max(rate / 1000, Self.leastBurst))))
  }

  package mutating func spend(_ bytes: Int) {
    guard rate > 0 else { return }
    // Probes leave unasked: what they owe must not keep everything else waiting for ever.
    credit = max(credit - Double(bytes), -Double(max(burst, UInt64(bytes))))
    if credit <= 0 { isFilling = true }
  }

  /// When sending may go on after `allows` has said no.
  package func nextSend(now: Instant) -> Instant {
    guard rate > 0 else { return now }
    return now + max(Nanoseconds(min(max(least - credit, 0) / Double(rate), 3600) * 1e9), 1)
  }

  private mutating func refill(now: Instant) {
    guard now > updated else { return }
    let gained = updated == 0 ? Double(burst) : Double(rate) * Double(now - updated) / 1e9
    // One that waits has all that time brings, however late its turn.
    let late = Double(rate) * Double(Self.longestTurn) / 1e9
    credit = min(credit + gained, max(Double(burst), isWaiting ? late : min(lateBytes, late)))
    updated = now
  }
}

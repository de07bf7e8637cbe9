// SPDX-License-Identifier: MIT
/// A planned outage: a clock that stands still until it is over, and continues from there.
package struct Outage: BitwiseCopyable {
  /// How long the clock has stood still in all.
  private var stood: Nanoseconds = 0
  package private(set) var isOn = false
  /// What the clock showed when it stood still last; 0 is never. What left until then has been on its way for longer
  /// than the clock shows.
  package private(set) var lastStop: Instant = 0
  // On the clock that does not stop.
  private var began: Instant = 0
  private var end: Instant = 0
  private var endsEarly = false
  /// The last `real` that was seen.
  private var newest: Instant = 0

  package init() {}

  /// What the clock shows when the one that does not stop shows `real`.
  package mutating func time(at real: Instant) -> Instant {
    newest = max(newest, real)
    guard isOn else { return real - min(stood, real) }
    guard endsEarly || real >= end else { return began - stood }
    isOn = false
    stood += max(min(real, end), began) - began
    endsEarly = false
    return real - min(stood, real)
  }

  /// The same the other way round: when a deadline is met.
  package func real(_ deadline: Instant) -> Instant {
    if isOn { return endsEarly ? 0 : end }
    let (sum, isBeyond) = deadline.addingReportingOverflow(stood)
    return isBeyond ? .never : sum
  }

  /// Stands still from `now` on, which the clock shows; a second call moves the end.
  package mutating func begin(now: Instant, until deadline: Instant) {
    if !isOn { began = now + stood }
    isOn = true
    lastStop = now
    endsEarly = deadline <= now
    // A second call may come when more time has passed than the clock shows: that much stays uncounted.
    if !endsEarly { end = max(deadline + stood, newest) }
  }
}

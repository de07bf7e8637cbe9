/// A planned outage: a clock that stands still until it is over, and continues from there.
package struct Outage: BitwiseCopyable {
  /// How long the clock has stood still in all.
  private var stood: Nanoseconds = 0
  package private(set) var isOn = false
  // On the clock that does not stop.
  private var began: Instant = 0
  private var end: Instant = 0
  private var endsEarly = false

  package init() {}

  /// What the clock shows when the one that does not stop shows `real`.
  package mutating func time(at real: Instant) -> Instant {
    guard isOn else { return real - min(stood, real) }
    guard endsEarly || real >= end else { return began - stood }
    isOn = false
    stood += max(endsEarly ? min(real, end) : end, began) - began
    endsEarly = false
    return real - min(stood, real)
  }

  /// The same the other way round: when a deadline is met.
  package func real(_ deadline: Instant) -> Instant {
    if isOn { return endsEarly ? 0 : end }
    return deadline == .never ? .never : deadline + stood
  }

  /// Stands still from `now` on, which the clock shows; a second call moves the end.
  package mutating func begin(now: Instant, until deadline: Instant) {
    if !isOn { began = now + stood }
    isOn = true
    endsEarly = deadline <= now
    end = deadline + stood
  }
}

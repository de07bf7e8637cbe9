// SPDX-License-Identifier: MIT
// Planned outages: a satellite that sets, a machine that is moved.

extension Engine {
  /// The longest that the engine can be suspended at once.
  private static var longestSuspension: Nanoseconds { .seconds(366 * 24 * 3600) }

  /// Holds everything until a moment that is known. Nothing is sent, `now` stands still, and with it all timers, those of
  /// the user included. So no connection times out, nothing is taken for lost, and what is known of the paths stays.
  /// Datagrams that arrive are taken, and answered afterwards. The other side has to do the same.
  ///
  /// - Parameter deadline: on the clock of `now` as if it did not stop, at most 366 days away. One that has passed ends
  ///   the suspension with the next turn. A second call replaces the first.
  /// - Returns: `refused` for a deadline that is too far away.
  @discardableResult
  public mutating func suspend(until deadline: Instant) -> CommandResult {
    guard deadline <= now || deadline - now <= Self.longestSuspension else { return .refused }
    guard deadline > now || isSuspended else { return .done }
    schedule.outage.begin(now: now, until: deadline)
    return .done
  }

  /// Whether `suspend` holds everything.
  public var isSuspended: Bool { schedule.outage.isOn }

  /// The reactor's clock shows `real`.
  @inline(__always)
  mutating func advance(to real: Instant) { now = max(now, schedule.outage.time(at: real)) }
}

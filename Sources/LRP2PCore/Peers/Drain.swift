/// The wait of a connection that is over for a reader which has not had all that was acknowledged.
///
/// How long a reader may stand still is counted in ticks, each from the moment that the one before was noticed: a machine that
/// was suspended, or a process that was stopped, has spent one of them at most, however long that was.
package struct Drain {
  /// Why the connection has ended.
  package private(set) var reason = CloseReason.finished
  /// The own direction had been finished and acknowledged.
  package private(set) var isSendComplete = false
  /// When it ended; 0 is not yet.
  package private(set) var began: Instant = 0
  package private(set) var deadline: Instant = .never
  private var ticks = 0

  private static var ticksAllowed: Int { 8 }

  package init() {}

  package var isOver: Bool { began != 0 }

  /// - Parameter patience: how long the reader may stand still; 0 is for ever.
  package mutating func begin(_ reason: CloseReason, isSendComplete: Bool, patience: Nanoseconds, now: Instant) {
    self.reason = reason
    self.isSendComplete = isSendComplete
    began = max(now, 1)
    waitAnew(patience: patience, now: now)
  }

  /// The reader has taken something.
  package mutating func waitAnew(patience: Nanoseconds, now: Instant) {
    ticks = 0
    deadline = patience == 0 ? .never : now + Self.tick(of: patience)
  }

  /// The deadline has come.
  /// - Returns: whether the reader has stood still for all of `patience`.
  package mutating func tick(patience: Nanoseconds, now: Instant) -> Bool {
    ticks += 1
    deadline = now + Self.tick(of: patience)
    return ticks >= Self.ticksAllowed
  }

  private static func tick(of patience: Nanoseconds) -> Nanoseconds { max(patience / UInt64(ticksAllowed), 1) }
}

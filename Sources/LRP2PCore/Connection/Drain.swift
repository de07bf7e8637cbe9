// SPDX-License-Identifier: MIT
/// The wait of a connection that is over for a reader which has not had all that was acknowledged.
package struct Drain {
  /// Why the connection has ended.
  package private(set) var reason = CloseReason.finished
  /// The own direction had been finished and acknowledged.
  package private(set) var isSendComplete = false
  /// When it ended; 0 is not yet.
  package private(set) var began: Instant = 0
  fileprivate var ticks = 0

  fileprivate static var ticksAllowed: Int { 8 }

  package init() {}

  package var isOver: Bool { began != 0 }

  package mutating func begin(_ reason: CloseReason, isSendComplete: Bool, now: Instant) {
    self.reason = reason
    self.isSendComplete = isSendComplete
    began = max(now, 1)
  }
}

/// How long a reader may stand still is counted in ticks, each from the moment that the one before was noticed: a machine that
/// was suspended, or a process that was stopped, has spent one of them at most, however long that was.
extension Flow {
  /// The reader's time begins, or begins anew as it has taken something.
  ///
  /// - Parameter patience: how long it may stand still; 0 is for ever.
  mutating func waitForReader(patience: Nanoseconds, now: Instant) {
    ending.drain.ticks = 0
    ending.lingerDeadline = patience == 0 ? .never : now + Self.tick(of: patience)
  }

  /// The deadline has come.
  /// - Returns: whether the reader has stood still for all of `patience`.
  mutating func readerStoodStill(patience: Nanoseconds, now: Instant) -> Bool {
    ending.drain.ticks += 1
    ending.lingerDeadline = now + Self.tick(of: patience)
    return ending.drain.ticks >= Drain.ticksAllowed
  }

  private static func tick(of patience: Nanoseconds) -> Nanoseconds { max(patience / UInt64(Drain.ticksAllowed), 1) }
}

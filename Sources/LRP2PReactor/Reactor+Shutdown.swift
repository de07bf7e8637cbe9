// SPDX-License-Identifier: MIT
import LRP2PCore

// The end of a reactor, in good order: connections that are left to end, and what is ready to leave.

extension Reactor {
  /// Lets the connections end: accepts no more of them (`Engine.stopAccepting`), turns until all are over or `deadline` has come, and
  /// then closes those that are left with `CloseCode.goingAway`. What is ready is sent, as by `flush`, for a second at most. A
  /// suspension (`Engine.suspend`) ends.
  ///
  /// It finishes nothing by itself, as only the program knows what it still has to say: call `Engine.finish` for each of
  /// `Engine.connectedPeers()` first, or let the handler do so. Call it between turns, on the reactor's thread.
  ///
  /// - Parameters:
  ///   - handler: is called as by `run`.
  ///   - deadline: on the clock of `Engine.now`: `engine.now + .seconds(10)`, for example.
  /// - Returns: how many connections were left at the deadline, and were closed.
  /// - Throws: as `turn`.
  @discardableResult
  public mutating func drain<H: Handler>(_ handler: inout H, deadline: Instant) throws(SystemError) -> Int {
    engine.stopAccepting()
    var open = Slot(0)
    while let wait = openWait(&open, until: deadline) { try turn(&handler, timeout: wait) }
    let left = closeRest()
    try flush(&handler, timeout: .seconds(1))
    return left
  }

  /// Turns until all who are ready to send have had a share: a CLOSE or an ACK that is owed has left then, and of much data a
  /// part. For a program that turns a reactor and is about to let go of it; `run` does so by itself.
  ///
  /// - Parameters:
  ///   - handler: is called as by `run`.
  ///   - timeout: the longest it may take, where the socket is full.
  /// - Throws: as `turn`.
  public mutating func flush<H: Handler>(_ handler: inout H, timeout: Nanoseconds = .seconds(5)) throws(SystemError) {
    let end = currentInstant() &+ min(timeout, 1 << 62)
    var left = flushTurns
    while left > 0, let wait = flushWait(until: end) {
      if wait == 0 { left -= 1 }
      try turn(&handler, timeout: wait)
    }
  }

  /// How long the next turn may wait for connections to end; nil when none is open, or the time is over.
  ///
  /// - Parameter open: where an open one was found last, as looking at all of them each time would take long.
  private mutating func openWait(_ open: inout Slot, until deadline: Instant) -> Nanoseconds? {
    // Also one that a callback has begun: nothing would come to an end.
    if engine.isSuspended { engine.suspend(until: engine.now) }
    guard let found = engine.firstOpen(from: open) ?? engine.firstOpen(from: Slot(0)) else { return nil }
    open = found
    return engine.now < deadline ? deadline - engine.now : nil
  }

  private mutating func closeRest() -> Int {
    guard engine.firstOpen(from: Slot(0)) != nil else { return 0 }
    let left = engine.connectedPeers().count
    engine.closeAll()
    return left
  }
}

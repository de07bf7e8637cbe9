// SPDX-License-Identifier: MIT
import LRP2PCore

/// Polls for a while before a wait sleeps, as long as that pays: waking a thread takes longer than most answers do on a
/// short path, but polling takes the whole core.
///
/// A spin pays when it ends with what was waited for. One in vain has the next wait sleep at once, the next one in vain
/// the next two, then four, up to 64; the first that pays ends this. So a reactor with nothing to do spins at one wait in
/// 65, and one that answers requests comes back to spinning with the first that follows another fast enough.
package struct AdaptiveSpin: BitwiseCopyable {
  /// How long a spin may take; 0: there is none.
  package let longest: Nanoseconds
  /// Waits that still sleep at once.
  private var pause = 0
  /// How many will after the next spin in vain.
  private var nextPause = 1
  /// Spins, and those that ended with nothing.
  package private(set) var spins: UInt64 = 0
  package private(set) var inVain: UInt64 = 0

  private static var longestPause: Int { 64 }

  package init(longest: Nanoseconds) { self.longest = longest }

  /// Says how long a wait is to spin, which has `timeout` at most; 0: not at all. A wait that spins calls `ended`.
  package mutating func begin(_ timeout: Nanoseconds) -> Nanoseconds {
    if longest == 0 || timeout == 0 { return 0 }
    if pause > 0 {
      pause -= 1
      return 0
    }
    spins &+= 1
    return min(longest, timeout)
  }

  /// - Parameter paid: whether an event came, or the time that the wait was for.
  package mutating func ended(paid: Bool) {
    if paid {
      nextPause = 1
      return
    }
    inVain &+= 1
    pause = nextPause
    nextPause = min(2 * nextPause, Self.longestPause)
  }

  /// Waits on `backend` like its own `wait`, and spins first where that is worth it.
  mutating func wait<B: Backend & ~Copyable>(until deadline: Instant, on backend: inout B) throws(SystemError) -> Wake {
    // An event that only makes room to send ends a sleep, but shows in no `Wake`: then sleep.
    if longest == 0 || deadline == 0 || !backend.canSend(now: 0) { return try backend.wait(until: deadline) }
    var now = currentInstant()
    let spin = begin(deadline > now ? deadline - now : 0)
    if spin == 0 { return try backend.wait(until: deadline) }
    let end = now + spin
    repeat {
      let wake = try backend.wait(until: 0)
      if wake.hasEvent {
        ended(paid: true)
        return wake
      }
      now = currentInstant()
    } while now < end
    // A timer is due: on time, which a sleep rarely is.
    let isDue = now >= deadline
    ended(paid: isDue)
    return isDue ? Wake() : try backend.wait(until: deadline)
  }
}

// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// The kernel timer that ends a backend's waits.
///
/// A wait's own timeout is a timer that the kernel starts and cancels each time, and where it would be the processor's next
/// one that means to set the hardware's, twice: in a virtual machine one to two microseconds each. But the deadline of a
/// connection that talks moves on with every datagram. So this timer, a timerfd that the backend watches, is left alone while
/// it comes no later than what is waited for: a wait that it ends too early finds nothing to do and starts it anew, once in
/// the time that a deadline is ahead.
package struct WaitTimer: ~Copyable {
  /// nil where the system has none for us: then every wait has its own timeout.
  private let timer: FileDescriptor?
  /// When it will go off; `.never`: it has, or was never started.
  package private(set) var expiry = Instant.never
  /// How often it was started.
  package private(set) var starts = 0

  /// What is nearer than this is waited for by the wait's own timeout, as there hardly is a second wait until then.
  package static var shortest: Nanoseconds { .microseconds(100) }

  package init() {
    let result = lrp2p_timerfd()
    timer = result >= 0 ? FileDescriptor(owning: result) : nil
  }

  /// What to watch, for edges: it is never read, so that it stays readable once it has gone off. -1: nothing.
  package var descriptor: Int32 {
    switch timer {
    case .some(let timer): return timer.raw
    case .none: return -1
    }
  }

  /// The timeout of a wait that is to end by `deadline`, in nanoseconds: 0 where that has passed, `.never` where this timer
  /// ends it.
  package mutating func timeout(until deadline: Instant) -> Nanoseconds {
    if deadline >= expiry { return .never }
    if deadline == 0 { return 0 }
    let now = currentInstant()
    guard deadline > now else { return 0 }
    let left = deadline - now
    guard left >= Self.shortest, descriptor >= 0, lrp2p_timerfd_start(descriptor, deadline) >= 0 else { return left }
    expiry = deadline
    starts += 1
    return .never
  }

  /// To be called when the watched descriptor has become readable.
  package mutating func didExpire() { expiry = .never }
}

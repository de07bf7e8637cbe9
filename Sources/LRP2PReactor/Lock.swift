// SPDX-License-Identifier: MIT
import Glibc

/// A value that threads share, behind a mutex of the C library.
///
/// Not the standard library's `Mutex`: that one locks by futex in code which the thread sanitizer does not see, so it
/// would report every access as a race, or have to be told to look away. It sees pthread mutexes.
///
/// `@unchecked Sendable`: the state is reached only through `withLock`, one thread at a time, and freed by `deinit`, which
/// runs when no thread has a reference. What the state holds may go to other threads, so keep it to Sendable values.
@safe
package final class Locked<State: ~Copyable>: @unchecked Sendable {
  // Both owned; on the heap because a mutex must not move.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let state: UnsafeMutablePointer<State>

  package init(_ initial: consuming State) {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    precondition(unsafe pthread_mutex_init(mutex, nil) == 0, "a mutex cannot be made")
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: initial)
  }

  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// Calls `body` with the state, which must not escape. The lock is not recursive; what may take long, or runs code of the
  /// user, belongs behind it.
  @inline(__always)
  package func withLock<Result, Failure: Error>(_ body: (inout State) throws(Failure) -> Result) throws(Failure)
    -> Result
  {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try unsafe body(&state.pointee)
  }
}

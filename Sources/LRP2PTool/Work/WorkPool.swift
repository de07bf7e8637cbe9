// SPDX-License-Identifier: MIT
import Glibc
import LRP2PReactor

/// Threads for work that may block: disks, hashing. They are started as they are needed, one more whenever all are busy, and stay.
///
/// `@unchecked Sendable`: the state is only touched under the mutex, which lives as long as the pool; the threads hold it.
@safe
package final class WorkPool: @unchecked Sendable {
  private let mostThreads: Int
  // Both owned.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var waiting: [@Sendable () -> Void] = []
  private var first = 0
  private var threads = 0
  private var idle = 0

  package init(mostThreads: Int = 64) {
    self.mostThreads = mostThreads
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition = .allocate(capacity: 1)
    unsafe condition.initialize(to: pthread_cond_t())
    precondition(unsafe pthread_mutex_init(mutex, nil) == 0 && pthread_cond_init(condition, nil) == 0)
  }

  // Its threads hold it for ever: it is never freed once it has any.
  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe condition.deallocate()
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  /// Has `work` done by one of the threads. Where the system gives no thread at all, the caller does it.
  package func submit(_ work: @escaping @Sendable () -> Void) {
    unsafe pthread_mutex_lock(mutex)
    waiting.append(work)
    let starts = waiting.count - first > idle && threads < mostThreads
    if starts { threads += 1 }
    unsafe pthread_cond_signal(condition)
    unsafe pthread_mutex_unlock(mutex)
    guard starts else { return }
    do throws(SystemError) { try Thread.start("lrp2p-disk") { self.serve() } } catch {
      unsafe pthread_mutex_lock(mutex)
      threads -= 1
      let isAlone = threads == 0
      let rest = isAlone ? Array(waiting[first...]) : []
      if isAlone { (waiting, first) = ([], 0) }
      unsafe pthread_mutex_unlock(mutex)
      for work in rest { work() }
    }
  }

  private func serve() {
    while true { next()() }
  }

  private func next() -> @Sendable () -> Void {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    idle += 1
    while first == waiting.count { unsafe pthread_cond_wait(condition, mutex) }
    idle -= 1
    let work = waiting[first]
    first += 1
    if first == waiting.count || first >= 1024 {
      waiting.removeFirst(first)
      first = 0
    }
    return work
  }
}

// SPDX-License-Identifier: MIT
import CLinux
import Glibc

/// A thread of the system.
package struct Thread: Sendable, Equatable {
  private let handle: pthread_t

  /// The calling thread.
  package static var current: Thread { Thread(handle: pthread_self()) }

  package static func == (a: Thread, b: Thread) -> Bool { pthread_equal(a.handle, b.handle) != 0 }

  /// Runs `body` on a new thread that nobody joins.
  ///
  /// - Parameter name: at most 15 bytes; what `ps -L` shows.
  /// - Throws: EAGAIN when the system allows no more threads.
  package static func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    let start = Start(name: name, body: body)
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let opaque = unsafe Unmanaged.passRetained(start)
    var handle = pthread_t()
    let code = unsafe pthread_create(
      &handle, &attributes,
      { argument in
        let start = unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
        unsafe start.name.withCString { unsafe lrp2p_name_thread($0) }
        lrp2p_refuse_timer_slack()
        start.body()
        return nil
      }, opaque.toOpaque())
    guard code == 0 else {
      unsafe opaque.release()
      throw SystemError(code: code, operation: "start thread \(name)")
    }
  }

  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
}

/// One answer that a thread waits for by blocking.
///
/// `@unchecked Sendable`: the answer is only touched under the mutex. It lives as long as the waiter and the one who answers
/// hold it.
@safe
package final class Rendezvous<Answer: Sendable>: @unchecked Sendable {
  // Both owned.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var answer: Answer?

  package init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition = .allocate(capacity: 1)
    unsafe condition.initialize(to: pthread_cond_t())
    precondition(unsafe pthread_mutex_init(mutex, nil) == 0 && pthread_cond_init(condition, nil) == 0)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe condition.deallocate()
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  /// Wakes the thread that waits. Once.
  package func deliver(_ answer: Answer) {
    unsafe pthread_mutex_lock(mutex)
    self.answer = answer
    unsafe pthread_cond_signal(condition)
    unsafe pthread_mutex_unlock(mutex)
  }

  /// Blocks the calling thread until the answer is there.
  package func wait() -> Answer {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while true {
      if let answer { return answer }
      unsafe pthread_cond_wait(condition, mutex)
    }
  }
}

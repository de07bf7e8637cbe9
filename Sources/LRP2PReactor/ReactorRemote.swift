// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// Reaches a reactor from any thread, also after the reactor is gone (then nothing happens).
public final class ReactorRemote: Sendable {
  package struct Pending: ~Copyable {
    var tasks: [@Sendable (inout Engine) -> Void] = []
    var isStopped = false
    /// The eventfd is set and the reactor has not looked yet: no need for another system call.
    var isSignalled = false
    /// Closed with the reactor, even if this object lives on.
    var eventfd: FileDescriptor?
  }

  private let pending: Locked<Pending>
  /// For the reactor's epoll.
  let descriptor: Int32
  /// In a forked child all calls do nothing: another thread may have held the lock at the fork, and nobody lets go of it there.
  package let process = ProcessMark()

  init() throws(SystemError) {
    let eventfd = FileDescriptor(owning: try check(lrp2p_eventfd(), "create eventfd"))
    descriptor = eventfd.raw
    pending = Locked(Pending(eventfd: eventfd))
  }

  /// Ends the reactor's wait: the turn goes on as if its timeout had passed.
  public func wake() {
    if process.isForked { return }
    pending.withLock { Self.signal(&$0) }
  }

  /// Has the reactor's thread run `task` in its next turn; what it asks of the engine leaves with that turn. Tasks run
  /// in the order of their submission, each once, and not at all when the reactor is gone. They must not block.
  public func submit(_ task: @escaping @Sendable (inout Engine) -> Void) {
    if process.isForked { return }
    pending.withLock {
      guard $0.eventfd != nil else { return }
      $0.tasks.append(task)
      Self.signal(&$0)
    }
  }

  /// Makes `Reactor.run` return at the end of its turn; a run that has not begun returns after one turn.
  public func stop() {
    if process.isForked { return }
    pending.withLock {
      $0.isStopped = true
      Self.signal(&$0)
    }
  }

  /// Takes what was submitted, in exchange for an empty list to collect in.
  /// - Returns: whether `stop` was called since the last time.
  func take(_ tasks: inout [@Sendable (inout Engine) -> Void]) -> Bool {
    // Cleared before the list is taken: what comes in between sets it again or is taken already.
    _ = lrp2p_eventfd_clear(descriptor)
    return pending.withLock {
      swap(&$0.tasks, &tasks)
      $0.isSignalled = false
      let isStopped = $0.isStopped
      $0.isStopped = false
      return isStopped
    }
  }

  /// The reactor is going: what was submitted is dropped, what comes is ignored.
  func retire() {
    if process.isForked { return }
    // Freed behind the lock: a task may hold what calls this object when it goes.
    var tasks: [@Sendable (inout Engine) -> Void] = []
    pending.withLock {
      swap(&$0.tasks, &tasks)
      $0.eventfd = nil
    }
  }

  private static func signal(_ pending: inout Pending) {
    if pending.isSignalled { return }
    guard let raw = pending.eventfd?.raw else { return }
    // Where it fails the next call tries again.
    pending.isSignalled = lrp2p_eventfd_signal(raw) >= 0
  }

  /// Retires the remote with the reactor that holds it.
  struct Retirement: ~Copyable {
    let remote: ReactorRemote
    deinit { remote.retire() }
  }
}

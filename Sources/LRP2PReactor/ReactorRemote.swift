import CLinux
import LRP2PCore
import Synchronization

/// Reaches a reactor from any thread, also after the reactor is gone (then nothing happens).
public final class ReactorRemote: Sendable {
  private struct Pending {
    var tasks: [@Sendable (inout Engine) -> Void] = []
    var isStopped = false
    /// The eventfd is set and the reactor has not looked yet: no need for another system call.
    var isSignalled = false
  }

  private let pending = Mutex(Pending())
  private let eventfd: FileDescriptor

  init() throws(SystemError) {
    eventfd = FileDescriptor(owning: try check(lrp2p_eventfd(), "create eventfd"))
  }

  /// Ends the reactor's wait: the turn goes on as if its timeout had passed.
  public func wake() {
    pending.withLock { signal(&$0) }
  }

  /// Has the reactor's thread run `task` in its next turn; what it asks of the engine leaves with that turn. Tasks run
  /// in the order of their submission, each once, and not at all when the reactor is gone. They must not block.
  public func submit(_ task: @escaping @Sendable (inout Engine) -> Void) {
    pending.withLock {
      $0.tasks.append(task)
      signal(&$0)
    }
  }

  /// Makes `Reactor.run` return at the end of its turn; a run that has not begun returns after one turn.
  public func stop() {
    pending.withLock {
      $0.isStopped = true
      signal(&$0)
    }
  }

  /// For the reactor's epoll.
  var descriptor: Int32 { eventfd.raw }

  /// Takes what was submitted, in exchange for an empty list to collect in.
  /// - Returns: whether `stop` was called since the last time.
  func take(_ tasks: inout [@Sendable (inout Engine) -> Void]) -> Bool {
    // Cleared before the list is taken: what comes in between sets it again or is taken already.
    _ = lrp2p_eventfd_clear(eventfd.raw)
    return pending.withLock {
      swap(&$0.tasks, &tasks)
      $0.isSignalled = false
      let isStopped = $0.isStopped
      $0.isStopped = false
      return isStopped
    }
  }

  private func signal(_ pending: inout Pending) {
    if pending.isSignalled { return }
    pending.isSignalled = true
    _ = lrp2p_eventfd_signal(eventfd.raw)
  }
}

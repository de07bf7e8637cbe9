// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// Reaches a reactor from any thread, also after the reactor is gone (then nothing happens).
public final class ReactorRemote: Sendable {
  package struct Pending: ~Copyable {
    var tasks: [any ReactorTask] = []
    var isStopped = false
    var isWoken = false
    /// The eventfd is set, or about to be, and the reactor has not looked yet: no need for another system call.
    var isSignalled = false
    /// The reactor looks before it waits: no need for one either.
    var isAwake = false
    /// Given up with the reactor, even if this object lives on.
    var signal: Signal?

    /// Whether there is something for the reactor to look at.
    var hasCalls: Bool { !tasks.isEmpty || isStopped || isWoken }

    /// What has to be set so that the reactor looks.
    mutating func call() -> Signal? {
      if isSignalled || isAwake { return nil }
      isSignalled = true
      return signal
    }
  }

  /// The eventfd: closed when the reactor is gone, and with it the last call that is about to signal.
  final class Signal: Sendable {
    private let eventfd: FileDescriptor

    init() throws(SystemError) { eventfd = FileDescriptor(owning: try check(lrp2p_eventfd(), "create eventfd")) }

    var raw: Int32 { eventfd.raw }

    /// - Returns: whether the kernel has taken it.
    func set() -> Bool { lrp2p_eventfd_signal(eventfd.raw) >= 0 }
  }

  private let pending: Locked<Pending>
  /// For the reactor's epoll.
  let descriptor: Int32
  /// In a forked child all calls do nothing: another thread may have held the lock at the fork, and nobody lets go of it there.
  package let process = ProcessMark()

  init() throws(SystemError) {
    let signal = try Signal()
    descriptor = signal.raw
    pending = Locked(Pending(signal: signal))
  }

  /// Ends the reactor's wait: the turn continues as if its timeout had passed.
  public func wake() { change { $0.isWoken = true } }

  /// Has the reactor's thread run `task` in its next turn; what it asks of the engine leaves with that turn. Tasks run
  /// in the order of their submission, each once, and not at all when the reactor is gone. They must not block. For tasks that need the
  /// handler, too, there is `Reactor.remote(to:)`.
  public func submit(_ task: @escaping @Sendable (inout Engine) -> Void) { submit(EngineTask(body: task)) }

  func submit(_ task: any ReactorTask) { change { $0.tasks.append(task) } }

  /// Makes `Reactor.run` return at the end of its turn; a run that has not begun returns after one turn.
  public func stop() { change { $0.isStopped = true } }

  /// Signals outside of the lock, so that the reactor's thread does not wake up only to wait for it.
  private func change(_ body: (inout Pending) -> Void) {
    if process.isForked { return }
    let signal: Signal? = pending.withLock { pending in
      guard pending.signal != nil else { return nil }
      body(&pending)
      return pending.call()
    }
    send(signal)
  }

  /// Where it fails the next call tries again.
  private func send(_ signal: Signal?) {
    guard let signal, !signal.set() else { return }
    pending.withLock { $0.isSignalled = false }
  }

  /// In a loop of turns, after a wait: nobody need signal, as `maySleep` is asked before the next one.
  func stayAwake() {
    if !process.isForked { pending.withLock { $0.isAwake = true } }
  }

  /// In a loop of turns, before a wait.
  /// - Returns: whether there is nothing to look at. From here on what is asked for is signalled.
  func maySleep() -> Bool {
    if process.isForked { return true }
    return pending.withLock {
      if $0.hasCalls { return false }
      $0.isAwake = false
      return true
    }
  }

  /// The loop is over: whatever it has not looked at is signalled now.
  /// - Parameter isStopped: by `stop`. Who has called it once more meanwhile has meant the same loop.
  func endLoop(isStopped: Bool) {
    if process.isForked { return }
    let signal: Signal? = pending.withLock {
      $0.isAwake = false
      if isStopped { $0.isStopped = false }
      return $0.hasCalls ? $0.call() : nil
    }
    send(signal)
  }

  /// Takes what was submitted, in exchange for an empty list to collect in.
  /// - Parameter isSet: the eventfd.
  /// - Returns: whether `stop` was called since the last time.
  func take(_ tasks: inout [any ReactorTask], isSet: Bool) -> Bool {
    // Cleared before the list is taken: what comes in between sets it again or is taken already.
    if isSet { _ = lrp2p_eventfd_clear(descriptor) }
    return pending.withLock {
      swap(&$0.tasks, &tasks)
      if isSet { $0.isSignalled = false }
      $0.isWoken = false
      let isStopped = $0.isStopped
      $0.isStopped = false
      return isStopped
    }
  }

  /// The reactor is going: what was submitted is dropped, what comes is ignored.
  func retire() {
    if process.isForked { return }
    // Freed behind the lock: a task may hold what calls this object when it goes.
    var tasks: [any ReactorTask] = []
    var signal: Signal?
    pending.withLock {
      swap(&$0.tasks, &tasks)
      swap(&$0.signal, &signal)
    }
  }

  /// Retires the remote with the reactor that holds it.
  struct Retirement: ~Copyable {
    let remote: ReactorRemote
    deinit { remote.retire() }
  }
}

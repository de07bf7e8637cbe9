import LRP2PReactor

/// Who waits for an answer: a task that is suspended, or a thread that blocks.
enum Waiter<Answer: Sendable>: Sendable {
  case task(Suspension<Answer>)
  case thread(Rendezvous<Answer>)

  func resume(_ answer: Answer) {
    switch self {
    case .task(let suspension): suspension.resume(answer)
    case .thread(let rendezvous): rendezvous.deliver(answer)
    }
  }
}

/// A task that is suspended until it is answered.
///
/// The answer waits behind a lock and the continuation only wakes the task: where an answer comes before the task has
/// quite gone to sleep, the runtime hands it over in a way that the thread sanitizer does not see.
struct Suspension<Answer: Sendable>: Sendable {
  let continuation: CheckedContinuation<Void, Never>
  let answer: Locked<Answer?>

  func resume(_ answer: Answer) {
    self.answer.withLock { $0 = answer }
    continuation.resume()
  }
}

/// What came out at once, or the number under which to wait and to cancel.
enum Attempt<Answer: Sendable> {
  case done(Answer)
  case wait(ticket: UInt64)
}

/// What is to be done once all locks are released: answers to waiters, and callbacks of the user.
struct Due {
  private var actions: [() -> Void] = []

  mutating func add(_ action: @escaping () -> Void) { actions.append(action) }

  mutating func answer<Answer: Sendable>(_ waiter: Waiter<Answer>, _ answer: Answer) {
    actions.append { waiter.resume(answer) }
  }

  consuming func run() {
    for action in actions { action() }
  }
}

/// Suspends the task until `enqueue`'s waiter is answered. When the task is cancelled, `cancel` is called, on any thread.
///
/// `cancel` may come before `enqueue`: it then finds nobody, and `enqueue` finds `Task.isCancelled` set, as that is set
/// first. Both look under the same lock, so none is missed.
func suspend<Answer: Sendable>(
  _ enqueue: @Sendable (Waiter<Answer>) -> Void, onCancel cancel: @Sendable () -> Void
) async -> Answer {
  let answer = Locked<Answer?>(nil)
  await withTaskCancellationHandler {
    await withCheckedContinuation { enqueue(.task(Suspension(continuation: $0, answer: answer))) }
  } onCancel: {
    cancel()
  }
  guard let answer = answer.withLock({ $0 }) else { preconditionFailure("woken without an answer") }
  return answer
}

/// Blocks the thread until `enqueue`'s waiter is answered.
func block<Answer: Sendable>(_ enqueue: (Waiter<Answer>) -> Void) -> Answer {
  let rendezvous = Rendezvous<Answer>()
  enqueue(.thread(rendezvous))
  return rendezvous.wait()
}

import LRP2PReactor

/// Who waits for an answer: a task that is suspended, or a thread that blocks.
enum Waiter<Answer: Sendable>: Sendable {
  case task(CheckedContinuation<Answer, Never>)
  case thread(Rendezvous<Answer>)

  func resume(_ answer: Answer) {
    switch self {
    case .task(let continuation): continuation.resume(returning: answer)
    case .thread(let rendezvous): rendezvous.deliver(answer)
    }
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
  await withTaskCancellationHandler {
    await withCheckedContinuation { enqueue(.task($0)) }
  } onCancel: {
    cancel()
  }
}

/// Blocks the thread until `enqueue`'s waiter is answered.
func block<Answer: Sendable>(_ enqueue: (Waiter<Answer>) -> Void) -> Answer {
  let rendezvous = Rendezvous<Answer>()
  enqueue(.thread(rendezvous))
  return rendezvous.wait()
}

// SPDX-License-Identifier: MIT
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

/// The user's word that memory of a borrowed write is his again.
typealias Release = @Sendable () -> Void

/// What is to be done once all locks are released: callbacks of the user, answers to waiters, and memory to free.
struct DeferredActions {
  private var releases: [Release] = []
  private var actions: [() -> Void] = []
  private var garbage: Garbage?

  mutating func release(_ release: @escaping Release) { releases.append(release) }

  /// For the endpoint's thread to call.
  mutating func takeReleases() -> [Release] {
    var taken: [Release] = []
    swap(&taken, &releases)
    return taken
  }

  mutating func answer<Answer: Sendable>(_ waiter: Waiter<Answer>, _ answer: Answer) {
    actions.append { waiter.resume(answer) }
  }

  /// Bytes that nobody needs any more. Freeing large ones takes long, so another thread does it.
  /// - Parameter isMany: others go with it.
  mutating func discard(_ bytes: [UInt8], isMany: Bool = false) {
    if bytes.count < Garbage.large, !isMany { return }
    collect { $0.arrays.append(bytes) }
  }

  mutating func discard(_ bytes: ReadBytes) {
    if bytes.count < Garbage.large { return }
    collect { $0.blocks += bytes.blocks }
  }

  private mutating func collect(_ add: (Garbage) -> Void) {
    let collected = garbage ?? Garbage()
    garbage = collected
    add(collected)
  }

  /// Releases come first: who is told of an end finds memory released.
  consuming func run() {
    for release in releases { release() }
    for action in actions { action() }
    garbage?.free()
  }
}

/// Memory to be freed by a thread that nobody waits for.
///
/// `@unchecked Sendable`: filled by one thread, then given to another.
private final class Garbage: @unchecked Sendable {
  /// What the allocator takes from the system, and gives back to it page by page, is of this size or larger.
  static var large: Int { 131_072 }

  var arrays: [[UInt8]] = []
  var blocks: [ReadBlock] = []

  func free() {
    Task.detached(priority: .utility) {
      self.arrays = []
      self.blocks = []
    }
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

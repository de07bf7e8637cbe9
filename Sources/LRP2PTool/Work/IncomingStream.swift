// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// What one sender sends, on its way from the reactor to the threads that write it, and the replies on their way back.
///
/// `@unchecked Sendable`: the intake is touched by one piece of work at a time; what goes between the threads is under the lock.
package final class IncomingStream: @unchecked Sendable {
  /// What the reactor is told.
  package struct News {
    /// To be appended to the own stream.
    package var replies: [UInt8] = []
    package var events: [FileEvent] = []
    /// What came is no transfer.
    package var isMalformed = false
    /// The sender's end has been taken, and whether it left nothing open.
    package var end: Bool?
    /// After `abandon`: all work is done.
    package var isOver = false
    /// Of the file that was in the making.
    package var kept: (path: [UInt8], bytes: UInt64)?
    package var hasBegun = false
    package var wantedBytes: UInt64 = 0
    package var doneBytes: UInt64 = 0
  }

  private struct State: ~Copyable {
    var input: [Block] = []
    /// Bytes that were given and have not been taken.
    var waiting = 0
    var isRunning = false
    var hasEnded = false
    var lastGiven: Instant = 0
    var isAbandoned = false
    var news = News()
  }

  private let intake: FileIntake
  private let pool: WorkPool
  private let tell: @Sendable () -> Void
  private let state = Locked(State())

  /// - Parameter tell: called on any thread when there is news, or room.
  package init(_ intake: FileIntake, pool: WorkPool, tell: @escaping @Sendable () -> Void) {
    self.intake = intake
    self.pool = pool
    self.tell = tell
    intake.isStopped = { [weak self] in self?.state.withLock { $0.isAbandoned } ?? true }
    intake.deliver = { [weak self] in self?.deliver(taken: 0) }
    intake.rival = Rivals.Entry(
      lastHeard: { [weak self] in self?.state.withLock { $0.waiting > 0 ? .never : $0.lastGiven } ?? 0 },
      giveUp: { [weak self] in self?.abandon() })
  }

  /// Bytes that wait for the disk.
  package var waiting: Int { state.withLock { $0.waiting } }
  /// Whether nothing is being done for it.
  package var isIdle: Bool { state.withLock { !$0.isRunning } }

  /// From the reactor: the next bytes.
  package func give(_ block: Block) {
    let now = currentInstant()
    start {
      $0.lastGiven = now
      $0.waiting += block.count
      $0.input.append(block)
    }
  }

  /// From the reactor: the sender has ended its stream.
  package func end() { start { $0.hasEnded = true } }

  /// From the reactor: the connection is over, what has not been taken is dropped.
  package func abandon() {
    start {
      $0.isAbandoned = true
      $0.input.removeAll()
      $0.waiting = 0
    }
  }

  package func takeNews() -> News {
    state.withLock {
      let news = $0.news
      $0.news.replies = []
      $0.news.events = []
      return news
    }
  }

  private func start(_ change: (inout State) -> Void) {
    let starts = state.withLock {
      change(&$0)
      let starts = !$0.isRunning
      $0.isRunning = true
      return starts
    }
    if starts { pool.submit { self.work() } }
  }

  private enum Step {
    case take(Block)
    case idle
    case end
    case abandon
    case rest
  }

  /// Blocks that one thread takes before it looks after others that wait for one.
  private static let mostAtOnce = 8

  private func work() {
    var hasIdled = false
    var blocks = 0
    while true {
      if blocks == Self.mostAtOnce { return pool.submit { self.work() } }
      let step = nextStep(hasIdled: hasIdled)
      hasIdled = false
      var taken = 0
      switch step {
      case .take(let block):
        taken = block.count
        blocks += 1
        do throws(Malformed) { try intake.take(block) } catch {
          state.withLock { $0.news.isMalformed = true }
        }
      case .idle:
        intake.idle()
        hasIdled = true
      case .end:
        let isClean = intake.end()
        state.withLock { $0.news.end = isClean }
      case .abandon:
        let kept = intake.abandon()
        state.withLock {
          $0.news.kept = kept
          $0.news.isOver = true
        }
      case .rest: return
      }
      deliver(taken: taken)
    }
  }

  private func nextStep(hasIdled: Bool) -> Step {
    state.withLock {
      if $0.news.isOver { return .rest }
      if $0.isAbandoned { return .abandon }
      if $0.news.isMalformed {
        $0.input.removeAll()
      } else if !$0.input.isEmpty {
        return .take($0.input.removeFirst())
      }
      if !hasIdled { return .idle }
      if $0.hasEnded, $0.news.end == nil { return .end }
      $0.isRunning = false
      return .rest
    }
  }

  private func deliver(taken: Int) {
    let replies = intake.replies
    intake.replies.removeAll(keepingCapacity: true)
    let events = intake.takeEvents()
    state.withLock {
      $0.waiting = max($0.waiting - taken, 0)
      $0.news.replies += replies
      $0.news.events += events
      $0.news.hasBegun = intake.hasBegun
      $0.news.wantedBytes = intake.wantedBytes
      $0.news.doneBytes = intake.doneBytes
    }
    tell()
  }
}

// SPDX-License-Identifier: MIT
import LRP2PReactor

/// Files on their way from the threads that read them to the reactor, and the receiver's replies on their way back.
///
/// `@unchecked Sendable`: the outlet is touched by one piece of work at a time; what goes between the threads is under the lock.
package final class OutgoingStream: @unchecked Sendable {
  package struct News {
    /// To be appended to the own stream.
    package var blocks: [Block] = []
    package var events: [FileEvent] = []
    /// The receiver has said what it must not.
    package var isMalformed = false
    /// Everything is settled.
    package var isFinished = false
    package var doneBytes: UInt64 = 0
  }

  private struct State: ~Copyable {
    var replies: [UInt8] = []
    /// Blocks that the reactor has room for.
    var room = 0
    /// The outlet has nothing to say until it hears.
    var isWaiting = false
    var isRunning = false
    var isStopped = false
    var news = News()
  }

  private let outlet: FileOutlet
  private let pool: WorkPool
  private let tell: @Sendable () -> Void
  private let state = Locked(State())

  /// - Parameter tell: called on any thread when there is news.
  package init(_ outlet: FileOutlet, pool: WorkPool, tell: @escaping @Sendable () -> Void) {
    self.outlet = outlet
    self.pool = pool
    self.tell = tell
    outlet.isStopped = { [weak self] in self?.state.withLock { $0.isStopped } ?? true }
  }

  /// From the reactor: there is room for so many more blocks.
  package func allow(_ blocks: Int) { start { $0.room += blocks } }

  /// From the reactor: what the receiver has said.
  package func give(_ bytes: RawSpan) {
    var copy: [UInt8] = []
    copy.reserveCapacity(bytes.byteCount)
    for index in 0..<bytes.byteCount { copy.append(bytes.unsafeByte(index)) }
    start { $0.replies += copy }
  }

  /// From the reactor: the connection is over.
  package func stop() { state.withLock { $0.isStopped = true } }

  package func takeNews() -> News {
    state.withLock {
      let news = $0.news
      $0.news.blocks = []
      $0.news.events = []
      return news
    }
  }

  private func start(_ change: (inout State) -> Void) {
    let starts = state.withLock {
      change(&$0)
      let hasWork = !$0.replies.isEmpty || ($0.room > 0 && !$0.isWaiting)
      guard hasWork, !$0.isRunning else { return false }
      $0.isRunning = true
      return true
    }
    if starts { pool.submit { self.work() } }
  }

  private func work() {
    while true {
      let (isOver, replies, produces): (Bool, [UInt8], Bool) = state.withLock {
        if $0.isStopped || $0.news.isFinished || $0.news.isMalformed { return (true, [], false) }
        let replies = $0.replies
        $0.replies = []
        if !replies.isEmpty { $0.isWaiting = false }
        let produces = $0.room > 0 && !$0.isWaiting
        if replies.isEmpty, !produces {
          $0.isRunning = false
          return (true, [], false)
        }
        if produces { $0.room -= 1 }
        return (false, replies, produces)
      }
      if isOver { return }
      var isMalformed = false
      do throws(Malformed) { try unsafe outlet.take(replies.span.bytes) } catch { isMalformed = true }
      var block: Block?
      var hasMore = true
      if produces, !isMalformed {
        let new = Block()
        hasMore = outlet.produce(into: new)
        if !new.isEmpty { block = new }
      }
      deliver(block, hasMore: hasMore, givesBack: produces && block == nil, isMalformed: isMalformed)
    }
  }

  private func deliver(_ block: Block?, hasMore: Bool, givesBack: Bool, isMalformed: Bool) {
    let events = outlet.takeEvents()
    state.withLock {
      if let block { $0.news.blocks.append(block) }
      if givesBack { $0.room += 1 }
      if !hasMore { $0.isWaiting = true }
      $0.news.events += events
      $0.news.isMalformed = isMalformed
      $0.news.isFinished = outlet.isFinished
      $0.news.doneBytes = outlet.doneBytes
    }
    tell()
  }
}

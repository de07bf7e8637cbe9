/// The timers of the user: a binary heap by deadline, each with a token.
package struct UserTimers: ~Copyable {
  package struct Entry: BitwiseCopyable {
    var deadline: Instant = 0
    var token: UInt64 = 0
  }

  private var heap = Column(repeating: Entry(), count: 16)
  package private(set) var count = 0
  package var capacity: Int { heap.count }

  package init() {}

  package var nextDeadline: Instant { count == 0 ? .never : heap[0].deadline }

  package mutating func set(at deadline: Instant, token: UInt64) {
    if count == heap.count { heap.resize(to: count * 2, filling: Entry()) }
    var hole = count
    count += 1
    while hole > 0 {
      let parent = (hole - 1) / 2
      guard deadline < heap[parent].deadline else { break }
      heap[hole] = heap[parent]
      hole = parent
    }
    heap[hole] = Entry(deadline: deadline, token: token)
  }

  /// The token of one timer that is due, or `nil`.
  package mutating func popExpired(now: Instant) -> UInt64? {
    guard count > 0, heap[0].deadline <= now else { return nil }
    let token = heap[0].token
    count -= 1
    let last = heap[count]
    var hole = 0
    while true {
      var child = 2 * hole + 1
      guard child < count else { break }
      if child + 1 < count, heap[child + 1].deadline < heap[child].deadline { child += 1 }
      guard heap[child].deadline < last.deadline else { break }
      heap[hole] = heap[child]
      hole = child
    }
    heap[hole] = last
    return token
  }
}

// SPDX-License-Identifier: MIT
/// A timer that was set (`Engine.setTimer`), by which it can be cancelled. It is void once the timer has fired or was cancelled, and a
/// void one cancels nothing.
public struct UserTimer: Hashable, Sendable, BitwiseCopyable {
  fileprivate let row: UInt32
  fileprivate let generation: UInt32
}

/// The timers of the user: a binary heap by deadline, and a row for each timer that says where in the heap it stands.
package struct UserTimers: ~Copyable {
  package struct Entry: BitwiseCopyable {
    var deadline: Instant = 0
    var row: UInt32 = 0
  }

  package struct Row: BitwiseCopyable {
    var token: UInt64 = 0
    /// Of a timer that is set, its place in the heap; of a free row, the next free one.
    var place: UInt32 = 0
    var generation: UInt32 = 0
    var isSet = false
  }

  private var heap = Column(repeating: Entry(), count: 16)
  private var rows = Column(repeating: Row(), count: 16)
  /// Rows that were ever in use; of these, the first that is free, one more than its number, and 0 if none is.
  private var used = 0
  private var firstFree: UInt32 = 0
  package private(set) var count = 0
  package var capacity: Int { heap.count }

  package init() {}

  package var nextDeadline: Instant { count == 0 ? .never : heap[0].deadline }

  @discardableResult
  package mutating func set(at deadline: Instant, token: UInt64) -> UserTimer {
    let row = takeRow()
    if count == heap.count { heap.resize(to: count * 2, filling: Entry()) }
    rows[Int(row)].token = token
    rows[Int(row)].isSet = true
    count += 1
    rise(Entry(deadline: deadline, row: row), from: count - 1)
    return UserTimer(row: row, generation: rows[Int(row)].generation)
  }

  /// - Returns: whether it was still to fire.
  package mutating func cancel(_ timer: UserTimer) -> Bool {
    let row = Int(timer.row)
    guard row < used, rows[row].isSet, rows[row].generation == timer.generation else { return false }
    remove(at: Int(rows[row].place))
    return true
  }

  /// The token of one timer that is due, or `nil`.
  package mutating func popExpired(now: Instant) -> UInt64? {
    guard count > 0, heap[0].deadline <= now else { return nil }
    let token = rows[Int(heap[0].row)].token
    remove(at: 0)
    return token
  }

  // MARK: Heap

  private mutating func remove(at place: Int) {
    giveRow(back: heap[place].row)
    count -= 1
    guard place < count else { return }
    let last = heap[count]
    if place > 0, last.deadline < heap[(place - 1) / 2].deadline {
      rise(last, from: place)
    } else {
      sink(last, from: place)
    }
  }

  private mutating func rise(_ entry: Entry, from place: Int) {
    var hole = place
    while hole > 0 {
      let parent = (hole - 1) / 2
      guard entry.deadline < heap[parent].deadline else { break }
      put(heap[parent], at: hole)
      hole = parent
    }
    put(entry, at: hole)
  }

  private mutating func sink(_ entry: Entry, from place: Int) {
    var hole = place
    while true {
      var child = 2 * hole + 1
      guard child < count else { break }
      if child + 1 < count, heap[child + 1].deadline < heap[child].deadline { child += 1 }
      guard heap[child].deadline < entry.deadline else { break }
      put(heap[child], at: hole)
      hole = child
    }
    put(entry, at: hole)
  }

  private mutating func put(_ entry: Entry, at place: Int) {
    heap[place] = entry
    rows[Int(entry.row)].place = UInt32(place)
  }

  // MARK: Rows

  private mutating func takeRow() -> UInt32 {
    if firstFree > 0 {
      let row = firstFree - 1
      firstFree = rows[Int(row)].place
      return row
    }
    if used == rows.count { rows.resize(to: used * 2, filling: Row()) }
    used += 1
    return UInt32(used - 1)
  }

  private mutating func giveRow(back row: UInt32) {
    rows[Int(row)].isSet = false
    rows[Int(row)].generation &+= 1
    rows[Int(row)].place = firstFree
    firstFree = row + 1
  }
}

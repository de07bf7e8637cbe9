/// One optional row for each slot, in memory of its own that never moves: for rows that own other storage.
@safe
package struct Slots<Row: ~Copyable>: ~Copyable {
  // Bound: every access is checked against `count`, and a slot without a row is a precondition failure.
  private var rows: UnsafeMutablePointer<UnsafeMutablePointer<Row>?>
  package private(set) var count: Int
  /// Slots that have a row.
  package private(set) var inUse = 0

  package init(count: Int) {
    unsafe rows = .allocate(capacity: max(count, 1))
    unsafe rows.initialize(repeating: nil, count: count)
    self.count = count
  }

  deinit {
    for slot in 0..<count {
      if let row = unsafe rows[slot] {
        unsafe row.deinitialize(count: 1)
        unsafe row.deallocate()
      }
    }
    unsafe rows.deallocate()
  }

  package mutating func grow(to newCount: Int) {
    precondition(newCount >= count)
    let grown = UnsafeMutablePointer<UnsafeMutablePointer<Row>?>.allocate(capacity: max(newCount, 1))
    unsafe grown.initialize(from: rows, count: count)
    unsafe (grown + count).initialize(repeating: nil, count: newCount - count)
    unsafe rows.deallocate()
    unsafe rows = grown
    count = newCount
  }

  @inline(__always)
  package func contains(_ slot: Int) -> Bool {
    precondition(slot >= 0 && slot < count)
    return unsafe rows[slot] != nil
  }

  package mutating func insert(_ row: consuming Row, at slot: Int) {
    precondition(!contains(slot), "slot in use")
    let place = UnsafeMutablePointer<Row>.allocate(capacity: 1)
    unsafe place.initialize(to: row)
    unsafe rows[slot] = place
    inUse += 1
  }

  package mutating func remove(at slot: Int) {
    guard contains(slot), let row = unsafe rows[slot] else { return }
    unsafe row.deinitialize(count: 1)
    unsafe row.deallocate()
    unsafe rows[slot] = nil
    inUse -= 1
  }

  /// The rows of two slots change places.
  package mutating func exchange(_ a: Int, _ b: Int) {
    precondition(contains(a) && contains(b), "no row in this slot")
    let row = unsafe rows[a]
    unsafe rows[a] = unsafe rows[b]
    unsafe rows[b] = row
  }

  package subscript(slot: Int) -> Row {
    @inline(__always) unsafeAddress {
      precondition(slot >= 0 && slot < count, "slot out of range")
      guard let row = unsafe rows[slot] else { preconditionFailure("no row in this slot") }
      return unsafe UnsafePointer(row)
    }
    @inline(__always) unsafeMutableAddress {
      precondition(slot >= 0 && slot < count, "slot out of range")
      guard let row = unsafe rows[slot] else { preconditionFailure("no row in this slot") }
      return unsafe row
    }
  }
}

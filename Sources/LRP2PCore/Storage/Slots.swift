/// One optional row for each slot, in memory of its own that never moves: for rows that own other storage.
@safe
package struct Slots<Row: ~Copyable>: ~Copyable {
  // Bound: the column checks every access against its count, and a slot without a row is a precondition failure.
  private var rows: GrowingColumn<UnsafeMutablePointer<Row>?>
  /// Slots that have a row.
  package private(set) var inUse = 0

  /// Retired rows, as many as are kept.
  private var reserve: Column<UnsafeMutablePointer<Row>?>
  package private(set) var reserved = 0

  /// - Parameter reserve: how many retired rows to keep at most.
  package init(count: Int, reserve: Int = 0) {
    unsafe rows = GrowingColumn(repeating: nil, count: count)
    unsafe self.reserve = Column(repeating: nil, count: reserve)
  }

  package var count: Int { unsafe rows.count }
  package var blockCount: Int { unsafe rows.blockCount }

  /// The memory of the column that tells which slots have a row; the rows stand elsewhere.
  package func forEachBlock(_ body: (UnsafeRawBufferPointer) -> Void) { unsafe rows.forEachBlock(body) }

  deinit {
    for slot in 0..<count {
      if let row = unsafe rows[slot] { unsafe Self.free(row) }
    }
    for index in 0..<reserved { unsafe Self.free(reserve[index]!) }
  }

  /// Rows may hold keys: of these nothing stays behind.
  private static func free(_ row: UnsafeMutablePointer<Row>) {
    unsafe row.deinitialize(count: 1)
    unsafe wipe(row, MemoryLayout<Row>.size)
    unsafe row.deallocate()
  }

  package mutating func grow(to newCount: Int) {
    precondition(newCount >= count)
    unsafe rows.grow(to: newCount, filling: nil)
  }

  @inline(__always)
  package func contains(_ slot: Int) -> Bool { unsafe rows[slot] != nil }

  package mutating func insert(_ row: consuming Row, at slot: Int) {
    precondition(!contains(slot), "slot in use")
    let place = UnsafeMutablePointer<Row>.allocate(capacity: 1)
    unsafe place.initialize(to: row)
    unsafe rows[slot] = place
    inUse += 1
  }

  package mutating func remove(at slot: Int) {
    guard contains(slot), let row = unsafe rows[slot] else { return }
    unsafe Self.free(row)
    unsafe rows[slot] = nil
    inUse -= 1
  }

  // MARK: Reserve

  /// Takes a row from its slot and keeps its memory for `insertRetired(at:)`.
  package mutating func retire(_ slot: Int) {
    guard unsafe reserved < reserve.count else {
      remove(at: slot)
      return
    }
    unsafe reserve[reserved] = unsafe rows[slot]
    reserved += 1
    unsafe rows[slot] = nil
    inUse -= 1
  }

  /// Puts a retired row into a slot, for the caller to make another of.
  /// - Returns: `false` if there is no such row.
  package mutating func insertRetired(at slot: Int) -> Bool {
    precondition(!contains(slot), "slot in use")
    guard reserved > 0 else { return false }
    reserved -= 1
    unsafe rows[slot] = unsafe reserve[reserved]
    inUse += 1
    return true
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
      guard let row = unsafe rows[slot] else { preconditionFailure("no row in this slot") }
      return unsafe UnsafePointer(row)
    }
    @inline(__always) unsafeMutableAddress {
      guard let row = unsafe rows[slot] else { preconditionFailure("no row in this slot") }
      return unsafe row
    }
  }
}

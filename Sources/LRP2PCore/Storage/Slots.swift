// SPDX-License-Identifier: MIT
/// One optional row for each slot, in memory of its own that never moves: for rows that own other storage.
@safe
@usableFromInline package struct Slots<Index: ColumnIndex, Row: ~Copyable>: ~Copyable {
  // Bound: the column checks every access against its count, and a slot without a row is a precondition failure.
  @usableFromInline var rows: GrowingColumn<Index, UnsafeMutablePointer<Row>?>
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
    // By number: this is never specialised.
    for index in 0..<count {
      if let row = unsafe rows.pointer(at: index).pointee { unsafe Self.free(row) }
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

  @inlinable @inline(__always)
  package func contains(_ slot: Index) -> Bool { unsafe rows[slot] != nil }

  package mutating func insert(_ row: consuming Row, at slot: Index) {
    precondition(!contains(slot), "slot in use")
    let place = UnsafeMutablePointer<Row>.allocate(capacity: 1)
    unsafe place.initialize(to: row)
    unsafe rows[slot] = place
    inUse += 1
  }

  package mutating func remove(at slot: Index) {
    guard contains(slot), let row = unsafe rows[slot] else { return }
    unsafe Self.free(row)
    unsafe rows[slot] = nil
    inUse -= 1
  }

  // MARK: Reserve

  /// Takes a row from its slot and keeps its memory for `insertRetired(at:)`.
  package mutating func retire(_ slot: Index) {
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
  package mutating func insertRetired(at slot: Index) -> Bool {
    precondition(!contains(slot), "slot in use")
    guard reserved > 0 else { return false }
    reserved -= 1
    unsafe rows[slot] = unsafe reserve[reserved]
    inUse += 1
    return true
  }

  /// The rows of two slots change places.
  package mutating func exchange(_ a: Index, _ b: Index) {
    precondition(contains(a) && contains(b), "no row in this slot")
    let row = unsafe rows[a]
    unsafe rows[a] = unsafe rows[b]
    unsafe rows[b] = row
  }

  /// As `GrowingColumn.readAhead`; 0 of a slot without a row.
  @inline(__always)
  package func readAhead(_ slot: Index) -> UInt64 {
    guard let row = unsafe rows[slot] else { return 0 }
    return unsafe sumOfLines(UnsafeRawPointer(row), MemoryLayout<Row>.size)
  }

  /// Where a row stands, for an owner that hands it on.
  @unsafe @inline(__always)
  package func pointer(_ slot: Index) -> UnsafeMutablePointer<Row> {
    guard let row = unsafe rows[slot] else { preconditionFailure("no row in this slot") }
    return unsafe row
  }

  package subscript(slot: Index) -> Row {
    @inlinable @inline(__always) unsafeAddress {
      guard let row = unsafe rows[slot] else { preconditionFailure("no row in this slot") }
      return unsafe UnsafePointer(row)
    }
    @inlinable @inline(__always) unsafeMutableAddress {
      guard let row = unsafe rows[slot] else { preconditionFailure("no row in this slot") }
      return unsafe row
    }
  }
}

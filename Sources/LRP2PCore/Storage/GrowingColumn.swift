/// A bounds-checked array of fixed-layout rows that grows without moving any: blocks of 16, 32, 64 … rows, found from an
/// index by its highest bit. A row costs one more load than in a `Column`, of a pointer that stays in the cache; growth costs
/// what the new rows do, however many there are already.
@safe
@usableFromInline package struct GrowingColumn<Row: BitwiseCopyable>: ~Copyable {
  // Bound: block `b` holds `16 << b` rows; those below `count` are initialised, and every access is checked against it.
  // The blocks stand apart, as an inline array of them would be copied at an access.
  @usableFromInline let blocks: UnsafeMutablePointer<UnsafeMutablePointer<Row>?>
  @usableFromInline package internal(set) var count = 0
  /// Blocks that there are so far.
  package private(set) var blockCount = 0

  package init(repeating row: Row, count: Int) {
    unsafe blocks = .allocate(capacity: Self.mostBlocks)
    unsafe blocks.initialize(repeating: nil, count: Self.mostBlocks)
    grow(to: count, filling: row)
  }

  /// Enough for 2^32 rows.
  private static var mostBlocks: Int { 28 }

  deinit {
    for index in 0..<Self.mostBlocks { unsafe blocks[index]?.deallocate() }
    unsafe blocks.deallocate()
  }

  /// The rows that come to `newCount` are `row`; a smaller `newCount` changes nothing.
  package mutating func grow(to newCount: Int, filling row: Row) {
    while count < newCount {
      let (block, offset) = Self.place(count)
      if unsafe blocks[block] == nil {
        unsafe blocks[block] = Self.allocate(16 << block)
        blockCount += 1
      }
      let added = min(newCount - count, 16 << block - offset)
      unsafe (blocks[block]! + offset).initialize(repeating: row, count: added)
      count += added
    }
  }

  /// Blocks begin at a cache line, so that a row of 64 bytes is one and not a part of two.
  private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Row> {
    let bytes = MemoryLayout<Row>.stride * capacity
    return unsafe UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64).bindMemory(
      to: Row.self, capacity: capacity)
  }

  /// Calls `body` with the memory of each block, rows that have not come yet included.
  package func forEachBlock(_ body: (UnsafeRawBufferPointer) -> Void) {
    for block in 0..<blockCount {
      let bytes = MemoryLayout<Row>.stride << (block + 4)
      unsafe body(UnsafeRawBufferPointer(start: blocks[block].unsafelyUnwrapped, count: bytes))
    }
  }

  @inlinable @inline(__always)
  static func place(_ index: Int) -> (block: Int, offset: Int) {
    let shifted = index &+ 16
    let block = 59 &- shifted.leadingZeroBitCount
    return (block, shifted ^ (16 &<< block))
  }

  /// Where a row is. It never moves while the column lives.
  @unsafe @inlinable @inline(__always)
  package func pointer(_ index: Int) -> UnsafeMutablePointer<Row> {
    precondition(index >= 0 && index < count, "column index out of range")
    let (block, offset) = Self.place(index)
    return unsafe blocks[block].unsafelyUnwrapped + offset
  }

  package subscript(index: Int) -> Row {
    @inlinable @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer(index)) }
    @inlinable @inline(__always) unsafeMutableAddress { unsafe pointer(index) }
  }
}

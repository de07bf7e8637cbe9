// SPDX-License-Identifier: MIT
/// A bounds-checked array of fixed-layout rows that grows without moving any: blocks of 16, 32, 64 … rows, found from an
/// index by its highest bit. A row costs one more load than in a `Column`, of a pointer that stays in the cache; growth costs
/// what the new rows do, however many there are already.
@safe
@usableFromInline package struct GrowingColumn<Index: ColumnIndex, Row: BitwiseCopyable>: ~Copyable {
  // Bound: block `b` holds `16 << b` rows; those below `count` are initialised, and every access is checked against it.
  // The blocks stand apart, as an inline array of them would be copied at an access.
  @usableFromInline let blocks: UnsafeMutablePointer<UnsafeMutablePointer<Row>?>
  @usableFromInline package internal(set) var count = 0
  /// Blocks that there are so far.
  package private(set) var blockCount = 0
  /// Of a column of keys: where its blocks come from. They are wiped before they go back.
  private let memory: (any SecretMemory)?

  /// - Parameter memory: for keys.
  package init(repeating row: Row, count: Int, memory: (any SecretMemory)? = nil) {
    self.memory = memory
    unsafe blocks = .allocate(capacity: Self.mostBlocks)
    unsafe blocks.initialize(repeating: nil, count: Self.mostBlocks)
    grow(to: count, filling: row)
  }

  /// Enough for 2^32 rows.
  private static var mostBlocks: Int { 28 }

  deinit {
    for index in 0..<Self.mostBlocks {
      guard let block = unsafe blocks[index] else { continue }
      if let memory {
        unsafe wipe(block, Self.byteCount(index))
        unsafe memory.release(block, byteCount: Self.byteCount(index))
      } else {
        unsafe block.deallocate()
      }
    }
    unsafe blocks.deallocate()
  }

  /// The rows that come to `newCount` are `row`; a smaller `newCount` changes nothing.
  package mutating func grow(to newCount: Int, filling row: Row) {
    while count < newCount {
      let (block, offset) = Self.place(count)
      if unsafe blocks[block] == nil {
        unsafe blocks[block] = allocate(block)
        blockCount += 1
      }
      let added = min(newCount - count, 16 << block - offset)
      unsafe (blocks[block]! + offset).initialize(repeating: row, count: added)
      count += added
    }
  }

  /// Blocks begin at a cache line, so that a row of 64 bytes is one and not a part of two.
  private func allocate(_ block: Int) -> UnsafeMutablePointer<Row> {
    let bytes = Self.byteCount(block)
    let start = unsafe memory?.allocate(byteCount: bytes) ?? .allocate(byteCount: bytes, alignment: 64)
    return unsafe start.bindMemory(to: Row.self, capacity: 16 << block)
  }

  private static func byteCount(_ block: Int) -> Int { MemoryLayout<Row>.stride << (block + 4) }

  /// Calls `body` with the memory of each block, rows that have not come yet included.
  package func forEachBlock(_ body: (UnsafeRawBufferPointer) -> Void) {
    for block in 0..<blockCount {
      unsafe body(UnsafeRawBufferPointer(start: blocks[block].unsafelyUnwrapped, count: Self.byteCount(block)))
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
  package func pointer(_ row: Index) -> UnsafeMutablePointer<Row> { unsafe pointer(at: row.index) }

  @unsafe @inlinable @inline(__always)
  func pointer(at index: Int) -> UnsafeMutablePointer<Row> {
    precondition(index >= 0 && index < count, "column index out of range")
    let (block, offset) = Self.place(index)
    return unsafe blocks[block].unsafelyUnwrapped + offset
  }

  @usableFromInline package subscript(row: Index) -> Row {
    @inlinable @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer(row)) }
    @inlinable @inline(__always) unsafeMutableAddress { unsafe pointer(row) }
  }

  /// Reads a word of each cache line of a row, for a row that will be needed soon (`Engine+ReadAhead`).
  /// - Returns: a sum of them, which the caller has to keep, as reading would be left out otherwise.
  @inline(__always)
  package func readAhead(_ row: Index) -> UInt64 {
    unsafe sumOfLines(UnsafeRawPointer(pointer(row)), MemoryLayout<Row>.size)
  }
}

/// A word of each cache line in `count` bytes, 8 at least, added up.
@inline(__always)
func sumOfLines(_ start: UnsafeRawPointer, _ count: Int) -> UInt64 {
  var sum: UInt64 = 0
  var offset = 0
  // Bound: each word ends within `count`.
  while offset + 8 <= count {
    sum &+= unsafe start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    offset += 64
  }
  return sum
}

// SPDX-License-Identifier: MIT
/// Segments that arrive in pieces, because the path carries less than it did when they were first sent. A piece begins
/// at a multiple of 64 bytes, and all but the last are multiples of 64 long.
package struct Reassembly: ~Copyable {
  package static var unit: Int { 64 }
  private static var maximumSegments: Int { 16 }

  // Not private: a debug build fails on private types in generic storage (Swift 6.3).
  package struct Partial: BitwiseCopyable {
    var number: UInt32 = 0
    var cell: UInt32 = ReceivePool.none
    var total = 0
    /// Units of 64 bytes that have come: enough for 16 KiB.
    var units = InlineArray<4, UInt64>(repeating: 0)
    var unitsLeft = 0
    /// The cell is one of those that are kept for what a reader waits for.
    var isKept = false

    /// Nothing of it has come.
    mutating func begin(_ total: Int) {
      self.total = total
      units = InlineArray(repeating: 0)
      unitsLeft = (total + Reassembly.unit - 1) / Reassembly.unit
    }
  }

  private var partials = Column(repeating: Partial(), count: Self.maximumSegments)
  package private(set) var count = 0

  package init() {}

  package enum Outcome {
    case incomplete
    /// The same, and the segment has just taken one of the cells that are kept for what a reader waits for.
    case incompleteInKept
    /// Whole: `cell` holds the segment and is the caller's to release.
    case complete(cell: UInt32)
    case malformed
    case poolExhausted
  }

  /// Takes bytes `offset ..< offset + bytes.byteCount` of `total` of segment `number`. When too many segments are
  /// incomplete the oldest gives way: none was acknowledged, so all of it is sent again.
  /// - Parameters:
  ///   - isMessages: it may have become shorter since it was sent before.
  ///   - held: bytes that the peer has, these included.
  package mutating func insert(
    _ number: UInt32, isNext: Bool, isMessages: Bool = false, holding held: Int, offset: Int, total: Int,
    _ bytes: RawSpan, pool: inout ReceivePool
  ) -> Outcome {
    let end = offset + bytes.byteCount
    guard total <= pool.cellBytes, total <= Datagram.maximumLength, bytes.byteCount > 0, end <= total,
      offset % Self.unit == 0, end == total || end % Self.unit == 0
    else { return .malformed }
    let before = count
    guard let index = find(number, isNext: isNext, holding: held, total: total, &pool) else { return .poolExhausted }
    if partials[index].total != total {
      guard isMessages else { return .malformed }
      // It is late.
      guard total < partials[index].total else { return .incomplete }
      partials[index].begin(total)
    }
    for unit in offset / Self.unit..<(end + Self.unit - 1) / Self.unit {
      let bit: UInt64 = 1 << UInt64(unit & 63)
      guard partials[index].units[unit >> 6] & bit == 0 else { continue }
      partials[index].units[unit >> 6] |= bit
      partials[index].unitsLeft -= 1
    }
    pool.write(bytes, to: partials[index].cell, at: offset)
    guard partials[index].unitsLeft == 0 else {
      return count > before && partials[index].isKept ? .incompleteInKept : .incomplete
    }
    let cell = partials[index].cell
    remove(index)
    return .complete(cell: cell)
  }

  /// Whether a piece of `number` would cost another segment its place.
  package func givesWay(to number: UInt32) -> Bool {
    guard count == Self.maximumSegments else { return false }
    for index in 0..<count where partials[index].number == number { return false }
    return true
  }

  /// Segments before `next` have arrived by another way.
  package mutating func forget(before next: UInt32, pool: inout ReceivePool) {
    var index = 0
    while index < count {
      if partials[index].number.precedes(next) {
        pool.release(partials[index].cell)
        remove(index)
      } else {
        index += 1
      }
    }
  }

  package mutating func releaseAll(to pool: inout ReceivePool) {
    for index in 0..<count { pool.release(partials[index].cell) }
    count = 0
  }

  /// Gives back the cells that are kept for what a reader waits for.
  /// - Returns: whether there were any.
  package mutating func releaseKept(to pool: inout ReceivePool) -> Bool {
    for index in 0..<count where partials[index].isKept {
      pool.release(partials[index].cell)
      remove(index)
      return true
    }
    return false
  }

  private mutating func find(
    _ number: UInt32, isNext: Bool, holding held: Int, total: Int, _ pool: inout ReceivePool
  ) -> Int? {
    for index in 0..<count where partials[index].number == number { return index }
    var held = held
    if count == Self.maximumSegments {
      pool.release(partials[0].cell)
      remove(0)
      held -= pool.cellBytes
    }
    let isAdmitted = pool.admits(pool.cellBytes, holding: held)
    guard isNext || isAdmitted, let cell = pool.reserve(isNext: isNext) else { return nil }
    partials[count] = Partial()
    partials[count].number = number
    partials[count].cell = cell
    partials[count].isKept = !isAdmitted
    partials[count].begin(total)
    count += 1
    return count - 1
  }

  /// Keeps the order of arrival.
  private mutating func remove(_ index: Int) {
    count -= 1
    for at in index..<count { partials[at] = partials[at + 1] }
  }
}

/// Which cells of a pool are in use. A cell that is not there, or is free already, must never be given back: two connections would
/// share it, and read each other's bytes. So that ends the program, in every build.
///
/// Where `fills` is set, a free cell holds a pattern, and whoever writes to it has been found when the cell is taken again.
package struct PoolGuard: ~Copyable {
  private var words = Column<UInt64>(repeating: 0, count: 1)
  private var count = 0

  #if POISONS_POOL
    package static let fills = true
  #else
    package static let fills = false
  #endif

  private static let pattern: UInt64 = 0xF4EE_DF4E_EDF4_EEDF

  package init() {}

  package func isInUse(_ cell: UInt32) -> Bool {
    Int(cell) < count && words[Int(cell) >> 6] & bit(cell) != 0
  }

  /// There are so many cells now, the new ones free; or fewer, of which those that are gone were free.
  package mutating func resize(to cells: Int) {
    let needed = max((cells + 63) / 64, 1)
    if needed != words.count {
      for index in min(needed, words.count)..<words.count { precondition(words[index] == 0, "a cell in use goes away") }
      words.resize(to: needed, filling: 0)
    }
    count = cells
  }

  /// The cell leaves the list of free ones.
  @inline(__always)
  package mutating func take(_ cell: UInt32) {
    precondition(Int(cell) < count && words[Int(cell) >> 6] & bit(cell) == 0, "a cell is taken that is not free")
    words[Int(cell) >> 6] |= bit(cell)
  }

  /// The cell goes back to the list of free ones.
  @inline(__always)
  package mutating func giveBack(_ cell: UInt32) {
    precondition(
      Int(cell) < count && words[Int(cell) >> 6] & bit(cell) != 0, "a cell is given back that is free already")
    words[Int(cell) >> 6] &= ~bit(cell)
  }

  @inline(__always) private func bit(_ cell: UInt32) -> UInt64 { 1 << UInt64(cell & 63) }

  /// Fills what nobody may read or write any more.
  @_lifetime(bytes: copy bytes)
  package static func poison(_ bytes: inout MutableRawSpan) {
    for at in stride(from: 0, to: bytes.byteCount & ~7, by: 8) { bytes.setBigEndian64(at, pattern) }
  }

  /// Whether nobody has written there since.
  package static func isPoisoned(_ bytes: RawSpan) -> Bool {
    for at in stride(from: 0, to: bytes.byteCount & ~7, by: 8) where bytes.bigEndian64(at) != pattern { return false }
    return true
  }
}

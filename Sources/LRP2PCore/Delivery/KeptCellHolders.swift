/// The connections that have lately taken a cell which the pool keeps for what a reader waits for (`ReceivePool`), the latest of them
/// last. When no such cell is free whoever has taken the last one has it still, so a few are enough.
package struct KeptCellHolders: BitwiseCopyable {
  private static var most: Int { 16 }
  private var ids = InlineArray<16, UInt64>(repeating: 0)
  private var count = 0

  package init() {}

  package mutating func note(_ id: UInt64) {
    if count > 0, ids[count - 1] == id { return }
    if count == Self.most { _ = next() }
    ids[count] = id
    count += 1
  }

  /// Takes out the one longest ago; `nil` when none is left.
  package mutating func next() -> UInt64? {
    guard count > 0 else { return nil }
    let first = ids[0]
    count -= 1
    for index in 0..<count { ids[index] = ids[index + 1] }
    return first
  }
}

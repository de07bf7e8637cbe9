// SPDX-License-Identifier: MIT
/// The connections that have lately taken a cell which the pool keeps for what a reader waits for (`ReceivePool`), the latest of them
/// last. When no such cell is free whoever has taken the last one has it still, so a few are enough.
package struct KeptCellHolders: BitwiseCopyable {
  private struct Entry: BitwiseCopyable {
    var id: UInt64 = 0
    var since: Instant = 0
  }

  private static var most: Int { 16 }
  private var entries = InlineArray<16, Entry>(repeating: Entry())
  private var count = 0

  package init() {}

  /// How long a cell is left to whoever has taken it: the pieces of a segment are sent side by side.
  package static var patience: Nanoseconds { .milliseconds(100) }

  package mutating func note(_ id: UInt64, now: Instant) {
    if count == Self.most { removeFirst() }
    entries[count] = Entry(id: id, since: now)
    count += 1
  }

  /// Takes out the one longest ago; `nil` when none is left that has had its time.
  package mutating func next(now: Instant) -> UInt64? {
    guard count > 0, entries[0].since + Self.patience <= now else { return nil }
    defer { removeFirst() }
    return entries[0].id
  }

  private mutating func removeFirst() {
    count -= 1
    for index in 0..<count { entries[index] = entries[index + 1] }
  }
}

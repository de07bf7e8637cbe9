// SPDX-License-Identifier: MIT
/// The place of a connection in every per-connection column.
@usableFromInline package struct Slot: ColumnIndex, Hashable, Sendable {
  @usableFromInline package var index: Int

  @inlinable @inline(__always)
  package init(_ index: Int) { self.index = index }
}

// SPDX-License-Identifier: MIT
/// A row of the table of traffic keys (`PeerTable.keys`).
@usableFromInline package struct KeyRow: ColumnIndex, Hashable, Sendable {
  @usableFromInline package var index: Int

  @inlinable @inline(__always)
  package init(_ index: Int) { self.index = index }
}

package typealias KeyTable = GrowingColumn<KeyRow, TrafficKey>

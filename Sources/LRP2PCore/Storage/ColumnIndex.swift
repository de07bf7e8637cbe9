// SPDX-License-Identifier: MIT
/// What names a row of a column. Each kind of row has a type of its own, so that no column takes the index of another.
@usableFromInline package protocol ColumnIndex: BitwiseCopyable {
  var index: Int { get }
  init(_ index: Int)
}

extension ColumnIndex {
  /// Those of the first `count` rows.
  @inlinable @inline(__always)
  package static func all(_ count: Int) -> LazyMapSequence<Range<Int>, Self> { (0..<count).lazy.map { Self($0) } }
}

/// For columns whose rows are named nowhere else.
extension Int: ColumnIndex {
  @inlinable @inline(__always) package var index: Int { self }
}

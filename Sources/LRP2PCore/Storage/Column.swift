// SPDX-License-Identifier: MIT
/// A flat, bounds-checked array of fixed-layout rows that owns its memory, in place of `Array` on the fast path:
/// no reference count, no uniqueness check, no exclusivity check beyond the owner's.
///
/// Other modules inline its accessors only because the type is usable from inlined code; they would else call them unspecialised,
/// with the row's metadata.
@safe
@usableFromInline package struct Column<Row: BitwiseCopyable>: ~Copyable {
  // Bound: every access is checked against `count`, the number of initialised rows at `base`.
  @usableFromInline var base: UnsafeMutablePointer<Row>
  @usableFromInline package internal(set) var count: Int

  package init(repeating row: Row, count: Int) {
    unsafe base = .allocate(capacity: max(count, 1))
    unsafe base.initialize(repeating: row, count: count)
    self.count = count
  }

  deinit { unsafe base.deallocate() }

  package subscript(index: Int) -> Row {
    @inlinable @inline(__always) unsafeAddress {
      precondition(index >= 0 && index < count, "column index out of range")
      return unsafe UnsafePointer(base + index)
    }
    @inlinable @inline(__always) unsafeMutableAddress {
      precondition(index >= 0 && index < count, "column index out of range")
      return unsafe base + index
    }
  }

  /// Grows (filling with `row`) or shrinks to `newCount` rows; the rows that remain keep their place.
  package mutating func resize(to newCount: Int, filling row: Row) {
    let grown = UnsafeMutablePointer<Row>.allocate(capacity: max(newCount, 1))
    let kept = min(count, newCount)
    unsafe grown.initialize(from: base, count: kept)
    if newCount > kept { unsafe (grown + kept).initialize(repeating: row, count: newCount - kept) }
    unsafe base.deallocate()
    unsafe base = grown
    count = newCount
  }

  package var span: Span<Row> {
    @inlinable @inline(__always) @_lifetime(borrow self) get {
      unsafe _overrideLifetime(Span(_unsafeStart: base, count: count), borrowing: self)
    }
  }

  package var mutableSpan: MutableSpan<Row> {
    @inlinable @inline(__always) @_lifetime(&self) mutating get {
      unsafe _overrideLifetime(MutableSpan(_unsafeStart: base, count: count), mutating: &self)
    }
  }
}

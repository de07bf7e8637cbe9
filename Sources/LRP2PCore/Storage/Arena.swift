// SPDX-License-Identifier: MIT
/// A block of raw bytes, aligned to a cache line, handed out as bounds-checked spans.
@safe
@usableFromInline package struct Arena: ~Copyable {
  // Bound: every span lies within `byteCount` bytes at `base`.
  @usableFromInline let base: UnsafeMutableRawPointer
  @usableFromInline package let byteCount: Int

  package init(byteCount: Int) {
    unsafe base = .allocate(byteCount: max(byteCount, 64), alignment: 64)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
    self.byteCount = byteCount
  }

  deinit { unsafe base.deallocate() }

  /// The bytes at `offset ..< offset + count`.
  @inlinable @inline(__always) @_lifetime(borrow self)
  package func bytes(_ offset: Int, _ count: Int) -> RawSpan {
    precondition(offset >= 0 && count >= 0 && offset <= byteCount - count, "arena range out of bounds")
    return unsafe _overrideLifetime(RawSpan(_unsafeStart: base + offset, byteCount: count), borrowing: self)
  }

  /// The bytes at `offset ..< offset + count`, writable.
  @inlinable @inline(__always) @_lifetime(&self)
  package mutating func mutableBytes(_ offset: Int, _ count: Int) -> MutableRawSpan {
    precondition(offset >= 0 && count >= 0 && offset <= byteCount - count, "arena range out of bounds")
    return unsafe _overrideLifetime(
      MutableRawSpan(_unsafeStart: base + offset, byteCount: count), mutating: &self)
  }

  /// For the kernel's message headers, which keep the address between calls: valid while the arena lives.
  @unsafe @inlinable @inline(__always) package var baseAddress: UnsafeMutableRawPointer { unsafe base }
}

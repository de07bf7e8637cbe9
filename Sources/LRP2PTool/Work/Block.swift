// SPDX-License-Identifier: MIT
import Glibc
import LRP2PReactor

/// A piece of a stream on its way between threads: filled by one, then only read.
///
/// `@unchecked Sendable`: whoever fills it lets go of it, by a lock, before others read; and frees nothing, as `deinit` does.
@safe
package final class Block: @unchecked Sendable {
  package static let capacity = 1 << 20

  // Owned.
  private let memory: UnsafeMutableRawBufferPointer
  package private(set) var count = 0

  package init() {
    unsafe memory =
      Self.spare.withLock { unsafe $0.popLast()?.memory } ?? .allocate(byteCount: Self.capacity, alignment: 64)
  }

  deinit {
    let memory = unsafe Memory(memory: memory)
    let isKept = Self.spare.withLock {
      guard $0.count < Self.mostSpare else { return false }
      $0.append(memory)
      return true
    }
    if !isKept { unsafe memory.memory.deallocate() }
  }

  package var free: Int { Self.capacity - count }
  package var isEmpty: Bool { count == 0 }

  package var bytes: RawSpan {
    @_lifetime(borrow self) get {
      let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(memory.baseAddress!), byteCount: count)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Copies as much of `source` as there is room for, and tells how much that was.
  @discardableResult
  package func append(_ source: RawSpan) -> Int {
    let length = min(source.byteCount, free)
    unsafe source.withUnsafeBytes {
      unsafe UnsafeMutableRawBufferPointer(rebasing: memory[count..<count + length]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: $0[..<length]))
    }
    count += length
    return length
  }

  /// Appends all of `source`, which must fit.
  package func append(_ source: [UInt8]) {
    precondition(source.count <= free)
    append(unsafe source.span.bytes)
  }

  /// Leaves `head` bytes free, and has `read` fill at most `limit` behind them; what it returns, if more than zero, is added, and
  /// the head with it, which `setHead` then writes.
  package func append(head: Int, limit: Int, _ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
    let from = count + head
    let room = min(limit, Self.capacity - from)
    precondition(room > 0)
    let length = unsafe read(UnsafeMutableRawBufferPointer(rebasing: memory[from..<from + room]))
    precondition(length <= room)
    if length > 0 { count = from + length }
    return length
  }

  /// Takes away what was appended after the first `count` bytes.
  func truncate(to count: Int) {
    precondition(count <= self.count)
    self.count = count
  }

  func holdsSame(as other: Block) -> Bool {
    if count != other.count { return false }
    return unsafe memcmp(memory.baseAddress!, other.memory.baseAddress!, count) == 0
  }

  /// Writes over what is there already.
  package func replace(at offset: Int, _ source: [UInt8]) {
    precondition(offset + source.count <= count)
    for (index, byte) in source.enumerated() { unsafe memory[offset + index] = byte }
  }

  // Fresh memory costs a fault a page.
  private static let mostSpare = 24
  private static let spare = Locked<[Memory]>([])

  /// `@unchecked Sendable`: nobody else has the pointer.
  @safe
  private struct Memory: @unchecked Sendable { let memory: UnsafeMutableRawBufferPointer }
}

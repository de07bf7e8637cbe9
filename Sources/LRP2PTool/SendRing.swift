// SPDX-License-Identifier: MIT
/// The part of a stream that may have to be sent again: a ring of bytes from the first that is not acknowledged to
/// the last that was read. Offsets are those of the stream.
package struct SendRing {
  private var bytes: [UInt8]
  /// First offset held.
  package private(set) var start: UInt64 = 0
  /// Behind the last offset held.
  package private(set) var end: UInt64 = 0

  /// - Parameter capacity: a power of two.
  package init(capacity: Int) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0)
    bytes = [UInt8](repeating: 0, count: capacity)
  }

  package var free: Int { bytes.count - Int(end - start) }

  /// Appends what `read` writes into the free space that is contiguous, at most `limit` bytes.
  /// - Returns: what `read` returned: bytes written, or less than zero.
  package mutating func append(limit: Int, _ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
    let from = Int(end % UInt64(bytes.count))
    let room = min(limit, free, bytes.count - from)
    let count = unsafe bytes.withUnsafeMutableBytes {
      unsafe read(UnsafeMutableRawBufferPointer(rebasing: $0[from..<from + room]))
    }
    precondition(count <= room)
    if count > 0 { end += UInt64(count) }
    return count
  }

  /// Appends all of `source`, which must fit.
  package mutating func append(_ source: [UInt8]) {
    precondition(source.count <= free)
    for byte in source {
      bytes[Int(end % UInt64(bytes.count))] = byte
      end += 1
    }
  }

  /// Calls `body` with the newest `count` bytes, which must be contiguous (as one `append` leaves them).
  package func withNewest<R>(_ count: Int, _ body: (RawSpan) -> R) -> R {
    let from = Int((end - UInt64(count)) % UInt64(bytes.count))
    return unsafe body(bytes.span.bytes.extracting(from..<from + count))
  }

  /// Copies the bytes at `offset` on into `target`; all must be held.
  @_lifetime(target: copy target)
  package func copy(from offset: UInt64, into target: inout MutableRawSpan) {
    precondition(offset >= start && offset + UInt64(target.byteCount) <= end, "bytes that are not held any more")
    let from = Int(offset % UInt64(bytes.count))
    let first = min(target.byteCount, bytes.count - from)
    unsafe bytes.withUnsafeBytes { source in
      unsafe target.withUnsafeMutableBytes { target in
        unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[from..<from + first]))
        if first < target.count {
          unsafe UnsafeMutableRawBufferPointer(rebasing: target[first...]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: source[0..<target.count - first]))
        }
      }
    }
  }

  /// Everything below `offset` is acknowledged.
  package mutating func release(upTo offset: UInt64) {
    precondition(offset <= end)
    start = max(start, offset)
  }
}

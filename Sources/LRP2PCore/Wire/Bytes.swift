// SPDX-License-Identifier: MIT
// Big-endian loads and stores over spans. Every one is bounds-checked; callers test lengths first and treat a
// short input as malformed, so the preconditions here are never reached by bytes from the network.

extension RawSpan {
  @inline(__always) package func byte(_ offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount)
    return unsafe unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
  }
  @inline(__always) package func bigEndian16(_ offset: Int) -> UInt16 {
    precondition(offset >= 0 && offset <= byteCount - 2)
    return unsafe UInt16(bigEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt16.self))
  }
  @inline(__always) package func bigEndian32(_ offset: Int) -> UInt32 {
    precondition(offset >= 0 && offset <= byteCount - 4)
    return unsafe UInt32(bigEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt32.self))
  }
  @inline(__always) package func bigEndian64(_ offset: Int) -> UInt64 {
    precondition(offset >= 0 && offset <= byteCount - 8)
    return unsafe UInt64(bigEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self))
  }
}

extension MutableRawSpan {
  @inline(__always) @_lifetime(self: copy self)
  package mutating func setByte(_ offset: Int, _ value: UInt8) {
    storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
  }
  @inline(__always) @_lifetime(self: copy self)
  package mutating func setBigEndian16(_ offset: Int, _ value: UInt16) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }
  @inline(__always) @_lifetime(self: copy self)
  package mutating func setBigEndian32(_ offset: Int, _ value: UInt32) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }
  @inline(__always) @_lifetime(self: copy self)
  package mutating func setBigEndian64(_ offset: Int, _ value: UInt64) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
  }
  /// Overwrites all of it with zeros.
  @_lifetime(self: copy self)
  package mutating func setZero() {
    unsafe withUnsafeMutableBytes { target in _ = unsafe target.initializeMemory(as: UInt8.self, repeating: 0) }
  }
  /// Copies `source` to `offset`; `source` must fit.
  @inline(__always) @_lifetime(self: copy self)
  package mutating func copy(_ source: RawSpan, to offset: Int) {
    precondition(offset >= 0 && source.byteCount <= byteCount - offset)
    unsafe withUnsafeMutableBytes { target in
      unsafe source.withUnsafeBytes { from in
        guard let base = from.baseAddress else { return }
        unsafe (target.baseAddress! + offset).copyMemory(from: base, byteCount: from.count)
      }
    }
  }
}

// SPDX-License-Identifier: MIT
/// Variable-length integers of RFC 9000, section 16: the two top bits of the first byte tell the length (1, 2, 4 or 8
/// bytes), the rest is the value, big-endian. Not necessarily the shortest form.
package enum Varint {
  package static let maximum: UInt64 = (1 << 62) - 1

  /// Reads the integer at `offset` and moves `offset` behind it; `nil` when the bytes end first.
  @inline(__always)
  package static func read(_ bytes: RawSpan, at offset: inout Int) -> UInt64? {
    guard offset >= 0, offset < bytes.byteCount else { return nil }
    let first = bytes.byte(offset)
    let length = 1 << Int(first >> 6)
    guard offset <= bytes.byteCount - length else { return nil }
    defer { offset += length }
    switch length {
    case 1: return UInt64(first)
    case 2: return UInt64(bytes.bigEndian16(offset) & 0x3FFF)
    case 4: return UInt64(bytes.bigEndian32(offset) & 0x3FFF_FFFF)
    default: return bytes.bigEndian64(offset) & maximum
    }
  }

  package static func length(of value: UInt64) -> Int {
    switch value {
    case ..<0x40: 1
    case ..<0x4000: 2
    case ..<0x4000_0000: 4
    default: 8
    }
  }

  /// Writes `value` in its shortest form at `offset`, which moves behind it. A value over `maximum` is written as
  /// `maximum`.
  @inline(__always) @_lifetime(bytes: copy bytes)
  package static func write(_ value: UInt64, into bytes: inout MutableRawSpan, at offset: inout Int) {
    // Most counts are none.
    guard value < 0x40 else { return writeLong(value, into: &bytes, at: &offset) }
    bytes.setByte(offset, UInt8(truncatingIfNeeded: value))
    offset += 1
  }

  @inline(never) @_lifetime(bytes: copy bytes)
  private static func writeLong(_ value: UInt64, into bytes: inout MutableRawSpan, at offset: inout Int) {
    let value = min(value, maximum)
    switch length(of: value) {
    case ...2:
      bytes.setBigEndian16(offset, UInt16(value) | 0x4000)
      offset += 2
    case 4:
      bytes.setBigEndian32(offset, UInt32(value) | 0x8000_0000)
      offset += 4
    default:
      bytes.setBigEndian64(offset, value | 0xC000_0000_0000_0000)
      offset += 8
    }
  }
}

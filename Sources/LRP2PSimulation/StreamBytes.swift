// SPDX-License-Identifier: MIT
import LRP2PCore

/// Bytes of a stream as a function of their offset: written, and checked, without being kept.
enum StreamBytes {
  /// The eight bytes that begin at an offset divisible by eight.
  @inline(__always)
  private static func word(_ offset: UInt64) -> UInt64 {
    let word = (offset >> 3) &* 0x9E37_79B9_7F4A_7C15
    return word ^ (word >> 32)
  }

  /// Those from any offset on.
  @inline(__always)
  private static func bytes(at offset: UInt64) -> UInt64 {
    let shift = (offset & 7) * 8
    return shift == 0 ? word(offset) : word(offset) << shift | word(offset + 8) >> (64 - shift)
  }

  /// Of the first `count` of `bytes`, which stand at `offset` of the stream: how many words, or single bytes behind them, are
  /// wrong.
  static func mismatches(_ bytes: RawSpan, at offset: UInt64, count: Int) -> Int {
    var mismatches = 0
    var at = 0
    while at + 8 <= count {
      if bytes.bigEndian64(at) != Self.bytes(at: offset + UInt64(at)) { mismatches += 1 }
      at += 8
    }
    while at < count {
      if bytes.byte(at) != UInt8(truncatingIfNeeded: Self.bytes(at: offset + UInt64(at)) >> 56) { mismatches += 1 }
      at += 1
    }
    return mismatches
  }

  @_lifetime(bytes: copy bytes)
  static func write(into bytes: inout MutableRawSpan, at offset: UInt64, count: Int) {
    var at = 0
    while at + 8 <= count {
      bytes.setBigEndian64(at, Self.bytes(at: offset + UInt64(at)))
      at += 8
    }
    while at < count {
      bytes.setByte(at, UInt8(truncatingIfNeeded: Self.bytes(at: offset + UInt64(at)) >> 56))
      at += 1
    }
  }
}

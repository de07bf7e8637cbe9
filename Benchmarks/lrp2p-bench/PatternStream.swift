// SPDX-License-Identifier: MIT
import LRP2PCore

/// A stream that arrives and says itself, by its first word, which one it is.
struct PatternStream: BitwiseCopyable {
  /// How much of it has come.
  private(set) var offset: UInt64 = 0
  private(set) var pattern = Pattern()

  /// Takes the next bytes.
  /// - Returns: whether they are the stream's.
  mutating func take(_ bytes: RawSpan) -> Bool {
    var start = 0
    while offset < 8, start < bytes.byteCount {
      pattern.learn(bytes.byte(start), at: offset)
      offset += 1
      start += 1
    }
    let rest = bytes.extracting(start..<bytes.byteCount)
    defer { offset &+= UInt64(rest.byteCount) }
    return pattern.matches(rest, offset: offset)
  }
}

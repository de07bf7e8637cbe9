// SPDX-License-Identifier: MIT
/// Which of the newest packet numbers have arrived, as an ACK block tells it: lengths of runs (varints), downward from the largest
/// number, alternating between received and missing, the first received.
package struct PacketRuns: BitwiseCopyable {
  package static let longest = 32

  private var bytes = InlineArray<32, UInt8>(repeating: 0)
  package private(set) var byteCount = 0

  /// Nothing is told.
  package init() {}

  package var isEmpty: Bool { byteCount == 0 }

  /// - Returns: whether there was room for one more run, of 1 to 16,383 numbers.
  package mutating func append(_ length: Int) -> Bool {
    guard (1..<0x4000).contains(length), byteCount + 2 <= Self.longest else { return false }
    if length >= 0x40 {
      bytes[byteCount] = UInt8(length >> 8) | 0x40
      byteCount += 1
    }
    bytes[byteCount] = UInt8(truncatingIfNeeded: length)
    byteCount += 1
    return true
  }

  @_lifetime(target: copy target)
  package func write(into target: inout MutableRawSpan, at offset: Int) {
    for index in 0..<byteCount { target.setByte(offset + index, bytes[index]) }
  }

  /// Whether the bytes from `start` on are runs that some numbers up to `largest` may be told by.
  static func areValid(_ bytes: RawSpan, from start: Int, largest: UInt64) -> Bool {
    guard (1...longest).contains(bytes.byteCount - start) else { return false }
    var at = start
    var left = largest + 1
    while at < bytes.byteCount {
      guard let length = Varint.read(bytes, at: &at), length > 0, length <= left else { return false }
      left -= length
    }
    return true
  }
}

/// What an ACK tells of packet numbers, to be asked about one after the other.
package struct PacketVerdicts: BitwiseCopyable {
  /// The lowest number of each run, newest first. 32 bits of it are enough: what is asked about lies less than 2³¹ behind.
  private var lowest = InlineArray<32, UInt32>(repeating: 0)
  private var count = 0
  private let largest: UInt32

  /// - Parameter block: one that `AckBlock.parse` has accepted, read from `bytes`.
  package init(_ block: AckBlock, _ bytes: RawSpan) {
    largest = UInt32(truncatingIfNeeded: block.largestPacketNumber)
    guard block.tellsPackets else { return }
    var at = block.packetsOffset
    var reached = block.largestPacketNumber + 1
    while count < 32, let length = Varint.read(bytes, at: &at) {
      reached -= min(length, reached)
      // Below that a comparison of 32 bits could be wrong.
      guard block.largestPacketNumber - min(reached, block.largestPacketNumber) < 1 << 31 else { return }
      lowest[count] = UInt32(truncatingIfNeeded: reached)
      count += 1
    }
  }

  /// Whether `number` has arrived; `nil` where nothing is told of it.
  package func hasArrived(_ number: UInt32) -> Bool? {
    guard !largest.precedes(number) else { return nil }
    for index in 0..<count where !number.precedes(lowest[index]) { return index & 1 == 0 }
    return nil
  }
}

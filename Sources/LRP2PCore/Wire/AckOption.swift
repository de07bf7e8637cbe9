// SPDX-License-Identifier: MIT
/// An ACK that a data segment takes along: type 2, length, last in-order number 4, window 3, and a block without
/// intervals.
package struct AckOption: BitwiseCopyable {
  /// What stands before the block.
  private static var headLength: Int { 9 }
  package static var longest: Int { headLength + AckBlockWriter.headerBound + PacketRuns.longest }

  // As long as header and runs of packet numbers may be.
  private var block = InlineArray<82, UInt8>(repeating: 0)
  private var blockLength = 0

  /// - Parameter writeBlock: writes the block to the start of its bytes and gives its length.
  package init(_ writeBlock: (inout MutableRawSpan) -> Int) {
    var elements = block.mutableSpan
    var bytes = unsafe elements.mutableBytes
    blockLength = writeBlock(&bytes)
  }

  package var length: Int { Self.headLength + blockLength }

  /// Puts it behind the 6 bytes of `Segment.writeData`, whose data offset it moves; the payload follows.
  @_lifetime(bytes: copy bytes)
  package func write(lastInOrder: UInt32, window: UInt32, into bytes: inout MutableRawSpan) {
    precondition(window <= PacketWindow.largest)
    let start = Segment.dataLength
    bytes.setByte(0, UInt8(start + length))
    bytes.setByte(start, SegmentOption.ack)
    bytes.setByte(start + 1, UInt8(length - 2))
    bytes.setBigEndian32(start + 2, lastInOrder)
    bytes.setBigEndian16(start + 6, UInt16(window >> 8))
    bytes.setByte(start + 8, UInt8(window & 0xFF))
    bytes.copy(block.bytes.extracting(0..<blockLength), to: start + Self.headLength)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct AckOptionTests {
  private static func option(_ block: AckBlock) -> AckOption {
    AckOption { bytes in
      var writer = AckBlockWriter(capacity: bytes.byteCount)
      writer.begin(block, into: &bytes)
      return writer.length
    }
  }

  /// What is written is read back, between the fixed fields and the payload, and a block of the largest numbers fits.
  @Test(arguments: [0, 63, 1 << 20, .max >> 2] as [UInt64], [0, 1, 500])
  func itIsReadBack(value: UInt64, payloadLength: Int) throws {
    let block = AckBlock(
      largestPacketNumber: value, delayMicroseconds: value, duplicates: value, ect0: value, ect1: value, ce: value)
    let option = Self.option(block)
    #expect(option.length <= AckOption.longest)
    var arena = Arena(byteCount: 600)
    let length = Segment.dataLength + option.length + payloadLength
    do {
      var bytes = arena.mutableBytes(0, length)
      Segment.writeData(flags: SegmentFlag.fin, sequence: 77, into: &bytes)
      option.write(lastInOrder: 0xFFFF_FFF0, window: 0x12_3456, into: &bytes)
      for index in length - payloadLength..<length { bytes.setByte(index, 0xAB) }
    }
    let bytes = arena.bytes(0, length)
    #expect(Segment.plainNumber(bytes) == nil)
    let segment = try Segment.parse(bytes)
    #expect(segment.kind == .data && segment.number == 77 && segment.has(SegmentFlag.fin) && segment.isAckEliciting)
    #expect(segment.payloadOffset == length - payloadLength && segment.ackOptionLength == option.length - 2)
    let told = bytes.extracting(segment.ackOptionOffset..<segment.ackOptionOffset + segment.ackOptionLength)
    #expect(told.bigEndian32(0) == 0xFFFF_FFF0)
    #expect(UInt32(told.bigEndian16(4)) << 8 | UInt32(told.byte(6)) == 0x12_3456)
    let read = try AckBlock.parse(told.extracting(7..<told.byteCount))
    #expect(read.largestPacketNumber == value && read.delayMicroseconds == value && read.ce == value)
    #expect(read.intervalCount == 0)
  }

  @Test func aWindowHas24Bits() async {
    await #expect(processExitsWith: .failure) {
      let option = AckOption { _ in 0 }
      var arena = Arena(byteCount: 100)
      var bytes = arena.mutableBytes(0, 100)
      option.write(lastInOrder: 0, window: 1 << 24, into: &bytes)
    }
  }
}

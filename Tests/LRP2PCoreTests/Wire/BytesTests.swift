// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct BytesTests {
  private let sample = bytes("00 01 02 03 04 05 06 07 f8 f9")

  @Test func loads() {
    let raw = sample.raw
    #expect(raw.byte(0) == 0 && raw.byte(9) == 0xF9)
    #expect(raw.bigEndian16(0) == 0x0001 && raw.bigEndian16(8) == 0xF8F9)
    #expect(raw.bigEndian32(0) == 0x0001_0203 && raw.bigEndian32(6) == 0x0607_F8F9)
    #expect(raw.bigEndian64(0) == 0x0001_0203_0405_0607 && raw.bigEndian64(2) == 0x0203_0405_0607_F8F9)
  }

  @Test func stores() {
    let all = written(room: 17) { memory in
      memory.setByte(0, 0xA1)
      memory.setBigEndian16(1, 0xB1B2)
      memory.setBigEndian32(3, 0xC1C2_C3C4)
      memory.setBigEndian64(7, 0xD1D2_D3D4_D5D6_D7D8)
      return 17
    }
    #expect(all == bytes("a1 b1b2 c1c2c3c4 d1d2d3d4d5d6d7d8 eeee"))
  }

  /// Nothing in a datagram is aligned.
  @Test func everyOffset() {
    for offset in 0..<9 {
      let all = written(room: 17) { memory in
        memory.setBigEndian64(offset, 0x0102_0304_0506_0708)
        return 17
      }
      let raw = all.raw
      #expect(raw.bigEndian64(offset) == 0x0102_0304_0506_0708)
      #expect(raw.bigEndian32(offset + 4) == 0x0506_0708)
      #expect(raw.bigEndian16(offset + 6) == 0x0708)
      #expect(raw.byte(offset + 7) == 8)
      #expect((0..<17).allSatisfy { (offset..<offset + 8).contains($0) || raw.byte($0) == 0xEE })
    }
  }

  @Test func copies() {
    #expect(copy(bytes("010203"), to: 0, room: 5) == bytes("010203 eeee"))
    #expect(copy(bytes("010203"), to: 2, room: 5) == bytes("eeee 010203"))
    #expect(copy(bytes("010203"), to: 0, room: 3) == bytes("010203"))
    // Nothing fits everywhere, even behind the last byte and where there is no memory at all.
    #expect(copy([], to: 5, room: 5) == bytes("eeeeeeeeee"))
    #expect(copy([], to: 0, room: 0) == [])
    let nothing = sample.raw.extracting(3..<3)
    let none = written(room: 0) { memory in
      memory.copy(nothing, to: 0)
      return 0
    }
    #expect(none == [])
  }

  /// The loads are unchecked ones, each behind a check of its own: outside, the program ends.
  @Test(arguments: [1, 2, 4, 8], [-1, 0, .min])
  func loadsOutside(width: Int, place: Int) async {
    await #expect(processExitsWith: .failure) { [width, place] in
      let bytes = [UInt8](repeating: 0, count: 10)
      // 0 stands for the first offset whose last byte is not there.
      let offset = place == 0 ? bytes.count - width + 1 : place
      switch width {
      case 1: _ = bytes.raw.byte(offset)
      case 2: _ = bytes.raw.bigEndian16(offset)
      case 4: _ = bytes.raw.bigEndian32(offset)
      default: _ = bytes.raw.bigEndian64(offset)
      }
    }
  }

  private func copy(_ source: [UInt8], to offset: Int, room: Int) -> [UInt8] {
    written(room: room) { memory in
      memory.copy(source.raw, to: offset)
      return room
    }
  }
}

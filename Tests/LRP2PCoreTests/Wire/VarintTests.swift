// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct VarintTests {
  private func read(_ bytes: [UInt8], at offset: Int = 0) -> (value: UInt64?, offset: Int) {
    var at = offset
    let value = Varint.read(bytes.raw, at: &at)
    return (value, at)
  }

  private func write(_ value: UInt64) -> [UInt8] {
    written { memory in
      var at = 0
      Varint.write(value, into: &memory, at: &at)
      return at
    }
  }

  /// RFC 9000, appendix A.1.
  @Test(
    arguments: [
      ("c2197c5eff14e88c", 151_288_809_941_952_652), ("9d7f3e7d", 494_878_333), ("7bbd", 15293), ("25", 37),
      ("4025", 37),
    ] as [(String, UInt64)])
  func samplesOfTheRFC(hex: String, value: UInt64) {
    let input = bytes(hex)
    #expect(read(input) == (value, input.count))
    // One of them is not the shortest form, which is what we write.
    #expect(write(value) == (hex == "4025" ? [0x25] : input))
  }

  /// Both sides of every change of length, and what is too large to be written.
  @Test(
    arguments: [
      (0, "00"), (0x3F, "3f"), (0x40, "4040"), (0x3FFF, "7fff"), (0x4000, "80004000"), (0x3FFF_FFFF, "bfffffff"),
      (0x4000_0000, "c000000040000000"), (Varint.maximum, "ffffffffffffffff"),
      (Varint.maximum + 1, "ffffffffffffffff"), (.max, "ffffffffffffffff"),
    ] as [(UInt64, String)])
  func limits(value: UInt64, hex: String) {
    #expect(write(value) == bytes(hex))
    #expect(Varint.length(of: value) == bytes(hex).count)
    #expect(read(bytes(hex)).value == min(value, Varint.maximum))
  }

  @Test func longFormsOfSmallNumbersAreRead() {
    for hex in ["05", "4005", "80000005", "c000000000000005"] { #expect(read(bytes(hex)).value == 5) }
  }

  /// The offset stays where it was, so a caller that goes on does not run ahead.
  @Test(arguments: ["25", "7bbd", "9d7f3e7d", "c2197c5eff14e88c"])
  func cutAtEveryByte(hex: String) {
    let whole = bytes(hex)
    for count in 0..<whole.count {
      let cut = Array(whole[..<count])
      #expect(read(cut) == (nil, 0))
      #expect(read([0] + cut, at: 1) == (nil, 1))
    }
  }

  @Test func offsetsOutsideAreRefused() {
    for offset in [-1, 4, 5, .min, .max] { #expect(read([0, 0, 0, 0], at: offset) == (nil, offset)) }
  }

  @Test func severalBehindEachOther() {
    var random = SplitMix(state: 1)
    var wrong = 0
    for _ in 0..<2_000 {
      let values = (0..<8).map { _ in random.next() >> (2 + UInt64(random.below(62))) }
      let all = written { memory in
        var at = 3
        for value in values { Varint.write(value, into: &memory, at: &at) }
        return at
      }
      var at = 3
      for value in values where Varint.read(all.raw, at: &at) != value { wrong += 1 }
      if at != all.count || at != 3 + values.reduce(0, { $0 + Varint.length(of: $1) }) { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func randomBytes() {
    var random = SplitMix(state: 2)
    var parsed = 0
    var wrong = 0
    for _ in 0..<100_000 {
      let input = random.untrusted(like: [bytes("c2197c5eff14e88c"), bytes("9d7f3e7d"), bytes("7bbd")], longest: 9)
      let from = random.below(input.count + 2)
      let (value, end) = read(input, at: from)
      if let value {
        parsed += 1
        if end <= from || end > input.count || value > Varint.maximum { wrong += 1 }
      } else if end != from {
        wrong += 1
      }
    }
    #expect(wrong == 0 && parsed > 10_000)
  }
}

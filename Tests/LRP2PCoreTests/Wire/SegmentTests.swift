// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct SegmentTests {
  private func parse(_ bytes: [UInt8]) throws(Malformed) -> Segment { try Segment.parse(bytes.raw) }
  private func isMalformed(_ bytes: [UInt8]) -> Bool { (try? parse(bytes)) == nil }

  private func data(options: String = "", payload: String = "") -> [UInt8] {
    let options = bytes(options)
    return [UInt8(6 + options.count), 0] + bytes("00000007") + options + bytes(payload)
  }

  // MARK: Kinds

  @Test func dataSegment() throws {
    let segment = try parse(bytes("06 0e 01020304 aabb"))
    #expect(segment.kind == .data && segment.number == 0x0102_0304 && segment.payloadOffset == 6)
    #expect(segment.flags == SegmentFlag.syn | SegmentFlag.fin | SegmentFlag.rto)
    #expect(segment.has(SegmentFlag.syn) && segment.has(SegmentFlag.fin) && segment.has(SegmentFlag.rto))
    #expect(!segment.has(SegmentFlag.ack) && !segment.has(SegmentFlag.ackNow) && !segment.has(SegmentFlag.control))
    #expect(segment.ackOptionLength == 0 && segment.fragmentTotal == 0)
  }

  @Test func ackSegment() throws {
    let segment = try parse(bytes("09 21 fffffffe abcdef 00"))
    #expect(segment.kind == .ack && segment.number == 0xFFFF_FFFE && segment.window == 0xAB_CDEF)
    #expect(segment.payloadOffset == 9 && segment.has(SegmentFlag.ackNow))
  }

  @Test func controlSegment() throws {
    let segment = try parse(bytes("06 40 0005 1234 ffffff01"))
    #expect(segment.kind == .control && segment.controlKind == Control.close && segment.token == 0x1234)
    #expect(segment.payloadOffset == 6 && segment.number == 0 && segment.window == 0)
  }

  /// CONTROL comes before ACK, and of the two flags that are unknown one changes nothing.
  @Test func everyFlagByte() throws {
    for flags in UInt8.min...UInt8.max {
      let expected: Segment.Kind =
        flags & SegmentFlag.control != 0 ? .control : flags & SegmentFlag.ack != 0 ? .ack : .data
      let segment = try parse([expected == .ack ? 9 : 6, flags] + bytes("00010002 000003"))
      if flags & SegmentFlag.messages != 0 {
        #expect(segment.unknownCritical == .flag(16))
        continue
      }
      #expect(segment.kind == expected && segment.flags == flags && segment.unknownCritical == nil)
      #expect(segment.controlKind == (expected == .control ? 1 : 0))
      #expect(segment.token == (expected == .control ? 2 : 0))
      #expect(segment.number == (expected == .control ? 0 : 0x0001_0002))
      #expect(segment.window == (expected == .ack ? 3 : 0))
    }
  }

  /// Where messages are in force flag 16 is known, but for a CONTROL.
  @Test func everyFlagByteWithMessages() throws {
    for flags in UInt8.min...UInt8.max where flags & SegmentFlag.messages != 0 {
      let isControl = flags & SegmentFlag.control != 0
      let bytes = [flags & SegmentFlag.ack != 0 && !isControl ? 9 : 6, flags] + bytes("00010002 000003")
      let segment = try Segment.parse(bytes.raw, hasMessages: true)
      #expect(segment.unknownCritical == (isControl ? .flag(16) : nil))
      if isControl { continue }
      #expect(segment.kind == (flags & SegmentFlag.ack != 0 ? .ack : .data) && segment.flags == flags)
      #expect(segment.number == 0x0001_0002)
    }
  }

  /// Six bytes are enough for a CONTROL that has ACK set too, not for an ACK.
  @Test func lengthFollowsTheKind() throws {
    #expect(try parse(bytes("06 41 0001 0000")).kind == .control)
    #expect(isMalformed(bytes("06 01 00000000")))
    #expect(isMalformed(bytes("06 01 00000000 000000")))
  }

  @Test func ackEliciting() throws {
    #expect(try parse(bytes("06 00 00000000")).isAckEliciting)
    #expect(try !parse(bytes("09 01 00000000 000000")).isAckEliciting)
    for (kind, elicits) in [
      (Control.ping, true), (Control.pong, false), (Control.challenge, true), (Control.response, false),
      (Control.close, false), (0, true), (6, true), (0xFFFF, true),
    ] {
      let segment = try parse([6, 64, UInt8(kind >> 8), UInt8(kind & 0xFF), 0, 0])
      #expect(segment.controlKind == kind && segment.isAckEliciting == elicits)
    }
  }

  // MARK: Data offset

  @Test func everyDataOffset() {
    for (flags, fixed) in [(UInt8(0), 6), (SegmentFlag.ack, 9), (SegmentFlag.control, 6)] {
      for offset in UInt8.min...UInt8.max {
        // Behind the fixed fields all is padding.
        let input = [offset, flags] + [UInt8](repeating: 0, count: 38)
        let segment = try? parse(input)
        #expect((segment != nil) == (fixed...40).contains(Int(offset)))
        #expect(segment == nil || segment!.payloadOffset == offset)
      }
    }
  }

  /// Fixed fields and options have to be whole; what follows is the payload and may be of any length.
  @Test(arguments: [
    "06 00 00000007 aabbcc", "09 01 00000007 000010 aabbcc", "06 40 0001 0000 aabbcc",
    "0c 00 00000007 03 04 0001 0002 aabbcc", "10 01 00000007 000010 08 05 0102030405 aabbcc",
    "11 40 0001 0000 00 02 07 00000007 000010 00 aabbcc",
  ])
  func cutAtEveryByte(hex: String) {
    let whole = bytes(hex)
    for count in 0...whole.count {
      #expect(isMalformed(Array(whole[..<count])) == (count < Int(whole[0])))
    }
  }

  // MARK: Options

  @Test func padding() throws {
    #expect(try parse(data(options: "00", payload: "aa")).payloadOffset == 7)
    #expect(try parse(data(options: "0000000000", payload: "aa")).payloadOffset == 11)
    // Between and behind other options.
    let segment = try parse(data(options: "00 0304 0000000a 0000 0400 00"))
    #expect(segment.fragmentTotal == 10)
  }

  @Test func ackOption() throws {
    for flags in ["00", "40"] {
      // Last in-order number and window; a block need not be there.
      let segment = try parse(bytes("0f" + flags + "00000007 0207 0000000a 000010 aa"))
      #expect(segment.ackOptionOffset == 8 && segment.ackOptionLength == 7 && segment.payloadOffset == 15)
    }
    // The longest: 200 bytes of value behind padding.
    let long = "00 02c8" + String(repeating: "11", count: 200)
    let segment = try parse(data(options: long, payload: "aa"))
    #expect(segment.ackOptionOffset == 9 && segment.ackOptionLength == 200)
    #expect(isMalformed(data(options: "0206 00000000 0000")))
    #expect(isMalformed(data(options: "0200")))
    #expect(isMalformed(data(options: "0207 0000000a000010 0207 0000000a000010")))
    // An ACK is one already.
    #expect(isMalformed(bytes("12 01 00000000 000000 0207 0000000a000010")))
  }

  @Test func fragmentOption() throws {
    let segment = try parse(data(options: "0304 0102 0304", payload: "aa"))
    #expect(segment.fragmentOffset == 0x0102 && segment.fragmentTotal == 0x0304 && segment.payloadOffset == 12)
    #expect(try parse(data(options: "0304 0000 0001")).fragmentTotal == 1)
    #expect(try parse(data(options: "0304 fffe ffff")).fragmentOffset == 0xFFFE)
    for options in ["0304 0000 0000", "0304 0005 0005", "0304 0006 0005", "0303 000000", "0305 0000000100", "0300"] {
      #expect(isMalformed(data(options: options)))
    }
    // Only data comes in pieces.
    #expect(isMalformed(bytes("0c 40 0001 0000 0304 0000 0001")))
    #expect(isMalformed(bytes("0f 01 00000000 000000 0304 0000 0001")))
  }

  @Test func bothOptions() throws {
    for options in ["0304 0001 0009 0207 0000000a000010", "0207 0000000a000010 0304 0001 0009"] {
      let segment = try parse(data(options: options))
      #expect(segment.fragmentOffset == 1 && segment.fragmentTotal == 9 && segment.ackOptionLength == 7)
    }
  }

  @Test func unknownOptions() throws {
    for type in 4...255 as ClosedRange<UInt8> {
      for head in [bytes("00 00000007"), bytes("01 00000007 000010"), bytes("40 0001 0000")] {
        for value in [0, 1, 7] {
          let option = [type, UInt8(value)] + [UInt8](repeating: 0xFF, count: value)
          let input = [UInt8(1 + head.count + option.count)] + head + option + [0xAA]
          let segment = try? parse(input)
          #expect(segment?.unknownCritical == (type % 2 == 0 ? nil : .option(type)))
          #expect(segment?.ackOptionLength == 0 && segment?.fragmentTotal == 0)
        }
      }
    }
  }

  /// The first decides, whatever stands behind it.
  @Test func whatIsCriticalEndsTheReading() throws {
    #expect(try parse(bytes("0a 00 00000000 05 00 03 09")).unknownCritical == .option(5))
    #expect(isMalformed(bytes("0a 00 00000000 03 00 05 00")))
    #expect(try parse(bytes("08 40 9000 0000 02 00")).unknownCritical == .control(0x9000))
    #expect(try parse(bytes("06 40 7fff 0000")).unknownCritical == nil)
    #expect((0...255).allSatisfy { SegmentOption.meaningless($0) & 0x0F == 0x0A })
  }

  /// An option may not reach into the payload, whatever its type says of it.
  @Test func optionsEndBeforeThePayload() {
    for type in ["02", "03", "04", "05", "fe", "ff"] {
      #expect(isMalformed(data(options: type, payload: "04 00000001 000000000000")))
      for length in ["01", "07", "ff"] {
        #expect(isMalformed(data(options: type + length, payload: String(repeating: "01", count: 255))))
      }
    }
    #expect(isMalformed(data(options: "0207 0000000a0000", payload: "10")))
    #expect(isMalformed(data(options: "0304 000000", payload: "01")))
  }

  // MARK: Writing

  @Test func written() throws {
    let data = LRP2PCoreTests.written { memory in
      Segment.writeData(flags: SegmentFlag.syn | SegmentFlag.ackNow, sequence: 0xFFFF_FFFE, into: &memory)
      return Segment.dataLength
    }
    #expect(data == bytes("06 22 fffffffe"))
    let ack = LRP2PCoreTests.written { memory in
      Segment.writeAck(flags: 0, lastInOrder: 0xFFFF_FFFF, window: 0xFF_FFFF, into: &memory)
      return Segment.ackLength
    }
    #expect(ack == bytes("09 01 ffffffff ffffff"))
    let control = LRP2PCoreTests.written { memory in
      Segment.writeControl(flags: SegmentFlag.ackNow, kind: Control.ping, token: 0xABCD, into: &memory)
      return Segment.controlLength
    }
    #expect(control == bytes("06 60 0001 abcd"))
  }

  @Test func roundTrips() throws {
    var random = SplitMix(state: 4)
    for _ in 0..<1_000 {
      let number = UInt32(truncatingIfNeeded: random.next())
      let window = UInt32(random.below(0x100_0000))
      let kind = UInt16(truncatingIfNeeded: random.next())
      let flags =
        UInt8(truncatingIfNeeded: random.next())
        & ~(SegmentFlag.ack | SegmentFlag.control | SegmentFlag.messages)
      let data = try parse(
        LRP2PCoreTests.written {
          Segment.writeData(flags: flags, sequence: number, into: &$0)
          return Segment.dataLength
        })
      #expect(data.kind == .data && data.number == number && data.flags == flags)
      let ack = try parse(
        LRP2PCoreTests.written {
          Segment.writeAck(flags: flags, lastInOrder: number, window: window, into: &$0)
          return Segment.ackLength
        })
      #expect(ack.kind == .ack && ack.number == number && ack.window == window)
      let control = try parse(
        LRP2PCoreTests.written {
          Segment.writeControl(flags: flags, kind: kind, token: ~kind, into: &$0)
          return Segment.controlLength
        })
      #expect(control.kind == .control && control.controlKind == kind && control.token == ~kind)
    }
  }

  // MARK: Random bytes

  @Test func randomBytes() {
    let valid = [
      "06 00 00000007 aabbcc", "09 01 00000007 000010 00000000000000", "06 40 0005 0000 00000001 6162",
      "0c 00 00000007 03 04 0001 0002 aabbcc", "10 01 00000007 000010 08 05 0102030405 aabbcc",
      "11 40 0001 0000 00 02 07 00000007 000010 00 aabbcc",
      "18 00 00000007 03 04 0001 0009 00 02 08 0000000a 000010 00 00 aa",
    ].map { bytes($0) }
    var random = SplitMix(state: 5)
    var parsed = 0
    var withOptions = 0
    var wrong = 0
    var plain = 0
    for _ in 0..<100_000 {
      let input = random.untrusted(like: valid, longest: 48)
      let plainNumber = Segment.plainNumber(input.rawBytes)
      guard let segment = try? parse(input) else {
        if plainNumber != nil { wrong += 1 }
        continue
      }
      parsed += 1
      if segment.unknownCritical == .flag(16) {
        if plainNumber != nil { wrong += 1 }
        continue
      }
      let isPlain =
        segment.kind == .data && segment.payloadOffset == Segment.dataLength
        && segment.flags & ~(SegmentFlag.syn | SegmentFlag.rto) == 0
      if plainNumber != (isPlain ? segment.number : nil) { wrong += 1 }
      if isPlain { plain += 1 }
      let fixed = segment.kind == .ack ? 9 : 6
      if !(fixed...input.count).contains(segment.payloadOffset) { wrong += 1 }
      if segment.ackOptionLength > 0 {
        withOptions += 1
        if segment.ackOptionOffset < fixed + 2 || segment.ackOptionLength < 7 { wrong += 1 }
        if segment.ackOptionOffset + segment.ackOptionLength > segment.payloadOffset { wrong += 1 }
      }
      if segment.fragmentTotal > 0 {
        withOptions += 1
        if segment.fragmentOffset >= segment.fragmentTotal || segment.kind != .data { wrong += 1 }
      }
      if segment.window > 0xFF_FFFF { wrong += 1 }
    }
    #expect(wrong == 0 && parsed > 10_000 && withOptions > 1_000 && plain > 1_000)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Against what the original peer sent, and what it was seen to accept: the recorded vectors of
/// LRP2PSodiumTests/Vectors/original-peer.json, by their names there.
@Suite struct OriginalSegmentTests {
  private func parse(_ hex: String) throws(Malformed) -> OriginalSegment { try parse(bytes(hex)) }
  private func parse(_ bytes: [UInt8]) throws(Malformed) -> OriginalSegment { try OriginalSegment.parse(bytes.raw) }

  private func data(_ flags: UInt8, _ sequence: UInt32, payloadOffset: Int = 6) -> OriginalSegment {
    var segment = OriginalSegment()
    segment.flags = flags
    segment.number = sequence
    segment.payloadOffset = payloadOffset
    return segment
  }

  private func ack(_ lastInOrder: UInt32, answers: UInt32?, payloadOffset: Int = 10) -> OriginalSegment {
    var segment = data(SegmentFlag.ack, lastInOrder, payloadOffset: payloadOffset)
    segment.window = 65535
    segment.answered = answers
    return segment
  }

  @Test func recordedData() throws {
    // basic: initiator's nonces 0, 2, 3 and 4
    #expect(try parse("06020000000048656c6c6f20576f726c64") == data(2, 0))
    #expect(try parse("0600000000017365636f6e64") == data(0, 1))
    #expect(try parse("060000000002") == data(0, 2))
    #expect(try parse("060000000003616674657220656d707479") == data(0, 3))
    // conn-id-zero: responder's nonce 0, initiator's nonce 1
    #expect(try parse("06020000000000") == data(2, 0))
    #expect(try parse("060200000000010203") == data(2, 0))
    // segmentation-loss-retransmit: initiator's nonces 1 (SYN and RTO), 4, and 5 (RTO), two of them cut short
    #expect(try parse("060a0000000000070e151c232a31") == data(SegmentFlag.syn | SegmentFlag.rto, 0))
    #expect(try parse("0600000000031a21282f363d444b5259") == data(0, 3))
    #expect(try parse("0608000000015e656c737a81888f") == data(SegmentFlag.rto, 1))
  }

  /// Data offset 10 with a window of four bytes, contrary to its README.
  @Test func recordedAcks() throws {
    // basic: responder's nonces 0, 2, 3 and 4
    #expect(try parse("0a01000000000000ffff00000000") == ack(0, answers: 0))
    #expect(try parse("0a01000000000000ffff00000001") == ack(0, answers: 1))
    #expect(try parse("0a01000000010000ffff00000002") == ack(1, answers: 2))
    #expect(try parse("0a01000000020000ffff00000003") == ack(2, answers: 3))
    // segmentation-loss-retransmit: responder's nonces 2 and 3
    #expect(try parse("0a01000000000000ffff00000002") == ack(0, answers: 2))
    #expect(try parse("0a01000000000000ffff00000003") == ack(0, answers: 3))
  }

  @Test func acceptedByTheOriginal() throws {
    // ack-readme-form: a window of three bytes
    #expect(try parse("09010000000400ffff00000005") == ack(4, answers: 5, payloadOffset: 9))
    // ack-with-trailing-option-bytes
    #expect(try parse("0a01000000040000ffff0000000501020304") == ack(4, answers: 5))
    // data-with-option-area: what it does not know it skips
    #expect(try parse("0a00000000046f7074737061796c6f6164") == data(0, 4, payloadOffset: 10))
    // data-unknown-flags
    #expect(try parse("06f0000000057061796c6f6164") == data(0xF0, 5))
    // largest-segment-original-receives
    #expect(try parse(bytes("060000000006") + [UInt8](repeating: 0, count: 1354)) == data(0, 6))
    // highest-nonce
    #expect(try parse("0600000000077a") == data(0, 7))
    // empty-plaintext: holds no segment
    #expect(throws: Malformed.self) { try parse("") }
  }

  /// A window of four bytes counts whole, one of three has nothing of the payload in it.
  @Test func windows() throws {
    #expect(try parse("0a01 00000000 01020304 00000000").window == 0x0102_0304)
    #expect(try parse("0901 00000000 010203 04000000").window == 0x01_0203)
    #expect(try parse("0b01 00000000 010203 0405 00000009").window == 0x01_0203)
    #expect(try parse("0b01 00000000 010203 0405 00000009").answered == 9)
  }

  @Test func acksWithoutAnAnswer() throws {
    for payload in ["", "00", "0000", "000000"] {
      #expect(try parse("0a01000000040000ffff" + payload).answered == nil)
      #expect(try parse("09010000000400ffff" + payload).answered == nil)
    }
  }

  @Test func isAck() throws {
    #expect(try parse("0a01000000000000ffff00000000").isAck)
    #expect(try !parse("06f0000000057061796c6f6164").isAck)
    // It knows no CONTROL: with that flag too an ACK is one.
    #expect(try parse("0a41000000000000ffff00000000").isAck)
  }

  @Test(arguments: [
    "0a01000000000000ffff00000000", "09010000000400ffff00000005", "0a00000000046f7074737061796c6f6164",
    "06020000000048656c6c6f20576f726c64",
  ])
  func cutAtEveryByte(hex: String) {
    let whole = bytes(hex)
    for count in 0...whole.count {
      #expect(((try? parse(Array(whole[..<count]))) == nil) == (count < Int(whole[0])))
    }
  }

  @Test func dataOffsets() {
    for offset in UInt8.min...UInt8.max {
      let rest = [UInt8](repeating: 0, count: 18)
      #expect(((try? parse([offset, 0] + rest)) != nil) == (6...20).contains(offset))
      #expect(((try? parse([offset, 1] + rest)) != nil) == (9...20).contains(offset))
    }
  }

  @Test func randomBytes() {
    let valid = [
      "06020000000048656c6c6f20576f726c64", "0a01000000010000ffff00000002", "09010000000400ffff00000005",
      "0a01000000040000ffff0000000501020304", "0a00000000046f7074737061796c6f6164",
    ].map { bytes($0) }
    var random = SplitMix(state: 7)
    var parsed = 0
    var wrong = 0
    for _ in 0..<100_000 {
      let input = random.untrusted(like: valid, longest: 32)
      guard let segment = try? parse(input) else { continue }
      parsed += 1
      if !((segment.isAck ? 9 : 6)...input.count).contains(segment.payloadOffset) { wrong += 1 }
      let answers = segment.isAck && segment.payloadOffset + 4 <= input.count
      if (segment.answered != nil) != answers { wrong += 1 }
    }
    #expect(wrong == 0 && parsed > 10_000)
  }
}

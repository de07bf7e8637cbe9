// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct ControlTests {
  private func code(_ body: [UInt8]) -> CloseCode? { try? Control.closeCode(body.raw) }
  private func reason(_ body: [UInt8]) -> String? { try? Control.closeReason(body.raw) }

  @Test func codeAndReason() {
    let body = bytes("ffffff01") + Array("går ikke, 再见".utf8)
    #expect(code(body) == CloseCode.violation)
    #expect(reason(body) == "går ikke, 再见")
    #expect(code(bytes("00000000")) == 0 && reason(bytes("00000000")) == "")
    #expect(code(bytes("01020304")) == 0x0102_0304)
  }

  /// What is written is read again, and a reason that is too long is cut.
  @Test(arguments: [0, 1, 999, 1000, 1001, 3000]) func closeIsWritten(length: Int) {
    let text = String(repeating: "x", count: length)
    let body = written(room: 2000) {
      Control.writeClose(CloseCode.resources, text, at: 0, into: &$0)
      return Control.closeLength(text)
    }
    #expect(body.count == 4 + min(length, 1000) && code(body) == CloseCode.resources)
    #expect(reason(body) == String(text.prefix(1000)))
  }

  /// What a peer is told of, as docs/protocol.md has it.
  @Test func theUnknownIsNamed() {
    #expect(UnknownCritical.flag(16).text == "flag 16" && UnknownCritical.option(255).text == "option 255")
    #expect(UnknownCritical.control(0x8ABC).text == "control 0x8abc")
    #expect(UnknownCritical.parameter(0x4001).text == "parameter 0x4001")
  }

  @Test func tooShortForACode() {
    for count in 0..<4 {
      let body = [UInt8](repeating: 0x41, count: count)
      #expect(throws: Malformed.self) { try Control.closeCode(body.raw) }
      #expect(throws: Malformed.self) { try Control.closeReason(body.raw) }
    }
  }

  @Test func invalidTextIsReplaced() {
    #expect(reason(bytes("00000000 ff 41 c3 42 00 43")) == "\u{FFFD}A\u{FFFD}B\0C")
    // A surrogate, and a character longer than it need be.
    #expect(reason(bytes("00000000 eda080 41"))?.hasSuffix("A") == true)
    #expect(reason(bytes("00000000 c080"))?.unicodeScalars.allSatisfy { $0 == "\u{FFFD}" } == true)
  }

  @Test(arguments: [0, 1, 999, 1000, 1001, 1390])
  func longReasonsAreCut(length: Int) {
    let body = bytes("00000005") + [UInt8](repeating: 0x61, count: length)
    #expect(reason(body) == String(repeating: "a", count: min(length, 1000)))
    #expect(code(body) == 5)
  }

  @Test func cutWithinACharacter() {
    let body = bytes("00000000") + [UInt8](repeating: 0x61, count: 999) + Array("é".utf8)
    #expect(reason(body) == String(repeating: "a", count: 999) + "\u{FFFD}")
  }

  @Test func randomBytes() {
    let valid = [bytes("ffffff01"), bytes("00000007 6162 c3a9"), bytes("00000007") + Array("再见".utf8)]
    var random = SplitMix(state: 6)
    var wrong = 0
    for _ in 0..<100_000 {
      let body = random.untrusted(like: valid, longest: 24)
      let text = reason(body)
      if (code(body) == nil) != (body.count < 4) || (text == nil) != (body.count < 4) { wrong += 1 }
      // A replaced byte takes three.
      if let text, text.utf8.count > 3 * (body.count - 4) { wrong += 1 }
    }
    #expect(wrong == 0)
  }
}

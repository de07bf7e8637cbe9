// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PTool
import Testing

@Suite struct DialEndTests {
  private static let ends: [(CloseReason, wasAnswered: Bool)] =
    DialFault.allCases.map { (.unreachable($0), false) } + [
      (.handshakeTimeout, false), (.handshakeTimeout, true), (.keyRefused, false), (.handshakeFailed, false),
      (.noCommonProtocol, true), (.remote(code: CloseCode.keyRefused, reason: ""), true),
      (.remote(code: CloseCode.resources, reason: ""), true),
    ]

  /// A script, and a reader, tell them apart.
  @Test func everyFailureOfADialHasItsOwnWordsAndStatus() {
    let ends = Self.ends.map { DialEnd($0.0, of: "srv:4433", wasAnswered: $0.wasAnswered) }
    #expect(Set(ends.map(\.text)).count == ends.count)
    #expect(Set(ends.map(\.status)) == Set(10...24))
    #expect(ends.allSatisfy { $0.text.contains("srv:4433") && !$0.text.contains("\n") })
    #expect(DialEnd(.unreachable(.portUnreachable), of: "srv:4433", wasAnswered: false).status == 11)
  }

  @Test func whatComesBehindTheHandshakeIsOrdinary() {
    #expect(DialEnd(.idleTimeout, of: "srv:4433", wasAnswered: true).status == 1)
  }
}

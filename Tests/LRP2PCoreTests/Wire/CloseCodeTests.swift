// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct CloseCodeTests {
  @Test func codesOfTheProtocolHaveTexts() {
    let codes = [
      CloseCode.violation, CloseCode.keyRefused, CloseCode.noCommonProtocol, CloseCode.unknownCritical,
      CloseCode.goingAway, CloseCode.resources, CloseCode.exhausted, CloseCode.abandoned, CloseCode.endpointClosed,
      CloseCode.backlogFull,
    ]
    let texts = codes.map(\.description)
    #expect(Set(texts).count == codes.count && !texts.contains { $0.hasPrefix("code") })
    #expect("\(CloseCode.goingAway)" == "going away" && codes.allSatisfy(\.isReserved))
    // A program's own, and one that is not known.
    #expect("\(CloseCode.none)" == "code 0" && "\(CloseCode(rawValue: .max))" == "code 4294967295")
  }

  @Test func theIndexOfAPeerIsThatOfItsSlot() {
    let peer = Peer(connectionID: 0xABCD_EF01_2345_6789)
    #expect(peer.index == 0x45_6789 && peer.slot.index == peer.index)
  }
}

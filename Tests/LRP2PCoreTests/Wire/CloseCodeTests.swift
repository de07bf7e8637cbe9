import LRP2PCore
import Testing

@Suite struct CloseCodeTests {
  @Test func codesOfTheProtocolHaveTexts() {
    let codes = [
      CloseCode.violation, CloseCode.keyRefused, CloseCode.noCommonProtocol, CloseCode.unknownCritical,
      CloseCode.goingAway, CloseCode.resources, CloseCode.exhausted, CloseCode.abandoned, CloseCode.endpointClosed,
      CloseCode.backlogFull,
    ]
    let texts = codes.map { CloseCode.text(of: $0) }
    #expect(Set(texts).count == codes.count && !texts.contains(nil))
    #expect(CloseCode.text(of: CloseCode.goingAway) == "going away")
    // A program's own, and one that is not known.
    #expect(CloseCode.text(of: 7) == nil && CloseCode.text(of: CloseCode.firstOwn + 0xFF) == nil)
  }

  @Test func theIndexOfAPeerIsThatOfItsSlot() {
    let peer = Peer(connectionID: 0xABCD_EF01_2345_6789)
    #expect(peer.index == 0x45_6789 && peer.slot.index == peer.index)
  }
}

/// CONTROL segments: unsequenced, each kind owns its reliability. An unknown kind is ignored.
package enum Control {
  package static let ping: UInt16 = 1
  package static let pong: UInt16 = 2
  /// 8 random bytes, returned by RESPONSE.
  package static let challenge: UInt16 = 3
  package static let response: UInt16 = 4
  /// Code (4) and a reason in UTF-8.
  package static let close: UInt16 = 5

  package static let challengeLength = 8
  package static let longestReason = 1000
  /// CLOSE codes from here on are the protocol's own.
  package static let protocolViolationCode: UInt32 = 0xFFFF_FF01

  /// The body of CLOSE: its code; the reason is what stands behind, cut at `longestReason`.
  package static func closeCode(_ body: RawSpan) throws(Malformed) -> UInt32 {
    guard body.byteCount >= 4 else { throw Malformed() }
    return body.bigEndian32(0)
  }

  package static func closeReason(_ body: RawSpan) throws(Malformed) -> String {
    guard body.byteCount >= 4 else { throw Malformed() }
    let length = min(body.byteCount - 4, longestReason)
    // Whatever is no UTF-8 is replaced: the text is for people.
    return unsafe body.extracting(4..<4 + length).withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }
}

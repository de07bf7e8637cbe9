// SPDX-License-Identifier: MIT
/// CONTROL segments: unsequenced, each kind owns its reliability. An unknown kind below `firstCritical` is ignored.
package enum Control {
  package static let ping: UInt16 = 1
  package static let pong: UInt16 = 2
  /// 8 random bytes, returned by RESPONSE.
  package static let challenge: UInt16 = 3
  package static let response: UInt16 = 4
  /// Code (4) and a reason in UTF-8.
  package static let close: UInt16 = 5
  /// 8 random bytes, returned by RESPONSE once the address that it comes from is the peer's.
  package static let switchPath: UInt16 = 7

  package static let firstCritical: UInt16 = 0x8000

  package static let challengeLength = 8
  package static let longestReason = 1000

  /// The body of CLOSE: its code; the reason is what stands behind, cut at `longestReason`.
  package static func closeCode(_ body: RawSpan) throws(Malformed) -> CloseCode {
    guard body.byteCount >= 4 else { throw Malformed() }
    return CloseCode(rawValue: body.bigEndian32(0))
  }

  /// Bytes of the body of CLOSE.
  package static func closeLength(_ reason: String) -> Int { 4 + min(reason.utf8.count, longestReason) }

  @_lifetime(bytes: copy bytes)
  package static func writeClose(_ code: CloseCode, _ reason: String, at offset: Int, into bytes: inout MutableRawSpan)
  {
    bytes.setBigEndian32(offset, code.rawValue)
    var at = offset + 4
    for byte in reason.utf8.prefix(longestReason) {
      bytes.setByte(at, byte)
      at += 1
    }
  }

  package static func closeReason(_ body: RawSpan) throws(Malformed) -> String {
    guard body.byteCount >= 4 else { throw Malformed() }
    let length = min(body.byteCount - 4, longestReason)
    // Whatever is no UTF-8 is replaced: the text is for people.
    return unsafe body.extracting(4..<4 + length).withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }
}

/// Proof that whoever shows it receives at its address: issued by a responder, repeated by the initiator in message 1. Its
/// bytes mean nothing to the initiator.
package struct Cookie: BitwiseCopyable, Equatable {
  /// The number of the secret's generation × 2, plus 1 for one that is good for later dials, too.
  package var generation: UInt64 = 0
  package var tag: (UInt64, UInt64) = (0, 0)

  package static let length = 24

  package init() {}

  package init(_ bytes: RawSpan) {
    generation = bytes.bigEndian64(0)
    tag = (bytes.bigEndian64(8), bytes.bigEndian64(16))
  }

  package var isLasting: Bool { generation & 1 != 0 }

  @_lifetime(bytes: copy bytes)
  package func write(into bytes: inout MutableRawSpan, at offset: Int) {
    bytes.setBigEndian64(offset, generation)
    bytes.setBigEndian64(offset + 8, tag.0)
    bytes.setBigEndian64(offset + 16, tag.1)
  }

  /// In a time that does not depend on where they differ.
  package static func == (a: Cookie, b: Cookie) -> Bool {
    isZero((a.generation ^ b.generation) | (a.tag.0 ^ b.tag.0) | (a.tag.1 ^ b.tag.1))
  }
}

/// The answer to a message 1 without a valid cookie, when there are too many:
///
///     initiator's id 8 ‖ cookie 24 ‖ first 16 bytes of the message's ephemeral key
///
/// The echo shows that the sender has seen the message, so that nobody off the path can forge one. Told from message 2 by its length.
package struct CookieReply: BitwiseCopyable {
  package static let length = 48

  package var address: Address = .none
  package var id: UInt64 = 0
  package var echo: (UInt64, UInt64) = (0, 0)
  /// What the cookie is bound to beside the address.
  package var attemptToken: (UInt64, UInt64) = (0, 0)

  package init() {}

  @_lifetime(bytes: copy bytes)
  package func write(_ cookie: Cookie, into bytes: inout MutableRawSpan) {
    bytes.setBigEndian64(0, id)
    cookie.write(into: &bytes, at: 8)
    bytes.setBigEndian64(32, echo.0)
    bytes.setBigEndian64(40, echo.1)
  }

  /// The cookie of a reply to `message1`; `nil` when it is no reply to that.
  package static func cookie(_ datagram: RawSpan, answering message1: RawSpan) -> Cookie? {
    guard datagram.byteCount == length, message1.byteCount >= 24, datagram.bigEndian64(0) == message1.bigEndian64(0),
      datagram.bigEndian64(32) == message1.bigEndian64(8), datagram.bigEndian64(40) == message1.bigEndian64(16)
    else { return nil }
    return Cookie(datagram.extracting(8..<32))
  }
}

/// What the address of a message 1 has shown.
package enum AddressProof: UInt8, BitwiseCopyable {
  case none
  /// It has received a cookie for later dials, within a day. There may be nobody any more.
  case earlier
  /// It has received one for this very dial, within two minutes.
  case recent
}

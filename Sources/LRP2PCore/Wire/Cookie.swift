// SPDX-License-Identifier: MIT
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
///     initiator's id 8 ‖ kind 8 ‖ first 16 bytes of the message's ephemeral key ‖ cookie, the rest
///
/// The echo shows that the sender has seen the message, so that nobody off the path can forge one.
package struct CookieReply: BitwiseCopyable {
  private static var echoLength: Int { 16 }
  private static var cookieOffset: Int { Datagram.handshakeHeaderLength + echoLength }
  /// Of a reply with a cookie that this side has made.
  package static var length: Int { cookieOffset + Cookie.length }

  package var address: Address = .none
  package var id: UInt64 = 0
  package var echo: (UInt64, UInt64) = (0, 0)
  /// What the cookie is bound to beside the address.
  package var attemptToken: (UInt64, UInt64) = (0, 0)
  /// Instead of a cookie it tells which versions there are, a byte each.
  package var tellsVersions = false

  package init() {}

  /// To `message1`, which has been recognised as one.
  package init(to address: Address, answering message1: RawSpan) {
    self.address = address
    id = message1.bigEndian64(0)
    echo = (message1.bigEndian64(8), message1.bigEndian64(16))
  }

  @_lifetime(bytes: copy bytes)
  package func write(_ cookie: Cookie, into bytes: inout MutableRawSpan) {
    writeHead(.cookieReply, into: &bytes)
    cookie.write(into: &bytes, at: Self.cookieOffset)
  }

  /// A reply that tells the versions is so long.
  package static var versionsLength: Int { cookieOffset + 8 }

  /// - Parameter meaningless: a version that nobody has, so that all skip it.
  @_lifetime(bytes: copy bytes)
  package func writeVersions(meaningless: UInt8, into bytes: inout MutableRawSpan) {
    writeHead(.versions, into: &bytes)
    bytes.setBigEndian64(Self.cookieOffset, 0)
    bytes.setByte(Self.cookieOffset, HandshakeParameters.version)
    bytes.setByte(Self.cookieOffset + 1, meaningless & 0xF0 | 0x0A)
  }

  @_lifetime(bytes: copy bytes)
  private func writeHead(_ kind: HandshakeKind, into bytes: inout MutableRawSpan) {
    bytes.setBigEndian64(0, id)
    bytes.setBigEndian64(8, kind.word)
    bytes.setBigEndian64(16, echo.0)
    bytes.setBigEndian64(24, echo.1)
  }

  /// What a reply of this kind to `message1` says, anyone's; `nil` when it is none.
  @_lifetime(copy datagram)
  private static func body(_ datagram: RawSpan, _ kind: HandshakeKind, answering message1: RawSpan) -> RawSpan? {
    guard Datagram.handshakeKind(datagram) == kind, datagram.byteCount > cookieOffset,
      message1.byteCount >= Datagram.message1HeaderLength + echoLength,
      datagram.bigEndian64(0) == message1.bigEndian64(0), datagram.bigEndian64(16) == message1.bigEndian64(8),
      datagram.bigEndian64(24) == message1.bigEndian64(16)
    else { return nil }
    return datagram.extracting(cookieOffset..<datagram.byteCount)
  }

  package static func cookie(_ datagram: RawSpan, answering message1: RawSpan) -> ShownCookie? {
    guard let body = body(datagram, .cookieReply, answering: message1) else { return nil }
    return ShownCookie(body)
  }

  /// Whether a reply tells versions to `message1`, and not ours.
  package static func lacksVersion1(_ datagram: RawSpan, answering message1: RawSpan) -> Bool {
    guard let body = body(datagram, .versions, answering: message1) else { return false }
    for index in 0..<body.byteCount where body.byte(index) == HandshakeParameters.version { return false }
    return true
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

// SPDX-License-Identifier: MIT
/// The fixed layout of a datagram: connection id, packet number, sealed segment.
package enum Datagram {
  /// Connection id (8) and packet number (8), in the clear, authenticated as associated data.
  package static let headerLength = 16
  package static let tagLength = 16
  /// Header, the shortest segment and the tag: what is shorter cannot be ours.
  package static let minimumLength = headerLength + Segment.dataLength + tagLength
  /// Message 1 has its connection id only, and so have all handshake messages of the original.
  package static let message1HeaderLength = 8
  /// Every other handshake message has its kind where data has its packet number.
  package static let handshakeHeaderLength = 16
  package static let maximumLength = 16_384
  /// What every path is taken to carry; message 1 is at least this long.
  package static let smallestPath = 1200
}

/// What a datagram brings that is neither message 1 nor a sealed segment. Its packet number is one of the last 256, which are never
/// used: 56 bits of ones, then the kind.
package enum HandshakeKind: UInt8 {
  /// Message 2 or 3.
  case noise = 1
  case cookieReply = 2
  /// The versions that a responder speaks, in answer to a message 1 that has none of them.
  case versions = 3
  /// The receiver's peer has lost the connection. The one kind that goes under an id of its sender's (`Reset`).
  case reset = 4

  /// The second half of the header.
  package var word: UInt64 { ~0xFF | UInt64(rawValue) }

  /// The lowest of the packet numbers that no segment has.
  package static var firstNumber: UInt64 { ~0xFF }
}

extension Datagram {
  /// Whether a packet number says that the datagram is a handshake message.
  @inline(__always)
  package static func isHandshake(_ packetNumber: UInt64) -> Bool { packetNumber >= HandshakeKind.firstNumber }

  /// The kind of a handshake message that is known; `nil` of anything else.
  package static func handshakeKind(_ datagram: RawSpan) -> HandshakeKind? {
    guard datagram.byteCount >= handshakeHeaderLength else { return nil }
    let number = datagram.bigEndian64(8)
    return isHandshake(number) ? HandshakeKind(rawValue: UInt8(truncatingIfNeeded: number)) : nil
  }
}

/// Bytes that follow no rule of the wire format: to be counted and dropped.
package struct Malformed: Error {
  package init() {}
}

/// The fixed layout of a datagram: connection id, packet number, sealed segment.
package enum Datagram {
  /// Connection id (8) and packet number (8), in the clear, authenticated as associated data.
  package static let headerLength = 16
  package static let tagLength = 16
  /// Header, the shortest segment and the tag: what is shorter cannot be ours.
  package static let minimumLength = headerLength + Segment.dataLength + tagLength
  /// A handshake datagram has no packet number.
  package static let handshakeHeaderLength = 8
  package static let maximumLength = 16_384
  /// What every path is taken to carry; message 1 is at least this long.
  package static let smallestPath = 1200
}

/// Bytes that follow no rule of the wire format: to be counted and dropped.
package struct Malformed: Error {
  package init() {}
}

// SPDX-License-Identifier: MIT
/// Proof that a reset comes from whom a connection was with: it was told in the handshake, and nobody else knows it.
package struct ResetToken: BitwiseCopyable, Equatable {
  private var words: (UInt64, UInt64) = (0, 0)

  package static let length = 16

  package init() {}

  /// The first bytes of `bytes`, of which there are enough.
  package init(_ bytes: RawSpan) { words = (bytes.bigEndian64(0), bytes.bigEndian64(8)) }

  /// That of an own id for the peer at `address`: the first half of keyed BLAKE2b-32 of `"lrp2p reset" ‖ id 8 ‖ address 16`.
  ///
  /// An id comes again: there are some 800,000 for each slot. Whoever has collected the tokens of very many must not have that of somebody
  /// else's connection, so the address counts. Its port does not: an idle peer behind a NAT has another one with each PING.
  package init(key: SecretKey, id: UInt64, address: Address, suite: any CipherSuite) {
    var input = InlineArray<35, UInt8>(repeating: 0)
    for (index, byte) in "lrp2p reset".utf8.enumerated() { input[index] = byte }
    var elements = input.mutableSpan
    var bytes = unsafe elements.mutableBytes
    bytes.setBigEndian64(11, id)
    bytes.setBigEndian64(19, address.high)
    bytes.setBigEndian64(27, address.low)
    let hash = suite.keyedHash(key: key.bytes, bytes.bytes)
    self.init(hash.bytes)
  }

  @_lifetime(bytes: copy bytes)
  package func write(into bytes: inout MutableRawSpan, at offset: Int) {
    bytes.setBigEndian64(offset, words.0)
    bytes.setBigEndian64(offset + 8, words.1)
  }

  /// In a time that does not depend on where they differ.
  package static func == (a: ResetToken, b: ResetToken) -> Bool {
    isZero((a.words.0 ^ b.words.0) | (a.words.1 ^ b.words.1))
  }
}

/// The answer to a sealed datagram for a connection that its receiver has lost, under the very id of that datagram:
///
///     id 8 ‖ kind 8 ‖ token 16 ‖ 6 zero bytes
///
/// It is as long as the shortest datagram: never longer than what it answers.
package struct Reset: BitwiseCopyable, Equatable {
  package var id: UInt64 = 0
  package var address = Address.none

  package init() {}

  package init(id: UInt64, to address: Address) {
    self.id = id
    self.address = address
  }

  package static var length: Int { Datagram.minimumLength }

  @_lifetime(bytes: copy bytes)
  package func write(_ token: ResetToken, into bytes: inout MutableRawSpan) {
    bytes.setBigEndian64(0, id)
    bytes.setBigEndian64(8, HandshakeKind.reset.word)
    token.write(into: &bytes, at: Datagram.handshakeHeaderLength)
    for index in Datagram.handshakeHeaderLength + ResetToken.length..<Self.length { bytes.setByte(index, 0) }
  }

  /// The token of a datagram of this kind, which is at least as long as any of ours.
  package static func token(_ datagram: RawSpan) -> ResetToken {
    ResetToken(datagram.extracting(Datagram.handshakeHeaderLength..<datagram.byteCount))
  }
}

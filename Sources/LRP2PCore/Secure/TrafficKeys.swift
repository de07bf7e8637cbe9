// SPDX-License-Identifier: MIT
/// The traffic keys of protocol version 1. (The original peer uses the Noise transport keys as they are.)
package enum TrafficKeys {
  /// Keyed BLAKE2b-32 under `noiseKey` of `"lrp2p v1 key" ‖ AEAD ‖ direction ‖ handshake hash`.
  ///
  /// AEAD: its number in the handshake. Direction: 0 from the initiator to the responder, 1 the other way.
  /// - Parameter noiseKey: The Noise transport key of the same direction.
  package static func derive(
    noiseKey: SecretKey, aead: AEAD, initiatorToResponder: Bool, handshakeHash: InlineArray<64, UInt8>,
    suite: any CipherSuite
  ) -> TrafficKey {
    var input = InlineArray<78, UInt8>(repeating: 0)
    var length = 0
    for byte in "lrp2p v1 key".utf8 {
      input[length] = byte
      length += 1
    }
    input[length] = aead.rawValue
    input[length + 1] = initiatorToResponder ? 0 : 1
    length += 2
    for index in 0..<64 { input[length + index] = handshakeHash[index] }
    var key = TrafficKey()
    key.bytes = suite.keyedHash(key: noiseKey.bytes, input.bytes)
    key.aead = aead.rawValue
    return key
  }

  /// The key of the next epoch: keyed BLAKE2b-32 under this one, of `"lrp2p v1 next key"`.
  package static func next(_ key: TrafficKey, suite: any CipherSuite) -> TrafficKey {
    var input = InlineArray<17, UInt8>(repeating: 0)
    var length = 0
    for byte in "lrp2p v1 next key".utf8 {
      input[length] = byte
      length += 1
    }
    var next = TrafficKey()
    next.bytes = suite.keyedHash(key: key.bytes.bytes, input.bytes)
    next.aead = key.aead
    return next
  }
}

// SPDX-License-Identifier: MIT
/// Keys that a host has again when it has lost all else: they follow from its identity, from where its socket is bound, and from what
/// tells it from other hosts with the same identity. So a process that is started anew knows the ids that the one before it gave out, and
/// can tell whoever still sends under one that the connection is lost (`Reset`).
package struct StatelessKeys: BitwiseCopyable {
  /// Of the tag in ids. The kernel's filter has it, too.
  package var tag: IDHash
  /// Of reset tokens.
  package var resets: SecretKey

  /// - Parameters:
  ///   - host: the same for all processes of a host, and another for every other host.
  ///   - bound: address and port of the socket.
  package init(identity: SecretKey, host: UInt64 = 0, bound: Address = .none, suite: any CipherSuite) {
    var key = Self.key("lrp2p ids", identity, host, bound, suite)
    tag = IDHash(key: (key.bytes.bigEndian64(0), key.bytes.bigEndian64(8)))
    key.wipe()
    resets = Self.key("lrp2p resets", identity, host, bound, suite)
  }

  package mutating func wipe() {
    tag = IDHash(key: (0, 0))
    resets.wipe()
  }

  /// Keyed BLAKE2b-32 under the identity of `label ‖ host 8 ‖ address 16 ‖ port 2`.
  private static func key(
    _ label: String, _ identity: SecretKey, _ host: UInt64, _ bound: Address, _ suite: any CipherSuite
  ) -> SecretKey {
    var input = InlineArray<38, UInt8>(repeating: 0)
    var length = 0
    for byte in label.utf8 {
      input[length] = byte
      length += 1
    }
    var elements = input.mutableSpan
    var bytes = unsafe elements.mutableBytes
    bytes.setBigEndian64(length, host)
    bytes.setBigEndian64(length + 8, bound.high)
    bytes.setBigEndian64(length + 16, bound.low)
    bytes.setBigEndian16(length + 24, bound.port)
    return suite.keyedHash(key: identity.bytes, bytes.bytes.extracting(0..<length + 26))
  }
}

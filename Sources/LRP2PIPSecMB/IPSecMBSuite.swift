// SPDX-License-Identifier: MIT
import CIPSecMB
package import LRP2PCore

/// Datagrams by libipsec-mb, handshakes and randomness by another suite.
///
/// It keeps expanded keys and a manager of the library, so it belongs to one engine and its thread.
@safe
package final class IPSecMBSuite {
  private let library: Library
  let handshakes: any CipherSuite
  // Owned, and given back in `deinit`.
  let manager: UnsafeMutablePointer<lrp2p_mb_manager>
  let expandedKeys: ExpandedKeys
  let workspace = Workspace()

  /// - Parameter memory: for keys.
  /// - Throws: libipsec-mb is not installed, of an unknown version, or no good on this processor.
  package init(
    handshakes: any CipherSuite, memory: any SecretMemory = OrdinaryMemory()
  ) throws(IPSecMBUnavailable) {
    library = try Library.shared.get()
    self.handshakes = handshakes
    expandedKeys = ExpandedKeys(memory: memory)
    unsafe manager = try library.makeManager()
    guard agreesWithKnownAnswers() else { throw IPSecMBUnavailable(reason: "it does not give the right answers") }
  }

  deinit { unsafe library.release(manager) }

  /// Expanded keys that are kept.
  package var expandedKeyCount: Int { expandedKeys.count }

  /// One short text under each AEAD: whatever is wrong with our view of the library would show here.
  private func agreesWithKnownAnswers() -> Bool {
    // Test case 14 of "The Galois/Counter Mode of Operation": everything is zero.
    let key = SecretKey(repeating: 0)
    var text = InlineArray<16, UInt8>(repeating: 0)
    var elements = text.mutableSpan
    var bytes = unsafe elements.mutableBytes
    let nonce = InlineArray<12, UInt8>(repeating: 0)
    var tag = sealText(.aes256GCM, key: key, nonce: nonce, associated: RawSpan(), text: &bytes)
    guard bytes.bytes.bigEndian64(0) == 0xcea7_403d_4d60_6b6e, bytes.bytes.bigEndian64(8) == 0x074e_c5d3_baf3_9d18,
      tag.bytes.bigEndian64(0) == 0xd0d1_c8a7_9999_6bf0, tag.bytes.bigEndian64(8) == 0x265b_98b5_d48a_b919,
      openText(.aes256GCM, key: key, nonce: nonce, associated: RawSpan(), text: &bytes, tag: tag),
      bytes.bytes.bigEndian64(0) == 0, bytes.bytes.bigEndian64(8) == 0
    else { return false }

    var expected = InlineArray<32, UInt8>(repeating: 0)
    var expectedElements = expected.mutableSpan
    var expectedBytes = unsafe expectedElements.mutableBytes
    handshakes.sealMessage(key: key, counter: 0, associated: nonce.bytes, plaintext: bytes.bytes, into: &expectedBytes)
    let answer = expectedBytes.bytes
    tag = sealText(.chacha20Poly1305, key: key, nonce: nonce, associated: nonce.bytes, text: &bytes)
    return bytes.bytes.bigEndian64(0) == answer.bigEndian64(0) && bytes.bytes.bigEndian64(8) == answer.bigEndian64(8)
      && tag.bytes.bigEndian64(0) == answer.bigEndian64(16) && tag.bytes.bigEndian64(8) == answer.bigEndian64(24)
      && openText(.chacha20Poly1305, key: key, nonce: nonce, associated: nonce.bytes, text: &bytes, tag: tag)
      && bytes.bytes.bigEndian64(0) == 0 && bytes.bytes.bigEndian64(8) == 0
  }
}

extension IPSecMBSuite: CipherSuite {
  package var aeadProvider: String { "libipsec-mb" }

  package func supports(_ aead: AEAD) -> Bool { true }

  package func forget(_ row: KeyRow) {
    expandedKeys.forget(row.index)
    workspace.wipe()
  }

  @_lifetime(bytes: copy bytes)
  package func random(_ bytes: inout MutableRawSpan) { handshakes.random(&bytes) }

  package func publicKey(of secret: SecretKey) -> PublicKey { handshakes.publicKey(of: secret) }

  package func agree(_ secret: SecretKey, _ peer: PublicKey) -> SecretKey? { handshakes.agree(secret, peer) }

  package func hash(_ first: RawSpan, _ second: RawSpan) -> InlineArray<64, UInt8> { handshakes.hash(first, second) }

  package func hmac(key: RawSpan, _ data: RawSpan) -> InlineArray<64, UInt8> { handshakes.hmac(key: key, data) }

  package func keyedHash(key: RawSpan, _ data: RawSpan) -> InlineArray<32, UInt8> {
    handshakes.keyedHash(key: key, data)
  }

  @_lifetime(out: copy out)
  package func sealMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, plaintext: RawSpan, into out: inout MutableRawSpan
  ) {
    handshakes.sealMessage(key: key, counter: counter, associated: associated, plaintext: plaintext, into: &out)
  }

  @_lifetime(out: copy out)
  package func openMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, ciphertext: RawSpan, into out: inout MutableRawSpan
  ) -> Bool {
    handshakes.openMessage(key: key, counter: counter, associated: associated, ciphertext: ciphertext, into: &out)
  }
}

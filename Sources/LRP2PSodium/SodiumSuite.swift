import CSodium
import LRP2PCore

// Stand-in until the real suite is merged: randomness and public keys only.
package struct SodiumSuite: CipherSuite {
  package init() {}
  package func seal(
    _ jobs: borrowing Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing Column<TrafficKey>
  ) {}
  package func open(
    _ jobs: inout Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing Column<TrafficKey>
  ) {}
  package func supports(_ aead: AEAD) -> Bool { false }
  package func random(_ bytes: inout MutableRawSpan) {
    unsafe bytes.withUnsafeMutableBytes { unsafe randombytes_buf($0.baseAddress!, $0.count) }
  }
  package func publicKey(of secret: SecretKey) -> PublicKey {
    var out = InlineArray<32, UInt8>(repeating: 0)
    var secret = secret
    unsafe withUnsafeMutableBytes(of: &out) { out in
      unsafe withUnsafeBytes(of: &secret) { s in
        _ = unsafe crypto_scalarmult_base(out.baseAddress!, s.baseAddress!)
      }
    }
    return unsafe PublicKey(bytes: out.span.bytes)
  }
  package func agree(_ secret: SecretKey, _ peer: PublicKey) -> SecretKey? { nil }
  package func hash(_ first: RawSpan, _ second: RawSpan) -> InlineArray<64, UInt8> { .init(repeating: 0) }
  package func hmac(key: RawSpan, _ data: RawSpan) -> InlineArray<64, UInt8> { .init(repeating: 0) }
  package func keyedHash(key: RawSpan, _ data: RawSpan) -> InlineArray<32, UInt8> { .init(repeating: 0) }
  package func sealMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, plaintext: RawSpan, into out: inout MutableRawSpan
  ) {}
  package func openMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, ciphertext: RawSpan, into out: inout MutableRawSpan
  ) -> Bool { false }
}

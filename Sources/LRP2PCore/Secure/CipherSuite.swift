// SPDX-License-Identifier: MIT
/// The AEADs of the wire format, by their number in the handshake.
public enum AEAD: UInt8, BitwiseCopyable, Sendable, CaseIterable {
  /// ChaCha20-Poly1305 (RFC 8439), which every peer can do.
  case chacha20Poly1305 = 1
  /// AES-256-GCM, where the processor has it.
  case aes256GCM = 2
}

/// A 32-byte X25519 public key: who a peer is.
public struct PublicKey: Hashable, Sendable, BitwiseCopyable {
  /// The 32 bytes in memory order.
  package var words: (UInt64, UInt64, UInt64, UInt64)

  /// The key of these bytes, as `bytes` has them. Any 32 bytes are a key.
  ///
  /// - Returns: `nil` where they are not 32.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 32 else { return nil }
    var copy = InlineArray<32, UInt8>(repeating: 0)
    for (index, byte) in bytes.enumerated() { copy[index] = byte }
    unsafe self.init(bytes: copy.span.bytes)
  }

  /// - Parameter bytes: 32 bytes.
  package init(bytes: RawSpan) {
    precondition(bytes.byteCount == 32)
    words = unsafe bytes.unsafeLoadUnaligned(as: (UInt64, UInt64, UInt64, UInt64).self)
  }
  /// No peer's: what stands where none is known yet.
  package init() { words = (0, 0, 0, 0) }
  /// In a time that does not depend on where they differ.
  public static func == (a: PublicKey, b: PublicKey) -> Bool {
    isZero(
      (a.words.0 ^ b.words.0) | (a.words.1 ^ b.words.1) | (a.words.2 ^ b.words.2) | (a.words.3 ^ b.words.3))
  }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }
  /// The 32 bytes, in order.
  public var bytes: [UInt8] { unsafe withUnsafeBytes(of: words) { unsafe Array($0) } }
}

/// The secret half of an identity, or an ephemeral key. Whoever holds one wipes it.
package typealias SecretKey = InlineArray<32, UInt8>

/// A traffic key and the AEAD it is for.
package struct TrafficKey: BitwiseCopyable {
  package var bytes: InlineArray<32, UInt8> = .init(repeating: 0)
  package var aead: UInt8 = 0
  package init() {}
}

/// One datagram to seal or open in place in a batch's arena.
package struct AEADJob: BitwiseCopyable {
  /// First byte of the datagram in the arena. Bytes 0–15 are the header.
  package var offset: Int = 0
  /// Length of the datagram, the header and the 16-byte tag included: at least 32.
  package var length: Int = 0
  /// The row of the traffic key.
  package var key = KeyRow(0)
  package var packetNumber: UInt64 = 0
  /// Out: authentic, and the plaintext now stands at `offset + 16`, `length - 32` bytes long.
  package var opened = false
  /// Whether the header is authenticated as associated data (v1) or there is none (the original peer).
  package var authenticatesHeader = true

  package init() {}
}

/// The cryptography that the protocol needs: the core stays free of C, a simulation brings a clear-text suite. Called
/// for whole batches and for handshakes, never for a single datagram's step. A suite may keep what it has made of the
/// keys, so each engine has its own.
package protocol CipherSuite {
  /// Seals jobs `0 ..< count` in place: the plaintext stands at `offset + 16`, the tag goes behind it.
  /// AEAD nonce: 4 zero bytes, then the packet number as 8 bytes little-endian.
  func seal(
    _ jobs: borrowing Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable)
  /// Opens jobs `0 ..< count` in place and sets `opened`. A datagram that fails is left unusable, nothing else.
  func open(_ jobs: inout Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable)

  /// The key of `row` is no longer in use: whatever was made of it and kept is wiped.
  func forget(_ row: KeyRow)

  /// Whether this machine can run `aead`.
  func supports(_ aead: AEAD) -> Bool
  /// Whose code seals and opens datagrams, by the name of the library.
  var aeadProvider: String { get }

  // Handshake primitives (Noise_XX_25519_ChaChaPoly_BLAKE2b).

  /// Fills with bytes nobody can predict (a simulation: from its seed).
  func random(_ bytes: inout MutableRawSpan)
  /// X25519(secret, base point).
  func publicKey(of secret: SecretKey) -> PublicKey
  /// X25519; `nil` when the result is all zero.
  func agree(_ secret: SecretKey, _ peer: PublicKey) -> SecretKey?
  /// BLAKE2b, 64 bytes, of `first ‖ second`, which are no secrets.
  func hash(_ first: RawSpan, _ second: RawSpan) -> InlineArray<64, UInt8>
  /// HMAC-BLAKE2b (RFC 2104, block 128, output 64) of `data` under `key`.
  func hmac(key: RawSpan, _ data: RawSpan) -> InlineArray<64, UInt8>
  /// Keyed BLAKE2b with 32 bytes of output.
  func keyedHash(key: RawSpan, _ data: RawSpan) -> InlineArray<32, UInt8>
  /// ChaCha20-Poly1305 (IETF) seal: `out` takes `plaintext.byteCount + 16` bytes. Nonce counter as in `seal`.
  func sealMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, plaintext: RawSpan, into out: inout MutableRawSpan)
  /// ChaCha20-Poly1305 (IETF) open: `out` takes `ciphertext.byteCount - 16` bytes; `false` when it is not authentic.
  func openMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, ciphertext: RawSpan, into out: inout MutableRawSpan
  ) -> Bool
}

extension CipherSuite {
  package func forget(_ row: KeyRow) {}
  package var aeadProvider: String { "none" }

  package func randomKey() -> SecretKey {
    var key = SecretKey(repeating: 0)
    var elements = key.mutableSpan
    var bytes = unsafe elements.mutableBytes
    random(&bytes)
    return key
  }
}

/// What the core asks of ciphers kept as one stored value.
package typealias Suite = any CipherSuite

// SPDX-License-Identifier: MIT
/// One side of a Noise_XX_25519_ChaChaPoly_BLAKE2b handshake with payloads (Noise revision 34).
///
/// Messages: 1 `e` · 2 `e, ee, s, es` · 3 `s, se`. A fixed-layout value: a copy is a snapshot, and a step that fails
/// changes nothing, so that a forged message cannot disturb a handshake. Holds secrets: `wipe()` it when done. The static secret
/// is none of them: whoever writes a message brings it, so that no half-open handshake has a copy.
package struct NoiseHandshake: BitwiseCopyable {
  /// What the three messages add to their payloads.
  package static let message1Overhead = 32
  package static let message2Overhead = 96
  package static let message3Overhead = 64

  // Ordered by alignment, so that the value has no padding and equal states are equal bytes.
  private var staticPublic: PublicKey
  private var ephemeralPublic: PublicKey
  /// The other side's identity: known once message 2 (to the initiator) or message 3 (to the responder) was read.
  package private(set) var remoteStatic = PublicKey()
  private var remoteEphemeral = PublicKey()
  private var counter: UInt64 = 0
  private var ephemeralSecret: SecretKey
  private var cipherKey: SecretKey = .init(repeating: 0)
  /// Noise's `h`; after message 3 the handshake hash, which names this handshake for both sides alike.
  package private(set) var handshakeHash: InlineArray<64, UInt8>
  /// Noise's `ck`.
  package private(set) var chainingKey: InlineArray<64, UInt8>
  /// Messages already written or read: 0 … 3.
  package private(set) var step: UInt8 = 0
  package let initiator: Bool

  /// - Parameter prologue: what both sides mix in at the start. The protocol has none.
  package init(
    initiator: Bool, staticPublic: PublicKey, ephemeralSecret: SecretKey, prologue: RawSpan = RawSpan(),
    suite: any CipherSuite
  ) {
    self.initiator = initiator
    self.staticPublic = staticPublic
    self.ephemeralSecret = ephemeralSecret
    ephemeralPublic = suite.publicKey(of: ephemeralSecret)
    // A name no longer than a hash is the first `h`, padded with zeros.
    var name = InlineArray<64, UInt8>(repeating: 0)
    var length = 0
    for byte in "Noise_XX_25519_ChaChaPoly_BLAKE2b".utf8 {
      name[length] = byte
      length += 1
    }
    chainingKey = name
    handshakeHash = suite.hash(name.bytes, prologue)
  }

  package var isFinished: Bool { step == 3 }
  /// Whether the next message is this side's to write.
  package var isWriter: Bool { step < 3 && (step & 1 == 0) == initiator }
  /// What the next message adds to its payload.
  package var overhead: Int {
    switch step {
    case 0: Self.message1Overhead
    case 1: Self.message2Overhead
    default: Self.message3Overhead
    }
  }

  /// Writes the next message, which must be this side's, to the start of `out`, which must hold
  /// `overhead + payload.byteCount` bytes.
  /// - Parameter staticSecret: of the public key that `init` was given; message 1 does without.
  /// - Returns: The message's length, or `nil` with the state as before when a Diffie–Hellman result is zero.
  @_lifetime(out: copy out)
  package mutating func write(
    payload: RawSpan, into out: inout MutableRawSpan, staticSecret: borrowing SecretKey, suite: any CipherSuite
  ) -> Int? {
    precondition(isWriter, "not this side's turn")
    let length = overhead + payload.byteCount
    precondition(out.byteCount >= length, "no room for the handshake message")
    var next = self
    guard next.writeTokens(payload: payload, into: &out, staticSecret, suite: suite) else {
      next.wipe()
      return nil
    }
    self = next
    next.wipe()
    return length
  }

  /// Reads the next message, which must be the other side's; its payload goes to the start of `payload`.
  /// - Returns: The payload's length, or `nil` with the state as before: a message that is too short, not authentic,
  ///   out of turn, with a key of low order, or with a payload larger than `payload`. `payload` then means nothing.
  @_lifetime(payload: copy payload)
  package mutating func read(_ message: RawSpan, payload: inout MutableRawSpan, suite: any CipherSuite) -> Int? {
    let length = message.byteCount - overhead
    guard step < 3, !isWriter, length >= 0, payload.byteCount >= length else { return nil }
    var next = self
    guard next.readTokens(message, payload: &payload, suite: suite) else {
      next.wipe()
      return nil
    }
    self = next
    next.wipe()
    return length
  }

  /// The two transport keys, after message 3.
  package func split(
    suite: any CipherSuite
  ) -> (initiatorToResponder: SecretKey, responderToInitiator: SecretKey) {
    precondition(isFinished, "the handshake is not finished")
    var outputs = Self.derive(chainingKey: chainingKey, input: RawSpan(), suite: suite)
    let keys = (first32(outputs.0), first32(outputs.1))
    outputs.0.wipe()
    outputs.1.wipe()
    return keys
  }

  /// Overwrites the secrets. The handshake cannot go on afterwards; hash and remote key stay readable.
  package mutating func wipe() {
    ephemeralSecret.wipe()
    cipherKey.wipe()
    chainingKey.wipe()
    step = 255
  }

  // MARK: - Messages

  @_lifetime(out: copy out)
  private mutating func writeTokens(
    payload: RawSpan, into out: inout MutableRawSpan, _ staticSecret: borrowing SecretKey, suite: any CipherSuite
  ) -> Bool {
    var at = 0
    if step < 2 {
      at = 32
      let own = ephemeralPublic.inline
      out.copy(own.bytes, to: 0)
      mixHash(out.bytes.extracting(0..<32), suite)
    }
    if step == 1 {
      guard mixKey(ephemeralSecret, remoteEphemeral, suite) else { return false }
    }
    if step > 0 {
      let own = staticPublic.inline
      seal(own.bytes, into: &out, at: at, suite)
      at += 48
      // `es` for the responder, `se` for the initiator: own static key with the other's ephemeral key, for both.
      guard mixKey(staticSecret, remoteEphemeral, suite) else { return false }
      seal(payload, into: &out, at: at, suite)
    } else {
      out.copy(payload, to: at)
      mixHash(payload, suite)
    }
    step += 1
    return true
  }

  @_lifetime(payload: copy payload)
  private mutating func readTokens(
    _ message: RawSpan, payload: inout MutableRawSpan, suite: any CipherSuite
  ) -> Bool {
    var at = 0
    if step < 2 {
      let key = message.extracting(0..<32)
      remoteEphemeral = PublicKey(bytes: key)
      mixHash(key, suite)
      at = 32
    }
    if step == 1 {
      guard mixKey(ephemeralSecret, remoteEphemeral, suite) else { return false }
    }
    if step > 0 {
      var key = InlineArray<32, UInt8>(repeating: 0)
      do {
        var elements = key.mutableSpan
        var bytes = unsafe elements.mutableBytes
        guard open(message.extracting(at..<at + 48), into: &bytes, suite) else { return false }
      }
      remoteStatic = PublicKey(bytes: key.bytes)
      at += 48
      guard mixKey(ephemeralSecret, remoteStatic, suite) else { return false }
      guard open(message.extracting(at..<message.byteCount), into: &payload, suite) else { return false }
    } else {
      let clear = message.extracting(at..<message.byteCount)
      payload.copy(clear, to: 0)
      mixHash(clear, suite)
    }
    step += 1
    return true
  }

  // MARK: - Symmetric state

  private mutating func mixHash(_ data: RawSpan, _ suite: any CipherSuite) {
    handshakeHash = suite.hash(handshakeHash.bytes, data)
  }

  /// Mixes X25519(`secret`, `peer`) in; `false` when that is zero.
  private mutating func mixKey(_ secret: borrowing SecretKey, _ peer: PublicKey, _ suite: any CipherSuite) -> Bool {
    guard var shared = suite.agree(secret, peer) else { return false }
    var outputs = Self.derive(chainingKey: chainingKey, input: shared.bytes, suite: suite)
    chainingKey = outputs.0
    cipherKey = first32(outputs.1)
    counter = 0
    shared.wipe()
    outputs.0.wipe()
    outputs.1.wipe()
    return true
  }

  /// Noise's EncryptAndHash, once there is a key.
  @_lifetime(out: copy out)
  private mutating func seal(
    _ plaintext: RawSpan, into out: inout MutableRawSpan, at offset: Int, _ suite: any CipherSuite
  ) {
    let range = offset..<offset + plaintext.byteCount + 16
    do {
      var target = out._mutatingExtracting(range)
      suite.sealMessage(
        key: cipherKey, counter: counter, associated: handshakeHash.bytes, plaintext: plaintext, into: &target)
    }
    counter += 1
    mixHash(out.bytes.extracting(range), suite)
  }

  /// Noise's DecryptAndHash, once there is a key.
  @_lifetime(out: copy out)
  private mutating func open(_ ciphertext: RawSpan, into out: inout MutableRawSpan, _ suite: any CipherSuite) -> Bool {
    guard
      suite.openMessage(
        key: cipherKey, counter: counter, associated: handshakeHash.bytes, ciphertext: ciphertext, into: &out)
    else { return false }
    counter += 1
    mixHash(ciphertext, suite)
    return true
  }

  /// Noise's HKDF with two outputs.
  private static func derive(
    chainingKey: InlineArray<64, UInt8>, input: RawSpan, suite: any CipherSuite
  ) -> (InlineArray<64, UInt8>, InlineArray<64, UInt8>) {
    var temporary = suite.hmac(key: chainingKey.bytes, input)
    var block = InlineArray<65, UInt8>(repeating: 0)
    block[64] = 1
    let first = suite.hmac(key: temporary.bytes, block.bytes.extracting(64..<65))
    for index in 0..<64 { block[index] = first[index] }
    block[64] = 2
    let second = suite.hmac(key: temporary.bytes, block.bytes)
    temporary.wipe()
    block.wipe()
    return (first, second)
  }
}

/// A key is the first half of a 64-byte output.
private func first32(_ output: InlineArray<64, UInt8>) -> SecretKey {
  var key = SecretKey(repeating: 0)
  for index in 0..<32 { key[index] = output[index] }
  return key
}

extension PublicKey {
  /// The bytes, in order.
  fileprivate var inline: InlineArray<32, UInt8> {
    var key = InlineArray<32, UInt8>(repeating: 0)
    var elements = key.mutableSpan
    var bytes = unsafe elements.mutableBytes
    bytes.storeBytes(of: words.0, as: UInt64.self)
    bytes.storeBytes(of: words.1, toByteOffset: 8, as: UInt64.self)
    bytes.storeBytes(of: words.2, toByteOffset: 16, as: UInt64.self)
    bytes.storeBytes(of: words.3, toByteOffset: 24, as: UInt64.self)
    return key
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation

/// A key agreement that costs nothing: connections between two engines of one process, of which only what follows the
/// handshake is measured. The AEADs are real, or none at all, and every datagram opens.
struct QuickAgreement: CipherSuite {
  private let ciphers: (any CipherSuite)?
  private let clear: ClearSuite

  init(seed: UInt64, ciphers: (any CipherSuite)?) {
    self.ciphers = ciphers
    clear = ClearSuite(seed: seed)
  }

  func seal(
    _ jobs: borrowing Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    ciphers?.seal(jobs, count: count, in: &arena, keys: keys)
  }
  func open(
    _ jobs: inout Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    if let ciphers {
      ciphers.open(&jobs, count: count, in: &arena, keys: keys)
    } else {
      var jobs = jobs.mutableSpan
      for index in 0..<count { jobs[index].opened = true }
    }
  }
  func forget(_ row: KeyRow) { ciphers?.forget(row) }
  func supports(_ aead: AEAD) -> Bool { ciphers?.supports(aead) ?? true }
  @_lifetime(bytes: copy bytes)
  func random(_ bytes: inout MutableRawSpan) { clear.random(&bytes) }
  func publicKey(of secret: SecretKey) -> PublicKey { clear.publicKey(of: secret) }
  func agree(_ secret: SecretKey, _ peer: PublicKey) -> SecretKey? { clear.agree(secret, peer) }
  func hash(_ first: RawSpan, _ second: RawSpan) -> InlineArray<64, UInt8> { clear.hash(first, second) }
  func hmac(key: RawSpan, _ data: RawSpan) -> InlineArray<64, UInt8> { clear.hmac(key: key, data) }
  func keyedHash(key: RawSpan, _ data: RawSpan) -> InlineArray<32, UInt8> { clear.keyedHash(key: key, data) }
  @_lifetime(out: copy out)
  func sealMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, plaintext: RawSpan, into out: inout MutableRawSpan
  ) { clear.sealMessage(key: key, counter: counter, associated: associated, plaintext: plaintext, into: &out) }
  @_lifetime(out: copy out)
  func openMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, ciphertext: RawSpan, into out: inout MutableRawSpan
  ) -> Bool {
    clear.openMessage(key: key, counter: counter, associated: associated, ciphertext: ciphertext, into: &out)
  }
}

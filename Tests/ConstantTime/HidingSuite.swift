// SPDX-License-Identifier: MIT
import CMemcheck
import LRP2PCore

/// Real ciphers, whose keys memcheck holds for undefined: secret keys from where they are drawn, and what is derived of them. What goes onto the
/// wire, and what authentic bytes say, is no secret from those who may see it.
final class HidingSuite: CipherSuite {
  private let inner: any CipherSuite

  init(_ inner: any CipherSuite) { self.inner = inner }

  var aeadProvider: String { inner.aeadProvider }
  func supports(_ aead: AEAD) -> Bool { inner.supports(aead) }
  func forget(_ row: KeyRow) { inner.forget(row) }

  /// Keys are drawn 32 bytes at a time, ids and tokens in larger amounts.
  func random(_ bytes: inout MutableRawSpan) {
    inner.random(&bytes)
    if bytes.byteCount == 32 { hide(bytes.bytes) }
  }

  func publicKey(of secret: SecretKey) -> PublicKey {
    var key = inner.publicKey(of: secret)
    unsafe memcheck_show(&key, 32)
    return key
  }

  func agree(_ secret: SecretKey, _ peer: PublicKey) -> SecretKey? {
    var shared = inner.agree(secret, peer)
    // Whether there is one is no secret, what it is is one. (Marked is the value that is returned, not a copy.)
    unsafe memcheck_show(&shared, MemoryLayout<SecretKey?>.size)
    guard var key = shared else { return nil }
    unsafe memcheck_hide(&key, 32)
    return key
  }

  func hash(_ first: RawSpan, _ second: RawSpan) -> InlineArray<64, UInt8> { inner.hash(first, second) }
  func hmac(key: RawSpan, _ data: RawSpan) -> InlineArray<64, UInt8> { inner.hmac(key: key, data) }
  func keyedHash(key: RawSpan, _ data: RawSpan) -> InlineArray<32, UInt8> { inner.keyedHash(key: key, data) }

  func sealMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, plaintext: RawSpan, into out: inout MutableRawSpan
  ) {
    inner.sealMessage(key: key, counter: counter, associated: associated, plaintext: plaintext, into: &out)
    show(out.bytes)
  }

  func openMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, ciphertext: RawSpan, into out: inout MutableRawSpan
  ) -> Bool {
    var isOpened = inner.openMessage(
      key: key, counter: counter, associated: associated, ciphertext: ciphertext, into: &out)
    show(out.bytes)
    unsafe memcheck_show(&isOpened, 1)
    return isOpened
  }

  func seal(
    _ jobs: borrowing Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    inner.seal(jobs, count: count, in: &arena, keys: keys)
    for index in 0..<count { show(arena.bytes(jobs[index].offset, jobs[index].length)) }
  }

  func open(
    _ jobs: inout Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    inner.open(&jobs, count: count, in: &arena, keys: keys)
    for index in 0..<count {
      show(arena.bytes(jobs[index].offset, jobs[index].length))
      unsafe memcheck_show(&jobs[index], MemoryLayout<AEADJob>.size)
    }
  }
}

func hide(_ bytes: RawSpan) {
  unsafe bytes.withUnsafeBytes { unsafe memcheck_hide($0.baseAddress, $0.count) }
}

func show(_ bytes: RawSpan) {
  unsafe bytes.withUnsafeBytes { unsafe memcheck_show($0.baseAddress, $0.count) }
}

/// A key that was drawn at random, hidden.
func hiddenKey() -> SecretKey {
  var key = SecretKey(repeating: 0)
  for index in 0..<32 { key[index] = .random(in: 0...255) }
  unsafe memcheck_hide(&key, 32)
  return key
}

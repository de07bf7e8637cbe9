// SPDX-License-Identifier: MIT
import LRP2PCore

/// A suite without secrets: payloads stay readable, tags are checksums under the key, and the key agreement is a
/// multiplication. It has the shape of the real one, so that the same handshake and the same authentication paths
/// run in a simulation or under a fuzzer, deterministically and fast. Nothing that a user links may hold it.
package final class ClearSuite: CipherSuite {
  private var generator: SeededRandom
  /// Only so many bytes at the start of a datagram are protected: for simulations whose links keep no more.
  package var protectedBytes = Int.max
  /// Packet numbers that were used twice under a key, which must never be.
  package private(set) var reusedPacketNumbers = 0
  /// Whether datagrams that are opened are remembered, and how many of them had been opened in an earlier batch: what the
  /// replay window is there to prevent.
  package var remembersOpened = false
  package private(set) var openedTwice = 0
  /// The batch that each was opened in.
  private var opened: [OpenedDatagram: UInt32] = [:]
  private var batches: UInt32 = 0
  /// For each key row: the key's first word and the last packet number sealed under it.
  private var lastSealed: [(key: UInt64, packetNumber: UInt64)] = []

  package init(seed: UInt64) { generator = SeededRandom(seed: seed) }

  private func note(_ row: KeyRow, _ key: TrafficKey, _ packetNumber: UInt64) {
    let word = key.bytes.bytes.bigEndian64(0)
    while lastSealed.count <= row.index { lastSealed.append((0, 0)) }
    let last = lastSealed[row.index]
    if last.key == word, packetNumber <= last.packetNumber { reusedPacketNumbers += 1 }
    lastSealed[row.index] = (word, packetNumber)
  }

  package func supports(_ aead: AEAD) -> Bool { true }

  package func seal(
    _ jobs: borrowing Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    for index in 0..<count {
      let job = jobs[index]
      let text = job.length - 16
      note(job.key, keys[job.key], job.packetNumber)
      let tag = Self.tag(keys[job.key], job.packetNumber, arena.bytes(job.offset, min(text, protectedBytes)))
      var target = arena.mutableBytes(job.offset + text, 16)
      target.setBigEndian64(0, tag)
      target.setBigEndian64(8, ~tag)
    }
  }

  /// A datagram as whoever has `key` would seal it; it ends with 16 bytes for the tag.
  package static func seal(
    _ datagram: inout [UInt8], packetNumber: UInt64, key: TrafficKey, protectedBytes: Int = .max
  ) {
    let text = datagram.count - 16
    let tag = unsafe tag(key, packetNumber, datagram.span.bytes.extracting(0..<min(text, protectedBytes)))
    for index in 0..<8 {
      datagram[text + index] = UInt8(truncatingIfNeeded: tag >> (56 - 8 * UInt64(index)))
      datagram[text + 8 + index] = ~datagram[text + index]
    }
  }

  package func open(
    _ jobs: inout Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    for index in 0..<count {
      let job = jobs[index]
      let text = job.length - 16
      let tag = Self.tag(keys[job.key], job.packetNumber, arena.bytes(job.offset, min(text, protectedBytes)))
      let found = arena.bytes(job.offset + text, 16)
      jobs[index].opened = found.bigEndian64(0) == tag && found.bigEndian64(8) == ~tag
    }
    if remembersOpened { remember(jobs, count, keys) }
  }

  /// Within a batch a copy is told apart only after it was opened.
  private func remember(_ jobs: borrowing Column<AEADJob>, _ count: Int, _ keys: borrowing KeyTable) {
    batches += 1
    for index in 0..<count where jobs[index].opened {
      let key = keys[jobs[index].key].bytes.bytes.bigEndian64(0)
      let datagram = OpenedDatagram(key: key, packetNumber: jobs[index].packetNumber)
      if let before = opened.updateValue(batches, forKey: datagram), before != batches { openedTwice += 1 }
    }
  }

  @_lifetime(bytes: copy bytes)
  package func random(_ bytes: inout MutableRawSpan) {
    for index in 0..<bytes.byteCount { bytes.setByte(index, UInt8(truncatingIfNeeded: generator.next())) }
  }

  package func publicKey(of secret: SecretKey) -> PublicKey {
    var key = PublicKey()
    key.words = (Self.scalar(secret) &* 0x9E37_79B9_7F4A_7C15, 1, 2, 3)
    return key
  }

  package func agree(_ secret: SecretKey, _ peer: PublicKey) -> SecretKey? {
    let shared = Self.scalar(secret) &* peer.words.0
    guard shared != 0 else { return nil }
    var key = SecretKey(repeating: 0)
    for index in 0..<8 { key[index] = UInt8(truncatingIfNeeded: shared >> (8 * UInt64(index))) }
    return key
  }

  package func hash(_ first: RawSpan, _ second: RawSpan) -> InlineArray<64, UInt8> {
    Self.expand(Self.mix(Self.mix(1, first), second))
  }

  package func hmac(key: RawSpan, _ data: RawSpan) -> InlineArray<64, UInt8> {
    Self.expand(Self.mix(Self.mix(2, key), data))
  }

  package func keyedHash(key: RawSpan, _ data: RawSpan) -> InlineArray<32, UInt8> {
    let long = Self.expand(Self.mix(Self.mix(3, key), data))
    var short = InlineArray<32, UInt8>(repeating: 0)
    for index in 0..<32 { short[index] = long[index] }
    return short
  }

  @_lifetime(out: copy out)
  package func sealMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, plaintext: RawSpan, into out: inout MutableRawSpan
  ) {
    out.copy(plaintext, to: 0)
    let tag = Self.mix(Self.mix(Self.mix(counter, key.bytes), associated), plaintext)
    out.setBigEndian64(plaintext.byteCount, tag)
    out.setBigEndian64(plaintext.byteCount + 8, ~tag)
  }

  @_lifetime(out: copy out)
  package func openMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, ciphertext: RawSpan, into out: inout MutableRawSpan
  ) -> Bool {
    guard ciphertext.byteCount >= 16 else { return false }
    let plaintext = ciphertext.extracting(0..<ciphertext.byteCount - 16)
    let tag = Self.mix(Self.mix(Self.mix(counter, key.bytes), associated), plaintext)
    guard ciphertext.bigEndian64(plaintext.byteCount) == tag, ciphertext.bigEndian64(plaintext.byteCount + 8) == ~tag
    else { return false }
    out.copy(plaintext, to: 0)
    return true
  }

  private static func tag(_ key: TrafficKey, _ packetNumber: UInt64, _ bytes: RawSpan) -> UInt64 {
    mix(mix(packetNumber, key.bytes.bytes), bytes)
  }

  /// Odd, so that a product of two is never zero.
  private static func scalar(_ secret: SecretKey) -> UInt64 { secret.bytes.bigEndian64(0) | 1 }

  private static func mix(_ start: UInt64, _ bytes: RawSpan) -> UInt64 {
    var h = start ^ UInt64(bytes.byteCount) &* 0xFF51_AFD7_ED55_8CCD
    var at = 0
    while at + 8 <= bytes.byteCount {
      h = (h ^ bytes.bigEndian64(at)) &* 0x9E37_79B9_7F4A_7C15
      h ^= h >> 32
      at += 8
    }
    while at < bytes.byteCount {
      h = (h ^ UInt64(bytes.byte(at))) &* 0x100_0000_01B3
      at += 1
    }
    h = (h ^ (h >> 29)) &* 0xBF58_476D_1CE4_E5B9
    return h ^ (h >> 32)
  }

  private static func expand(_ seed: UInt64) -> InlineArray<64, UInt8> {
    var out = InlineArray<64, UInt8>(repeating: 0)
    var generator = SeededRandom(seed: seed)
    for word in 0..<8 {
      let value = generator.next()
      for index in 0..<8 { out[8 * word + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
    }
    return out
  }
}

/// A datagram, by the first word of its key and its packet number.
private struct OpenedDatagram: Hashable {
  var key: UInt64
  var packetNumber: UInt64
}

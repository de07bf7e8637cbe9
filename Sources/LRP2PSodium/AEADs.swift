// SPDX-License-Identifier: MIT
import CSodium
package import LRP2PCore

// ChaCha20-Poly1305 (IETF) and AES-256-GCM, over datagrams in place and over handshake messages.

/// What stands before the plaintext of a datagram, and behind it.
private let headerLength = 16
private let tagLength = 16

/// The memory that a batch needs, on the stack: the nonce, and the AES-GCM key that was expanded last.
@safe
private struct Scratch {
  // Literals, so that the allocation is known to fit the stack; libsodium wants 16-byte alignment.
  static var stateLength: Int { @inline(__always) get { 512 } }
  static var byteCount: Int { @inline(__always) get { 528 } }

  // Bound: `byteCount` bytes at `base`, alive while `withUnsafeTemporaryAllocation` runs its body.
  private let base: UnsafeMutableRawPointer
  private var expandedRow = -1

  init(_ bytes: UnsafeMutableRawBufferPointer) {
    precondition(bytes.count >= Self.byteCount && MemoryLayout<crypto_aead_aes256gcm_state>.size <= Self.stateLength)
    unsafe base = bytes.baseAddress!
    unsafe (base + Self.stateLength).initializeMemory(as: UInt8.self, repeating: 0, count: 16)
  }

  /// 4 zero bytes, then `packetNumber` little-endian.
  @inline(__always) func nonce(_ packetNumber: UInt64) -> UnsafePointer<UInt8> {
    let nonce = unsafe base + Self.stateLength
    unsafe nonce.storeBytes(of: packetNumber.littleEndian, toByteOffset: 4, as: UInt64.self)
    return unsafe UnsafePointer(nonce.assumingMemoryBound(to: UInt8.self))
  }

  /// The expanded key of `row`; expanded once for a run of jobs with the same row.
  @inline(__always)
  mutating func state(_ key: UnsafePointer<UInt8>, row: Int) -> UnsafeMutablePointer<crypto_aead_aes256gcm_state> {
    let state = unsafe base.assumingMemoryBound(to: crypto_aead_aes256gcm_state.self)
    if row != expandedRow {
      let result = unsafe crypto_aead_aes256gcm_beforenm(state, key)
      precondition(result == 0)
      expandedRow = row
    }
    return unsafe state
  }

  func wipe() {
    if expandedRow >= 0 { unsafe sodium_memzero(base, Self.stateLength) }
  }
}

extension SodiumSuite {
  package func seal(
    _ jobs: borrowing Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    let jobs = jobs.span
    let arenaLength = arena.byteCount
    let arenaBase = unsafe arena.baseAddress
    unsafe withUnsafeTemporaryAllocation(byteCount: Scratch.byteCount, alignment: 16) { memory in
      var scratch = unsafe Scratch(memory)
      for index in 0..<count {
        let job = jobs[index]
        precondition(
          job.length >= headerLength + tagLength && job.offset >= 0 && job.offset <= arenaLength - job.length,
          "a datagram outside of the arena")
        let key = unsafe UnsafeRawPointer(keys.pointer(job.key)).assumingMemoryBound(to: UInt8.self)
        let datagram = unsafe (arenaBase + job.offset).assumingMemoryBound(to: UInt8.self)
        let text = unsafe datagram + headerLength
        let textLength = UInt64(job.length - headerLength - tagLength)
        let associatedLength: UInt64 = job.authenticatesHeader ? UInt64(headerLength) : 0
        let nonce = unsafe scratch.nonce(job.packetNumber)
        let result: Int32
        switch AEAD(rawValue: keys[job.key].aead) {
        case .chacha20Poly1305:
          result = unsafe crypto_aead_chacha20poly1305_ietf_encrypt(
            text, nil, text, textLength, datagram, associatedLength, nil, nonce, key)
        case .aes256GCM:
          precondition(hasAES256GCM, "AES-256-GCM is not available")
          let state = unsafe scratch.state(key, row: job.key.index)
          result = unsafe crypto_aead_aes256gcm_encrypt_afternm(
            text, nil, text, textLength, datagram, associatedLength, nil, nonce, state)
        case nil:
          preconditionFailure("sealing without a key")
        }
        // What is not sealed must not go out in the clear.
        precondition(result == 0, "sealing failed")
      }
      scratch.wipe()
    }
  }

  package func open(
    _ jobs: inout Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    var jobs = jobs.mutableSpan
    let arenaLength = arena.byteCount
    let arenaBase = unsafe arena.baseAddress
    unsafe withUnsafeTemporaryAllocation(byteCount: Scratch.byteCount, alignment: 16) { memory in
      var scratch = unsafe Scratch(memory)
      for index in 0..<count {
        let job = jobs[index]
        jobs[index].opened = false
        if job.length < headerLength + tagLength { continue }
        precondition(job.offset >= 0 && job.offset <= arenaLength - job.length, "a datagram outside of the arena")
        let key = unsafe UnsafeRawPointer(keys.pointer(job.key)).assumingMemoryBound(to: UInt8.self)
        let datagram = unsafe (arenaBase + job.offset).assumingMemoryBound(to: UInt8.self)
        let text = unsafe datagram + headerLength
        let textLength = UInt64(job.length - headerLength)
        let associatedLength: UInt64 = job.authenticatesHeader ? UInt64(headerLength) : 0
        let nonce = unsafe scratch.nonce(job.packetNumber)
        // Of a forgery both leave zeros: no plaintext, but no ciphertext to try another key on either.
        switch AEAD(rawValue: keys[job.key].aead) {
        case .chacha20Poly1305:
          jobs[index].opened =
            unsafe crypto_aead_chacha20poly1305_ietf_decrypt(
              text, nil, nil, text, textLength, datagram, associatedLength, nonce, key) == 0
        case .aes256GCM:
          if !hasAES256GCM { continue }
          let state = unsafe scratch.state(key, row: job.key.index)
          jobs[index].opened =
            unsafe crypto_aead_aes256gcm_decrypt_afternm(
              text, nil, nil, text, textLength, datagram, associatedLength, nonce, state) == 0
        case nil:
          continue
        }
      }
      scratch.wipe()
    }
  }

  @_lifetime(out: copy out)
  package func sealMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, plaintext: RawSpan, into out: inout MutableRawSpan
  ) {
    precondition(out.byteCount >= plaintext.byteCount + tagLength, "no room for the sealed message")
    let nonce = messageNonce(counter)
    let result = unsafe out.withUnsafeMutableBytes { out in
      unsafe plaintext.withUnsafeBytes { plaintext in
        unsafe associated.withUnsafeBytes { associated in
          unsafe nonce.span.withUnsafeBufferPointer { nonce in
            unsafe key.span.withUnsafeBufferPointer { key in
              unsafe crypto_aead_chacha20poly1305_ietf_encrypt(
                out.baseAddress!.assumingMemoryBound(to: UInt8.self), nil,
                plaintext.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(plaintext.count),
                associated.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(associated.count),
                nil, nonce.baseAddress!, key.baseAddress!)
            }
          }
        }
      }
    }
    precondition(result == 0, "sealing failed")
  }

  @_lifetime(out: copy out)
  package func openMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, ciphertext: RawSpan, into out: inout MutableRawSpan
  ) -> Bool {
    if ciphertext.byteCount < tagLength { return false }
    precondition(out.byteCount >= ciphertext.byteCount - tagLength, "no room for the opened message")
    let nonce = messageNonce(counter)
    // libsodium takes a missing output for "only verify", so an empty plaintext may come without memory.
    return unsafe out.withUnsafeMutableBytes { out in
      unsafe ciphertext.withUnsafeBytes { ciphertext in
        unsafe associated.withUnsafeBytes { associated in
          unsafe nonce.span.withUnsafeBufferPointer { nonce in
            unsafe key.span.withUnsafeBufferPointer { key in
              unsafe crypto_aead_chacha20poly1305_ietf_decrypt(
                out.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, nil,
                ciphertext.baseAddress!.assumingMemoryBound(to: UInt8.self), UInt64(ciphertext.count),
                associated.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(associated.count),
                nonce.baseAddress!, key.baseAddress!) == 0
            }
          }
        }
      }
    }
  }

  private func messageNonce(_ counter: UInt64) -> InlineArray<12, UInt8> {
    var nonce = InlineArray<12, UInt8>(repeating: 0)
    for index in 0..<8 { nonce[4 + index] = UInt8(truncatingIfNeeded: counter >> (8 * UInt64(index))) }
    return nonce
  }
}

// SPDX-License-Identifier: MIT
import CSodium
internal import LRP2PCore

// BLAKE2b, plain and keyed, and HMAC over it.

/// HMAC's block with BLAKE2b.
private let blockLength = 128

/// BLAKE2b of `first ‖ second`, keyed unless `key` is empty. A result shorter than 64 bytes is followed by zeros.
///
/// - Parameter isSecret: whether key or data are, so that the state must not be left on the stack.
private func blake2b(
  length: Int, key: RawSpan = RawSpan(), _ first: RawSpan, _ second: RawSpan, isSecret: Bool = true
) -> InlineArray<64, UInt8> {
  precondition(length <= 64 && key.byteCount <= 64)
  var digest = InlineArray<64, UInt8>(repeating: 0)
  // Swift sees the state as an opaque type, for its alignment of 64; its size of 384 is part of libsodium's ABI. Only
  // a constant size at an ordinary alignment stays on the stack, so the place is found within.
  let result = unsafe withUnsafeTemporaryAllocation(byteCount: 384 + 48, alignment: 16) { memory in
    precondition(crypto_generichash_blake2b_statebytes() <= 384)
    let state = unsafe OpaquePointer(memory.baseAddress!.alignedUp(toMultipleOf: 64))
    var result = unsafe key.withUnsafeBytes { key in
      unsafe crypto_generichash_blake2b_init(
        state, key.baseAddress?.assumingMemoryBound(to: UInt8.self), key.count, length)
    }
    result |= unsafe first.withUnsafeBytes { data in
      unsafe crypto_generichash_blake2b_update(
        state, data.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(data.count))
    }
    result |= unsafe second.withUnsafeBytes { data in
      unsafe crypto_generichash_blake2b_update(
        state, data.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(data.count))
    }
    var target = digest.mutableSpan
    result |= unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe crypto_generichash_blake2b_final(state, target.baseAddress!, length)
    }
    if isSecret { unsafe sodium_memzero(memory.baseAddress!, memory.count) }
    return result
  }
  precondition(result == 0, "hashing failed")
  return digest
}

extension SodiumSuite {
  package func hash(_ first: RawSpan, _ second: RawSpan) -> InlineArray<64, UInt8> {
    blake2b(length: 64, first, second, isSecret: false)
  }

  package func hmac(key: RawSpan, _ data: RawSpan) -> InlineArray<64, UInt8> {
    if key.byteCount > blockLength {
      var short = blake2b(length: 64, key, RawSpan())
      defer { short.wipe() }
      return hmac(key: short.bytes, data)
    }
    var digest = InlineArray<64, UInt8>(repeating: 0)
    var target = digest.mutableSpan
    // State and block side by side, so that one call wipes both. Bounds: the state's place ends before 384 + 48, the block of
    // 16 words with the memory, and the key is no longer than it.
    let result = unsafe withUnsafeTemporaryAllocation(byteCount: 384 + 48 + 128, alignment: 16) { memory in
      let state = unsafe OpaquePointer(memory.baseAddress!.alignedUp(toMultipleOf: 64))
      let words = unsafe (memory.baseAddress! + 384 + 48).bindMemory(to: UInt64.self, capacity: 16)
      unsafe words.initialize(repeating: 0, count: 16)
      let block = UnsafeMutableRawPointer(words)
      unsafe key.withUnsafeBytes { key in
        if let base = key.baseAddress { unsafe block.copyMemory(from: base, byteCount: key.count) }
      }
      for index in 0..<16 { unsafe words[index] ^= 0x3636_3636_3636_3636 }
      let result = unsafe target.withUnsafeMutableBufferPointer { digest in
        var result = unsafe crypto_generichash_blake2b_init(state, nil, 0, 64)
        result |= unsafe crypto_generichash_blake2b_update(state, block, UInt64(blockLength))
        result |= unsafe data.withUnsafeBytes { data in
          unsafe crypto_generichash_blake2b_update(
            state, data.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(data.count))
        }
        result |= unsafe crypto_generichash_blake2b_final(state, digest.baseAddress!, 64)
        for index in 0..<16 { unsafe words[index] ^= 0x3636_3636_3636_3636 ^ 0x5c5c_5c5c_5c5c_5c5c }
        result |= unsafe crypto_generichash_blake2b_init(state, nil, 0, 64)
        result |= unsafe crypto_generichash_blake2b_update(state, block, UInt64(blockLength))
        result |= unsafe crypto_generichash_blake2b_update(state, digest.baseAddress!, 64)
        return unsafe result | crypto_generichash_blake2b_final(state, digest.baseAddress!, 64)
      }
      unsafe sodium_memzero(memory.baseAddress!, memory.count)
      return result
    }
    precondition(result == 0, "hashing failed")
    return digest
  }

  package func keyedHash(key: RawSpan, _ data: RawSpan) -> InlineArray<32, UInt8> {
    precondition(key.byteCount > 0, "a keyed hash needs a key")
    var digest = blake2b(length: 32, key: key, data, RawSpan())
    var result = InlineArray<32, UInt8>(repeating: 0)
    for index in 0..<32 { result[index] = digest[index] }
    digest.wipe()
    return result
  }
}

// SPDX-License-Identifier: MIT
import CSodium

/// BLAKE2b-256 of bytes that come in pieces: what `b2sum -l 256` prints.
@safe
package struct StreamHash: ~Copyable {
  // Owned; 384 bytes at an alignment of 64, as libsodium's state wants.
  private let state: UnsafeMutableRawPointer

  package init() {
    precondition(crypto_generichash_blake2b_statebytes() <= 384)
    unsafe state = .allocate(byteCount: 384, alignment: 64)
    let result = unsafe crypto_generichash_blake2b_init(OpaquePointer(state), nil, 0, 32)
    precondition(result == 0)
  }

  deinit { unsafe state.deallocate() }

  package mutating func update(_ bytes: RawSpan) {
    _ = unsafe bytes.withUnsafeBytes { bytes in
      unsafe crypto_generichash_blake2b_update(
        OpaquePointer(state), bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
    }
  }

  /// The digest of everything so far; more may follow.
  package func digest() -> [UInt8] {
    let copy = UnsafeMutableRawPointer.allocate(byteCount: 384, alignment: 64)
    defer { unsafe copy.deallocate() }
    unsafe copy.copyMemory(from: state, byteCount: 384)
    var digest = [UInt8](repeating: 0, count: 32)
    let result = unsafe crypto_generichash_blake2b_final(OpaquePointer(copy), &digest, 32)
    precondition(result == 0)
    return digest
  }

  /// The digest of everything so far; the hash starts anew.
  package mutating func finish() -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    let result = unsafe crypto_generichash_blake2b_final(OpaquePointer(state), &digest, 32)
    precondition(result == 0)
    _ = unsafe crypto_generichash_blake2b_init(OpaquePointer(state), nil, 0, 32)
    return digest
  }
}

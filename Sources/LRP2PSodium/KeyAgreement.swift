// SPDX-License-Identifier: MIT
import CSodium
package import LRP2PCore

// X25519.

extension SodiumSuite {
  package func publicKey(of secret: SecretKey) -> PublicKey {
    var point = InlineArray<32, UInt8>(repeating: 0)
    var target = point.mutableSpan
    let result = unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe secret.span.withUnsafeBufferPointer { secret in
        unsafe crypto_scalarmult_base(target.baseAddress!, secret.baseAddress!)
      }
    }
    precondition(result == 0, "no package key")
    return PublicKey(bytes: point.bytes)
  }

  package func agree(_ secret: SecretKey, _ peer: PublicKey) -> SecretKey? {
    var shared = SecretKey(repeating: 0)
    var target = shared.mutableSpan
    let result = unsafe withUnsafePointer(to: peer) { peer in
      unsafe target.withUnsafeMutableBufferPointer { target in
        unsafe secret.span.withUnsafeBufferPointer { secret in
          // Not zero when the point is of low order, so that the result would be all zero.
          unsafe crypto_scalarmult(
            target.baseAddress!, secret.baseAddress!, UnsafeRawPointer(peer).assumingMemoryBound(to: UInt8.self))
        }
      }
    }
    return result == 0 ? shared : nil
  }
}

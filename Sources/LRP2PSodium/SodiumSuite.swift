// SPDX-License-Identifier: MIT
import CSodium
package import LRP2PCore

/// The ciphers, on libsodium. A value without state beyond what the machine can do: copy it freely, use it from
/// any thread.
package struct SodiumSuite: Sendable {
  /// Whether libsodium can run AES-256-GCM here (it refuses without hardware support).
  let hasAES256GCM: Bool

  package init() {
    // Safe to repeat and from several threads; negative only when the system has no randomness.
    precondition(sodium_init() >= 0, "libsodium cannot be initialised")
    hasAES256GCM = crypto_aead_aes256gcm_is_available() == 1
  }
}

extension SodiumSuite: CipherSuite {
  package var aeadProvider: String { "libsodium" }

  package func supports(_ aead: AEAD) -> Bool {
    switch aead {
    case .chacha20Poly1305: true
    case .aes256GCM: hasAES256GCM
    }
  }

  @_lifetime(bytes: copy bytes)
  package func random(_ bytes: inout MutableRawSpan) {
    unsafe bytes.withUnsafeMutableBytes { target in
      guard let base = target.baseAddress else { return }
      unsafe randombytes_buf(base, target.count)
    }
  }
}

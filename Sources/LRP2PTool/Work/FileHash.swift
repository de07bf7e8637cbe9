// SPDX-License-Identifier: MIT
import CBlake3
import LRP2PSodium

/// What a file's digest is made with.
package enum DigestKind: UInt8, Sendable, CaseIterable {
  /// BLAKE2b-256: what `b2sum -l 256` prints.
  case blake2b = 1
  /// BLAKE3: what `b3sum` prints, and several times as fast.
  case blake3 = 2

  package var name: String { self == .blake3 ? "blake3" : "blake2b-256" }
  package var jsonKey: String { self == .blake3 ? "blake3" : "blake2b_256" }
}

/// The digest of bytes that come in pieces.
@safe
package struct FileHash: ~Copyable {
  private let kind: DigestKind
  private var blake2b = StreamHash()
  // Owned.
  private let blake3: UnsafeMutablePointer<lrp2p_blake3>

  package init(_ kind: DigestKind) {
    self.kind = kind
    unsafe blake3 = .allocate(capacity: 1)
    unsafe lrp2p_blake3_begin(blake3)
  }

  deinit { unsafe blake3.deallocate() }

  /// Begins again.
  mutating func restart() {
    switch kind {
    case .blake2b: blake2b = StreamHash()
    case .blake3: unsafe lrp2p_blake3_begin(blake3)
    }
  }

  /// The digest of these bytes alone.
  package mutating func digest(of bytes: RawSpan) -> [UInt8] {
    guard kind == .blake3 else {
      restart()
      update(bytes)
      return digest()
    }
    var digest = [UInt8](repeating: 0, count: 32)
    unsafe bytes.withUnsafeBytes { unsafe lrp2p_blake3_small($0.baseAddress, $0.count, &digest) }
    return digest
  }

  mutating func update(_ bytes: RawSpan) {
    switch kind {
    case .blake2b: blake2b.update(bytes)
    case .blake3: unsafe bytes.withUnsafeBytes { unsafe lrp2p_blake3_update(blake3, $0.baseAddress, $0.count) }
    }
  }

  /// Of everything so far; more may follow.
  func digest() -> [UInt8] {
    switch kind {
    case .blake2b: return blake2b.digest()
    case .blake3:
      var digest = [UInt8](repeating: 0, count: 32)
      unsafe lrp2p_blake3_digest(blake3, &digest)
      return digest
    }
  }
}

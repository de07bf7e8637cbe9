// SPDX-License-Identifier: MIT
import CBenchSystem
import LRP2PCore
import LRP2PSodium

/// What the bound of a handshake is made of.
enum KeyAgreementCost {
  private static let rounds = 1000

  /// Adds the processor time of one X25519 multiplication and of one of the base point.
  static func measure(into measurement: inout Measurement) {
    let suite = SodiumSuite()
    var secret = SecretKey(repeating: 0)
    var elements = secret.mutableSpan
    var bytes = unsafe elements.mutableBytes
    suite.random(&bytes)
    var point = suite.publicKey(of: secret)
    let start = bench_cpu_time()
    for _ in 0..<rounds {
      guard let shared = suite.agree(secret, point) else { preconditionFailure("no point of low order comes up") }
      point = PublicKey(bytes: unsafe shared.span.bytes)
    }
    let middle = bench_cpu_time()
    for _ in 0..<rounds { point = suite.publicKey(of: secret) }
    let end = bench_cpu_time()
    measurement[.multiplication] = (middle &- start) / UInt64(rounds)
    measurement[.baseMultiplication] = (end &- middle) / UInt64(rounds)
  }
}

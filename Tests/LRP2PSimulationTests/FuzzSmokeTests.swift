// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// The fuzzer's body over seeded random inputs, and over the corpus of inputs that once failed.
@Suite struct FuzzSmokeTests {
  static func run(_ input: [UInt8]) { unsafe FuzzHarness.run(input.span.bytes) }

  @Test(arguments: 0..<8) func randomOperations(block: UInt64) {
    for seed in block * 150..<block * 150 + 150 {
      var random = SeededRandom(seed: seed)
      var input: [UInt8] = [UInt8(truncatingIfNeeded: random.next())]
      for _ in 0..<random.below(40) {
        input.append(UInt8(truncatingIfNeeded: random.next()))
        let length = Int(random.below(60))
        input.append(UInt8(length))
        // Often a plausible segment header.
        let kind: [UInt8] =
          switch random.below(4) {
          case 0: [6, UInt8(random.below(16)) & 0xFE, 0, 0, 0, UInt8(random.below(8))]
          case 1: [9, 1, 255, 255, 255, 255, 0, 0, UInt8(random.below(256)), 0, 0, 0]
          case 2: [6, 64, 0, UInt8(random.below(8)), 0, 1]
          default: []
          }
        input += kind
        for _ in kind.count..<max(length, kind.count) { input.append(UInt8(truncatingIfNeeded: random.next())) }
      }
      Self.run(input)
    }
  }

  @Test func emptyInput() { Self.run([]) }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct SerialNumberTests {
  private static let boundaries: [UInt32] = [
    0, 1, 1 << 23, 1 << 24 - 1, 1 << 24, 1 << 24 + 1, 1 << 31 - 1, 1 << 31, 1 << 31 + 1, .max - 1, .max,
  ]

  /// In integers that are wide enough: of two numbers that are 2^31 apart neither precedes the other.
  @Test(arguments: boundaries, boundaries) func atTheBoundaries(number: UInt32, ahead: UInt32) {
    let later = number &+ ahead
    #expect(number.precedes(later) == (ahead > 0 && ahead < 1 << 31))
    #expect(later.precedes(number) == (ahead > 1 << 31))
    #expect(later.ahead(of: number) == (ahead < 1 << 31 ? Int(ahead) : 0))
    for count in Self.boundaries { #expect(later.isWithin(count, from: number) == (UInt64(ahead) < UInt64(count))) }
  }

  /// A window's reach apart, anywhere on the circle.
  @Test func aroundTheCircle() {
    var random = SplitMix(state: 3)
    var wrong = 0
    for _ in 0..<10_000 {
      let number = UInt32(truncatingIfNeeded: random.next())
      let ahead = random.below(0x7FFF_FFFF) + 1
      let later = number &+ UInt32(ahead)
      if later.ahead(of: number) != ahead || number.ahead(of: later) != 0 { wrong += 1 }
      if !number.precedes(later) || later.precedes(number) || number.precedes(number) { wrong += 1 }
    }
    #expect(wrong == 0)
  }
}

import LRP2PCore
import Testing

@Suite struct SerialNumberTests {
  @Test(
    arguments: [
      (0, 0, 0), (1, 0, 1), (0, 1, -1), (0, .max, 1), (.max, 0, -1), (5, .max - 4, 10), (.max - 4, 5, -10),
      (0x8000_0000, 0x7FFF_FFFF, 1), (0x7FFF_FFFF, 0, 0x7FFF_FFFF), (0, 0x7FFF_FFFF, -0x7FFF_FFFF),
      (0x7FFF_FFFE, .max, 0x7FFF_FFFF), (.max, 0x7FFF_FFFE, -0x7FFF_FFFF),
    ] as [(UInt32, UInt32, Int)])
  func distances(number: UInt32, other: UInt32, distance: Int) {
    #expect(number.distance(since: other) == distance)
    #expect(number.precedes(other) == (distance < 0))
  }

  /// A window's reach apart, anywhere on the circle.
  @Test func aroundTheCircle() {
    var random = SplitMix(state: 3)
    var wrong = 0
    for _ in 0..<10_000 {
      let number = UInt32(truncatingIfNeeded: random.next())
      let ahead = random.below(0x7FFF_FFFF) + 1
      let later = number &+ UInt32(ahead)
      if later.distance(since: number) != ahead || number.distance(since: later) != -ahead { wrong += 1 }
      if !number.precedes(later) || later.precedes(number) || number.precedes(number) { wrong += 1 }
    }
    #expect(wrong == 0)
  }
}

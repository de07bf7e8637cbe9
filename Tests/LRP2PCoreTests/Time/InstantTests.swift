import LRP2PCore
import Testing

@Suite struct InstantTests {
  @Test func unitsAreNanoseconds() {
    #expect(Nanoseconds.microseconds(3) == 3_000)
    #expect(Nanoseconds.milliseconds(3) == 3_000_000)
    #expect(Nanoseconds.seconds(3) == 3_000_000_000)
    // Later than every instant that a clock can tell.
    #expect(Instant.never > .seconds(500 * 365 * 86_400))
  }
}

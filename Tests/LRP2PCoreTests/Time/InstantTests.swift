// SPDX-License-Identifier: MIT
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

  @Test func durationsConvert() {
    for (duration, nanoseconds) in [
      (.seconds(3), .seconds(3)), (.zero, 0), (.nanoseconds(1), 1), (.milliseconds(1500), .milliseconds(1500)),
      (.seconds(Int64(18_446_744_073)), .seconds(18_446_744_073)),
    ] as [(Duration, Nanoseconds)] {
      #expect(Nanoseconds(duration) == nanoseconds)
      #expect(Duration(nanoseconds: nanoseconds) == duration)
    }
    #expect(Nanoseconds(Duration.seconds(-1)) == 0)
    #expect(Nanoseconds(Duration.seconds(Int64(18_446_744_074))) == .never)
    #expect(Nanoseconds(Duration.seconds(Int64.max)) == .never)
    #expect(Nanoseconds(Duration.seconds(Int64(18_446_744_073)) + .milliseconds(999)) == .never)
    #expect(Nanoseconds(Duration(nanoseconds: .never)) == .never)
  }
}

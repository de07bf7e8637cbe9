// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Planned outages: the clock of an engine stands still, and all that it drives.
@Suite struct OutageTests {
  @Test func aClockThatStandsStillGoesOnFromThere() {
    var outage = Outage()
    var times = [100, 200].map { outage.time(at: $0) }
    #expect(times == [100, 200] && !outage.isOn && outage.real(250) == 250 && outage.real(.never) == .never)
    outage.begin(now: 200, until: 500)
    #expect(outage.isOn && outage.real(210) == 500 && outage.real(.never) == 500)
    times = [250, 499, 500, 510].map { outage.time(at: $0) }
    #expect(times == [200, 200, 200, 210] && !outage.isOn)
    // Deadlines are on the clock that stood still.
    #expect(outage.real(300) == 600)
    // And once more, with another end.
    outage.begin(now: 210, until: 220)
    outage.begin(now: 210, until: 310)
    times = [525, 609, 611].map { outage.time(at: $0) }
    #expect(times == [210, 210, 211])
  }

  /// The clock shows less than has passed when its end is moved.
  @Test func aSecondEndThatHasPassedCountsNothing() {
    var outage = Outage()
    outage.begin(now: 100, until: 10_000)
    var times = [5000].map { outage.time(at: $0) }
    outage.begin(now: 100, until: 110)
    times.append(outage.time(at: 5001))
    #expect(times == [100, 101])
    #expect(outage.real(.never - 1) == .never && outage.real(.never) == .never)
  }

  @Test func itMayEndEarly() {
    var outage = Outage()
    outage.begin(now: 100, until: 1000)
    outage.begin(now: 100, until: 100)
    #expect(outage.isOn && outage.real(.never) == 0)
    let times = [400, 450].map { outage.time(at: $0) }
    #expect(times == [100, 150] && !outage.isOn)
  }
}

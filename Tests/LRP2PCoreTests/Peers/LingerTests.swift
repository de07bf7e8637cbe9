import LRP2PCore
import Testing

/// How long the slot of a connection that is over still answers.
@Suite struct LingerTests {
  private static func lingering(since start: Instant) -> Flow {
    var flow = Flow(configuration: EngineConfiguration(), seed: 1, now: start)
    flow.linger(wasDialling: false, now: start)
    return flow
  }

  @Test func aRepeatedFinStartsTheWaitAnew() {
    var flow = Self.lingering(since: .seconds(10))
    let planned = flow.lingerDeadline - .seconds(10)
    flow.extendLinger(now: .seconds(10) + planned)
    let deadline = flow.lingerDeadline
    #expect(deadline == .seconds(10) + 4 * planned)
  }

  /// The machine was suspended, and the peer has gone on: what was slept through is no wait.
  @Test func whatWasSleptThroughDoesNotCount() {
    var flow = Self.lingering(since: .seconds(10))
    let planned = flow.lingerDeadline - .seconds(10)
    let awake: Instant = .seconds(7 * 3600)
    flow.extendLinger(now: awake)
    let first = flow.lingerDeadline
    #expect(first == awake + 3 * planned)
    flow.extendLinger(now: awake + .seconds(1))
    let second = flow.lingerDeadline
    #expect(second == awake + .seconds(1) + 3 * (planned + .seconds(1)))
  }

  /// What was answered only when the machine was awake again is no sample; and the longest that is one holds the slot for minutes.
  @Test func aRoundTripOfHoursDoesNotHoldTheSlotForDays() {
    var flow = Flow(configuration: EngineConfiguration(), seed: 1, now: .seconds(10))
    flow.roundTrip.update(sample: .seconds(7 * 3600), acknowledgementDelay: 0)
    let isTaken = flow.roundTrip.hasSample
    #expect(!isTaken)
    flow.roundTrip.update(sample: RoundTripEstimate.longestSample, acknowledgementDelay: 0)
    flow.linger(wasDialling: false, now: .seconds(10))
    let deadline = flow.lingerDeadline
    #expect(deadline == .seconds(10 + 180))
  }

  /// A peer that repeats its FIN for ever does not hold the slot for ever.
  @Test(arguments: [1, 7, 60] as [UInt64]) func repeatsDoNotHoldTheSlotForEver(seconds: UInt64) {
    var flow = Self.lingering(since: .seconds(10))
    var now: Instant = .seconds(10)
    while now < flow.lingerDeadline, now < .seconds(100_000) {
      now += .seconds(seconds)
      if now < flow.lingerDeadline { flow.extendLinger(now: now) }
    }
    let deadline = flow.lingerDeadline
    #expect(deadline <= .seconds(10) + Flow.longestLinger)
  }
}

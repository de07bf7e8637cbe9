// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// How long the slot of a connection that is over still answers.
@Suite struct LingerTests {
  private static var header: ConnectionHeader { ConnectionHeader(configuration: EngineConfiguration(), now: 0) }

  private static func lingering(since start: Instant) -> Flow {
    var flow = Flow(configuration: EngineConfiguration(), seed: 1, now: start)
    var header = header
    flow.linger(isBrief: false, &header, now: start)
    return flow
  }

  @Test func aRepeatedFinStartsTheWaitAnew() {
    var flow = Self.lingering(since: .seconds(10))
    let planned = flow.ending.lingerDeadline - .seconds(10)
    flow.extendLinger(now: .seconds(10) + planned)
    let deadline = flow.ending.lingerDeadline
    #expect(deadline == .seconds(10) + 4 * planned)
  }

  /// The machine was suspended, and the peer has gone on: what was slept through is no wait.
  @Test func whatWasSleptThroughDoesNotCount() {
    var flow = Self.lingering(since: .seconds(10))
    let planned = flow.ending.lingerDeadline - .seconds(10)
    let awake: Instant = .seconds(7 * 3600)
    flow.extendLinger(now: awake)
    let first = flow.ending.lingerDeadline
    #expect(first == awake + 3 * planned)
    flow.extendLinger(now: awake + .seconds(1))
    let second = flow.ending.lingerDeadline
    #expect(second == awake + .seconds(1) + 3 * (planned + .seconds(1)))
  }

  /// What was answered only when the machine was awake again is no sample; and the longest that is one holds the slot for minutes.
  @Test func aRoundTripOfHoursDoesNotHoldTheSlotForDays() {
    var flow = Flow(configuration: EngineConfiguration(), seed: 1, now: .seconds(10))
    flow.roundTrip.update(sample: .seconds(7 * 3600), acknowledgementDelay: 0)
    let isTaken = flow.roundTrip.hasSample
    #expect(!isTaken)
    flow.roundTrip.update(sample: flow.roundTrip.longestSample, acknowledgementDelay: 0)
    var header = Self.header
    flow.linger(isBrief: false, &header, now: .seconds(10))
    let deadline = flow.ending.lingerDeadline
    #expect(deadline == .seconds(10 + 180))
  }

  /// A peer that repeats its FIN for ever does not hold the slot for ever.
  @Test(arguments: [1, 7, 60] as [UInt64]) func repeatsDoNotHoldTheSlotForEver(seconds: UInt64) {
    var flow = Self.lingering(since: .seconds(10))
    var now: Instant = .seconds(10)
    while now < flow.ending.lingerDeadline, now < .seconds(100_000) {
      now += .seconds(seconds)
      if now < flow.ending.lingerDeadline { flow.extendLinger(now: now) }
    }
    let deadline = flow.ending.lingerDeadline
    #expect(deadline <= .seconds(10) + Flow.longestLinger)
  }

  /// Seven probe timeouts, of which each is a second without a round trip; never less than 7 s.
  @Test(arguments: [nil, .milliseconds(1), .milliseconds(400), .seconds(2)] as [Nanoseconds?])
  func whoHasFinishedWaitsForTheOthersProbes(roundTrip: Nanoseconds?) throws {
    var flow = Flow(configuration: EngineConfiguration(), seed: 1, now: .seconds(10))
    var header = Self.header
    var pool = ReceivePool(cellBytes: 1400, maximumBytes: 1 << 16)
    flow.send.open(window: 100)
    flow.send.finish()
    let end = flow.send.nextSegment(capacity: 1000)
    flow.sent(try #require(end), &header, packetNumber: 1, bytes: 38, now: .seconds(10))
    let block = AckBlock(largestPacketNumber: 1, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    _ = try flow.send.acknowledge(
      lastInOrder: 0, window: 100, block: block, RawSpan(), lossDelay: .seconds(1), now: .seconds(10))
    _ = flow.receive.accept(0, isFin: true, RawSpan(), pool: &pool)
    _ = flow.receive.deliveredDirectly(pool: &pool)
    let isEnd = flow.receive.takeFin()
    if let roundTrip { flow.roundTrip.update(sample: roundTrip, acknowledgementDelay: 0) }
    let (isFinished, probeTimeout) = (flow.isFinished, flow.probeTimeout(header))
    #expect(isEnd && isFinished && (roundTrip != nil || probeTimeout == .seconds(1)))
    flow.linger(isBrief: false, &header, now: .seconds(10))
    let wait = flow.ending.lingerDeadline - .seconds(10)
    #expect(wait == max(7 * probeTimeout, .seconds(7)))
    #expect((wait > .seconds(7)) == (roundTrip ?? 0 >= .milliseconds(400)))
  }
}

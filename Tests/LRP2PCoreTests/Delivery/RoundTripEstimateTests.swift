// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct RoundTripEstimateTests {
  private func expect(
    _ estimate: RoundTripEstimate, smoothed: Nanoseconds, variation: Nanoseconds, minimum: Nanoseconds,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(
      estimate.smoothed == smoothed && estimate.variation == variation && estimate.minimum == minimum,
      "\(estimate)", sourceLocation: sourceLocation)
  }

  /// RFC 9002, section 5.3 (the variation before the mean, as in A.7 and erratum 7539), computed by hand.
  @Test func byHand() {
    var estimate = RoundTripEstimate()
    #expect(!estimate.hasSample && estimate.probeTimeout(maximumAckDelay: .milliseconds(25)) == .seconds(1))
    // The delay of the first ACK is not taken off.
    estimate.update(sample: .milliseconds(100), acknowledgementDelay: .milliseconds(30))
    expect(estimate, smoothed: 100_000_000, variation: 50_000_000, minimum: 100_000_000)
    #expect(estimate.hasSample && estimate.latest == .milliseconds(100))
    #expect(estimate.probeTimeout(maximumAckDelay: .milliseconds(25)) == .milliseconds(325))
    // 140 − 20 = 120: (3 · 50 + 20) / 4, (7 · 100 + 120) / 8.
    estimate.update(sample: .milliseconds(140), acknowledgementDelay: .milliseconds(20))
    expect(estimate, smoothed: 102_500_000, variation: 42_500_000, minimum: 100_000_000)
    // Exactly the minimum is left when the delay is taken off.
    estimate.update(sample: .milliseconds(120), acknowledgementDelay: .milliseconds(20))
    expect(estimate, smoothed: 102_187_500, variation: 32_500_000, minimum: 100_000_000)
    // A delay that would bring it below the minimum is not believed.
    estimate.update(sample: .milliseconds(110), acknowledgementDelay: .milliseconds(20))
    expect(estimate, smoothed: 103_164_062, variation: 26_328_125, minimum: 100_000_000)
    // A new minimum, itself not lowered.
    estimate.update(sample: .milliseconds(60), acknowledgementDelay: .milliseconds(25))
    expect(estimate, smoothed: 97_768_554, variation: 26_854_248, minimum: 60_000_000)
    #expect(estimate.samples == 5)
  }

  @Test func settlesOnASteadyPath() {
    var estimate = RoundTripEstimate()
    estimate.update(sample: .seconds(3), acknowledgementDelay: 0)
    for _ in 0..<300 { estimate.update(sample: .milliseconds(40), acknowledgementDelay: .milliseconds(100)) }
    #expect(estimate.smoothed / 1000 == 40_000 && estimate.variation < 1000 && estimate.minimum == .milliseconds(40))
    // The granularity stands in for a variation of nothing.
    let timeout = estimate.probeTimeout(maximumAckDelay: .milliseconds(7))
    #expect(timeout / 1000 == 48_000)
  }

  @Test func lossDelay() {
    var estimate = RoundTripEstimate()
    #expect(estimate.lossDelay(reorderingSteps: 0) == .milliseconds(1))
    estimate.update(sample: .microseconds(80), acknowledgementDelay: 0)
    #expect(estimate.lossDelay(reorderingSteps: 0) == .milliseconds(1))
    for _ in 0..<100 { estimate.update(sample: .milliseconds(80), acknowledgementDelay: 0) }
    estimate.update(sample: .milliseconds(40), acknowledgementDelay: 0)
    // The smoothed one is the larger.
    #expect(
      estimate.lossDelay(reorderingSteps: 0) == estimate.smoothed / 8 * 9 && estimate.smoothed > .milliseconds(70))
    estimate.update(sample: .milliseconds(160), acknowledgementDelay: 0)
    #expect(estimate.lossDelay(reorderingSteps: 0) == .milliseconds(180))
    // Up to three round trips, and a millisecond for each step at least.
    #expect(estimate.lossDelay(reorderingSteps: 8) == .milliseconds(480))
    #expect(RoundTripEstimate(expected: 1).lossDelay(reorderingSteps: 8) == .milliseconds(9))
  }

  /// A clock that has not moved between sending and the ACK.
  @Test func noTimeAtAll() {
    var estimate = RoundTripEstimate()
    for _ in 0..<5 { estimate.update(sample: 0, acknowledgementDelay: .milliseconds(1)) }
    #expect(estimate.latest == 1 && estimate.minimum == 1 && estimate.hasSample)
    #expect(estimate.probeTimeout(maximumAckDelay: 0) >= .milliseconds(1))
  }

  /// An ACK was in the socket when the machine was suspended, for twenty minutes: what lies between is no round trip.
  @Test(arguments: [false, true]) func aSuspensionIsNoRoundTrip(isFirst: Bool) throws {
    var flow = Flow(configuration: EngineConfiguration(), seed: 1, now: .seconds(1))
    var header = ConnectionHeader(configuration: EngineConfiguration(), now: .seconds(1))
    flow.send.open(window: 100)
    flow.send.offer(upTo: 5000)
    func acknowledge(_ packetNumber: UInt64, sent: Instant, after roundTrip: Nanoseconds) throws {
      let segment = flow.send.nextSegment(capacity: 1000)!
      flow.sent(segment, &header, packetNumber: packetNumber, bytes: 1038, now: sent)
      let block = AckBlock(
        largestPacketNumber: packetNumber, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
      let outcome = try flow.send.acknowledge(
        lastInOrder: segment.number, window: 100, block: block, RawSpan(), lossDelay: .seconds(1), now: sent + roundTrip
      )
      #expect(outcome.sample == roundTrip)
      flow.acknowledged(outcome, block, &header, next: packetNumber + 1, now: sent + roundTrip)
    }
    if !isFirst { try acknowledge(1, sent: .seconds(2), after: .milliseconds(40)) }
    try acknowledge(2, sent: .seconds(3), after: .seconds(1200))
    let estimate = flow.roundTrip
    #expect(estimate.hasSample == !isFirst && estimate.smoothed == (isFirst ? 0 : .milliseconds(40)))
    try acknowledge(3, sent: .seconds(1300), after: .milliseconds(40))
    let (smoothed, congestion) = (flow.roundTrip.smoothed, flow.congestion.window)
    #expect(smoothed == .milliseconds(40) && congestion > 0)
  }
}

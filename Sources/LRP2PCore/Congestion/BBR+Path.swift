// SPDX-License-Identifier: MIT
// What the samples say of the path beside its bandwidth: whether packets queue, whether it has become slower, and what is lost anyway.

extension BBR {
  mutating func noteRecent(_ sample: Nanoseconds) {
    // Half as many where a round trip has no more.
    if recentSamples >= (inFlight(1) < 8 * segment ? 4 : 8) {
      recentMinimum = (recentMinimum.1, .max)
      recentSamples = 0
    }
    recentSamples += 1
    recentMinimum.1 = min(recentMinimum.1, sample)
  }

  /// None of the last samples was without a queue a quarter as long as the path. One long sample is none: a path with jitter has many.
  var isQueued: Bool {
    let recent = min(recentMinimum.0, recentMinimum.1)
    return minimumRoundTrip != .max && recent != .max
      && recent > minimumRoundTrip + max(minimumRoundTrip / 4, .milliseconds(1))
  }

  /// The path carries less than half of what it did, and a queue grows: its bandwidth is what it delivers, although a maximum of
  /// seconds ago is not forgotten yet. After 10 ms as a bound, and when that has lasted for a round trip as what is known of the path.
  /// Only with more in flight than the path holds: a sender that holds itself back delivers less too, and would believe it again and
  /// again where the round trip has become longer without a queue.
  mutating func checkFall(_ ack: AckSample, _ rate: DeliveryRate.Sample) {
    guard isFullBandwidthReached, state != .probeRTT, isQueued, rate.bytesPerSecond > 0, !rate.isApplicationLimited,
      rate.bytesPerSecond < maximumBandwidth / 2, min(recentMinimum.0, recentMinimum.1) > 3 * minimumRoundTrip,
      ack.bytesInFlight > inFlight(1.25)
    else {
      slowSince = .never
      slowPeak = 0
      return
    }
    if slowSince == .never { slowSince = ack.now }
    slowPeak = max(slowPeak, rate.bytesPerSecond)
    guard ack.now - slowSince > Self.shortestFall else { return }
    shortTermBandwidth = min(shortTermBandwidth, slowPeak)
    if ack.now - slowSince > minimumRoundTrip {
      bandwidths = (slowPeak, 0)
      shortTermBandwidth = .max
      slowSince = .never
      slowPeak = 0
      randomLoss /= 2
      // A round trip that has become longer looks the same: ProbeRTT, now, finds out, and lets the queue drain if it is one.
      probeStamp = ack.now - min(Self.probeInterval + 1, ack.now)
    }
    // What is beyond it waits in the queue: it drains.
    shortTermInFlight = min(shortTermInFlight, inFlight(1))
  }

  /// The window holds the sender back, less arrives than the path has carried, and no packet is as fast as some were: the round trip
  /// may have become longer, and the window is too small for it. ProbeRTT, now, finds out.
  mutating func checkLonger(_ ack: AckSample, _ rate: DeliveryRate.Sample) {
    guard state == .cruise || state == .down, isQueued, rate.bytesPerSecond > 0, !rate.isApplicationLimited,
      Double(rate.bytesPerSecond) < 0.9 * Double(maximumBandwidth), ack.isLimiting,
      ack.bytesInFlight + ack.bytes + 2 * segment >= window, ack.now > probeDone + Self.leastBetweenProbes,
      min(recentMinimum.0, recentMinimum.1) > minimumRoundTrip + 2 * ack.roundTrip.variation
    else {
      heldSince = .never
      return
    }
    if heldSince == .never { heldSince = ack.now }
    guard ack.now - heldSince > max(2 * ack.roundTrip.latest, Self.shortestHold) else { return }
    heldSince = .never
    probeStamp = ack.now - min(Self.probeInterval + 1, ack.now)
  }

  private static var leastBetweenProbes: Nanoseconds { .seconds(2) }
  private static var shortestHold: Nanoseconds { .milliseconds(20) }

  /// A host that was busy, and not the path, explains what is over sooner. A bound would stay until the next probe.
  private static var shortestFall: Nanoseconds { .milliseconds(10) }

  mutating func learnLossShare(_ rate: DeliveryRate.Sample) {
    // What is lost while the path is filled for the first time says how full it was.
    guard rate.lost + rate.delivered > 0, isProbingBandwidth else { return }
    lossShare += (Double(rate.lost) / Double(rate.lost + rate.delivered) - lossShare) / 16
  }

  /// What a flow of which the path holds few packets keeps of its pace: all up to a loss of 2 %, half at 5 %, a seventeenth at 10 %. So
  /// many flows may share the path that it has no room for four packets of each, or for one; nothing but the loss tells them. TCP's rate
  /// falls in a like manner where so much is lost (RFC 5348, 3.1): four packets in a round trip at 5 %, two at 10, half of one at 20.
  var crowdGain: Double {
    guard lossShare > 0.02 else { return 1 }
    let excess = lossShare / 0.05
    return 1 / (1 + excess * excess * excess * excess)
  }

  /// What is lost while the pace is that of the path, and nothing queues, is not lost by congestion. Where the path holds few packets of
  /// this flow, others may fill it.
  mutating func learnRandomLoss(_ rate: DeliveryRate.Sample) {
    guard rate.lost + rate.delivered >= 8 * segment else { return }
    let share = Double(rate.lost) / Double(rate.lost + rate.delivered)
    // Less is learnt at any time.
    guard share < randomLoss || state == .cruise && !isQueued && inFlight(1) > 16 * segment else { return }
    randomLoss += (min(share, 0.06) - randomLoss) / 8
  }
}

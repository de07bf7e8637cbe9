// SPDX-License-Identifier: MIT
// The cycle of bandwidth probing: down, cruise, refill, up (draft-ietf-ccwg-bbr, section 5.3.3).

extension BBR {
  mutating func startDown(_ now: Instant) {
    state = .down
    lossInRound = false
    latestBandwidth = 0
    latestInFlight = 0
    upCount = .max
    roundsSinceProbe = Int(nextRandom() & 1)
    probeWait = .seconds(2) + nextRandom() % .seconds(1)
    cycleStart = now
    phase = .stopping
    startRound()
  }

  mutating func startCruise() {
    state = .cruise
    if shortTermInFlight != .max { shortTermInFlight = min(shortTermInFlight, longTermInFlight) }
  }

  mutating func startRefill() {
    state = .refill
    resetShortTerm()
    upRounds = 0
    upAcknowledged = 0
    phase = .refilling
    startRound()
  }

  mutating func startUp(_ now: Instant) {
    state = .up
    phase = .starting
    startRound()
    cycleStart = now
    fullBandwidth = maximumBandwidth
    fullBandwidthRounds = 0
    // Twice as much in each round.
    if isBoundOutdated { upRounds = 29 }
    raiseSlope()
  }

  /// A round ends with what is in flight now.
  mutating func startRound() { roundEnd = .max }

  mutating func raiseSlope() {
    upRounds = min(upRounds + 1, 30)
    upCount = max(window / segment / (1 << (upRounds - 1)), 1) * segment
  }

  mutating func updateCycle(_ ack: AckSample, _ rate: DeliveryRate.Sample) {
    // A round that was begun by a change of state.
    if roundEnd == .max { roundEnd = rate.totalDelivered }
    guard isFullBandwidthReached else { return }
    adaptUpper(ack, rate)
    switch state {
    case .startup, .drain, .probeRTT: break
    case .down:
      if isTimeToProbe(ack) {
        startRefill()
      } else if ack.bytesInFlight <= withHeadroom(), ack.bytesInFlight <= inFlight(1) {
        startCruise()
      }
    case .cruise:
      if isTimeToProbe(ack) { startRefill() }
    case .refill:
      if isRoundStart {
        takesSamples = true
        startUp(ack.now)
      }
    case .up:
      if isTimeToGoDown(ack, rate) { startDown(ack.now) }
    }
  }

  var isBoundOutdated: Bool { longTermInFlight != .max && inFlight(1) / 2 > longTermInFlight }

  /// UP goes on while the path delivers more. It is over when a quarter of what the path holds has queued, or when in three rounds
  /// nothing has grown.
  mutating func isTimeToGoDown(_ ack: AckSample, _ rate: DeliveryRate.Sample) -> Bool {
    // On a new path no round trip may have been measured yet.
    if ack.now - cycleStart > minimumRoundTrip, ack.bytesInFlight > inFlight(1.25),
      isQueued
        || inFlight(1) < 2 * minimumWindow
          && ack.roundTrip.latest > minimumRoundTrip + max(minimumRoundTrip / 4, .milliseconds(10))
    {
      return true
    }
    // Without data enough nothing can grow.
    if rate.isApplicationLimited { return ack.now - cycleStart > probeWait }
    guard isRoundStart else { return false }
    // What losses have left as a bound has to grow first.
    if isBoundOutdated || Double(rate.bytesPerSecond) >= 1.1 * Double(fullBandwidth) {
      fullBandwidth = max(fullBandwidth, rate.bytesPerSecond)
      fullBandwidthRounds = 0
    } else {
      fullBandwidthRounds += 1
    }
    return fullBandwidthRounds >= 3
  }

  @inline(__always)
  func isTimeToProbe(_ ack: AckSample) -> Bool {
    if ack.now > cycleStart + probeWait { return true }
    // What losses have left as a bound is less than half of what the path has held, and it loses nothing any more.
    if isBoundOutdated, quietRounds >= 2 { return true }
    // As often as a Reno flow would lose (draft, 5.3.3.5.1).
    return roundsSinceProbe >= Int(min(inFlight(1) / segment, 63))
  }

  mutating func adaptUpper(_ ack: AckSample, _ rate: DeliveryRate.Sample) {
    if phase == .starting, isRoundStart { phase = .feedback }
    if phase == .stopping, isRoundStart {
      takesSamples = false
      phase = .none
      if isProbingBandwidth, !rate.isApplicationLimited { bandwidths = (bandwidths.1, 0) }
    }
    if isTooHigh(lost: rate.lost, inFlight: rate.inFlight) {
      if takesSamples {
        handleTooHigh(inFlight: rate.inFlight, isApplicationLimited: rate.isApplicationLimited, ack.now)
      }
      return
    }
    guard longTermInFlight != .max else { return }
    longTermInFlight = max(longTermInFlight, rate.inFlight)
    guard state == .up, ack.isLimiting, window >= longTermInFlight else { return }
    upAcknowledged += ack.bytes
    if upAcknowledged >= upCount {
      let steps = upAcknowledged / upCount
      upAcknowledged -= steps * upCount
      longTermInFlight += steps * segment
    }
    if isRoundStart { raiseSlope() }
  }

  mutating func handleTooHigh(inFlight: UInt64, isApplicationLimited: Bool, _ now: Instant) {
    takesSamples = false
    quietRounds = 0
    if !isApplicationLimited {
      longTermInFlight = max(inFlight, Self.scale(min(self.inFlight(1), window), Self.beta))
    }
    if state == .up { startDown(now) }
  }

  /// More than the threshold, and where no queue explains it, more than chance makes of a loss that the path has anyway: three
  /// standard deviations at the threshold.
  @inline(__always)
  func isTooHigh(lost: UInt64, inFlight: UInt64) -> Bool {
    guard lost > segment else { return false }
    let packets = Double(inFlight) / Double(segment)
    let expected = (Self.lossThreshold + randomLoss) * packets
    if isQueued { return Double(lost) / Double(segment) > expected }
    return Double(lost) / Double(segment) > expected + 3 * expected.squareRoot()
  }
}

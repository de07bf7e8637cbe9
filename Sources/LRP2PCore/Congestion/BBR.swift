// SPDX-License-Identifier: MIT
/// BBR, version 3 (draft-ietf-ccwg-bbr): a model of the path, its bandwidth and its round trip, sets the pace. Names follow the
/// draft; where it differs and why is in docs/congestion.md.
package struct BBR: BitwiseCopyable {
  package enum State: UInt8, BitwiseCopyable { case startup, drain, down, cruise, refill, up, probeRTT }
  enum Phase: UInt8, BitwiseCopyable { case starting, feedback, stopping, refilling, none }

  package internal(set) var state = State.startup
  package internal(set) var window: UInt64
  package internal(set) var pacingRate: UInt64 = 0
  var segment: UInt64
  let initialWindow: UInt64
  var random: UInt64

  // Rounds.
  var roundEnd: UInt64 = 0
  var isRoundStart = false
  // The model: bandwidth (maximum of two cycles), and what losses have taught.
  var bandwidths: (UInt64, UInt64) = (0, 0)
  var shortTermBandwidth: UInt64 = .max
  var shortTermInFlight: UInt64 = .max
  var longTermInFlight: UInt64 = .max
  var latestBandwidth: UInt64 = 0
  var latestInFlight: UInt64 = 0
  var lossRoundEnd: UInt64 = 0
  var isLossRoundStart = false
  var lossInRound = false
  // Startup.
  var fullBandwidth: UInt64 = 0
  var fullBandwidthRounds = 0
  var lossyRounds = 0
  package internal(set) var isFullBandwidthReached = false
  /// What the path is expected to carry; 0 is unknown. Startup is over when nearly that is delivered.
  var capacity: UInt64 = 0
  var startFloor: UInt64 = 0
  var startWindow: UInt64 = 0
  /// What had been delivered when the expectation arose; then what has been since the first packet sent after it.
  var expectedAt: UInt64 = .max
  var confirmStart: Instant = 0
  var confirmBytes: UInt64 = 0
  var delivered: UInt64 = 0
  // Round trip.
  var minimumRoundTrip: Nanoseconds = .max
  var minimumStamp: Instant = 0
  var probeMinimum: Nanoseconds = .max
  /// The shortest round trips of the last eight samples and of those since.
  var recentMinimum: (Nanoseconds, Nanoseconds) = (.max, .max)
  var recentSamples = 0
  var probeStamp: Instant = 0
  var probeDone: Instant = 0
  var probeRoundDone = false
  var windowBefore: UInt64 = 0
  // The cycle.
  var phase = Phase.none
  var cycleStart: Instant = 0
  var probeWait: Nanoseconds = 0
  var roundsSinceProbe = 0
  var upRounds: UInt64 = 0
  var upAcknowledged: UInt64 = 0
  var upCount: UInt64 = .max
  var takesSamples = false
  // Acknowledgements that come in bursts.
  var extraStart: Instant = 0
  var extraDelivered: UInt64 = 0
  var extras: (UInt64, UInt64) = (0, 0)
  var extraRounds = 0
  var isRestarted = false
  /// Since when the path has delivered less than half of what it did, with a queue, and the most that it has since then.
  var slowSince: Instant = .never
  var slowPeak: UInt64 = 0
  /// Since when the window has held the sender back below what the path has carried.
  var heldSince: Instant = .never
  /// What is lost of what is sent, as a share, over some sixteen rounds.
  var lossShare = 0.0
  /// What is lost of what the path can carry, as a share.
  var randomLoss = 0.0
  /// Rounds in turn without a loss.
  var quietRounds = 0
  // What to go back to when losses turn out to be none.
  var eventLosses = 0
  var before: (bandwidth: UInt64, short: UInt64, long: UInt64) = (.max, .max, .max)

  static var startupGain: Double { 2.77 }
  static var drainGain: Double { 0.5 }
  static var lossThreshold: Double { 0.02 }
  static var beta: Double { 0.7 }
  static var headroom: Double { 0.85 }
  static var minimumFilter: Nanoseconds { .seconds(10) }
  static var probeInterval: Nanoseconds { .seconds(5) }
  static var probeDuration: Nanoseconds { .milliseconds(200) }

  package init(segment: Int, initialWindow packets: Int, seed: UInt64) {
    self.segment = UInt64(segment)
    initialWindow = UInt64(segment * packets)
    window = initialWindow
    random = seed | 1
  }

  package var isInStartup: Bool { state == .startup }
  package var bandwidth: UInt64 { min(maximumBandwidth, shortTermBandwidth) }
  var maximumBandwidth: UInt64 { max(bandwidths.0, bandwidths.1) }
  var minimumWindow: UInt64 { 4 * segment }
  @inline(__always)
  var isProbingBandwidth: Bool {
    state == .down || state == .cruise || state == .refill || state == .up
  }

  package mutating func setSegment(_ bytes: Int) { segment = UInt64(bytes) }

  // MARK: Start

  package mutating func start(window: UInt64, roundTrip: Nanoseconds, now: Instant) {
    self.window = max(window, minimumWindow)
    startWindow = self.window
    minimumRoundTrip = roundTrip
    minimumStamp = now
    probeMinimum = roundTrip
    probeStamp = now
    pacingRate = roundTrip == 0 ? 0 : Self.clamp(Double(window) * 1e9 / Double(roundTrip))
  }

  package mutating func expect(capacity: UInt64, window: UInt64) {
    guard state == .startup else { return }
    self.capacity = capacity
    let product = Self.clamp(Double(capacity) * Double(minimumRoundTrip) / 1e9)
    let window = min(window, product)
    self.window = max(self.window, window)
    startWindow = 2 * self.window
    startFloor = Self.clamp(Double(window) * 1e9 / Double(max(minimumRoundTrip, 1)))
    pacingRate = min(max(pacingRate, startFloor), max(capacity, 1))
    expectedAt = delivered
    confirmStart = 0
    confirmBytes = 0
  }

  /// An eighth of what was sent at the rate expected to be safe has arrived: if at that rate, all of the capacity is used
  /// from now on, else the expectation is dropped.
  mutating func confirm(_ ack: AckSample, _ rate: DeliveryRate.Sample) {
    guard state == .startup, expectedAt != .max, rate.priorDelivered >= expectedAt else { return }
    guard confirmStart > 0 else {
      confirmStart = ack.now
      return
    }
    confirmBytes += ack.bytes
    let product = Self.clamp(Double(capacity) * Double(minimumRoundTrip) / 1e9)
    guard confirmBytes >= max(product / 16, 8 * segment) else { return }
    expectedAt = .max
    let seen = Double(confirmBytes) * 1e9 / Double(max(ack.now - confirmStart, 1))
    if seen >= 0.8 * Double(startFloor), !isTooHigh(lost: rate.lost, inFlight: rate.inFlight) {
      startFloor = capacity
      window = max(window, product)
      startWindow = 2 * product
    } else {
      capacity = 0
      startFloor = 0
    }
  }

  package mutating func goOn(
    window: UInt64, bytesPerSecond: UInt64, roundTrip: borrowing RoundTripEstimate, now: Instant
  ) {
    self = BBR(segment: Int(segment), initialWindow: Int(max(window / segment, 4)), seed: random)
    start(window: window, roundTrip: roundTrip.minimum, now: now)
    guard bytesPerSecond > 0 else { return }
    bandwidths = (bytesPerSecond, 0)
    isFullBandwidthReached = true
    startDown(now)
    startCruise()
    pacingRate = bytesPerSecond
  }

  // MARK: On every ACK

  package mutating func acknowledged(_ ack: AckSample) {
    guard let rate = ack.rate else {
      updateMinimum(ack)
      setWindow(ack)
      return
    }
    delivered = rate.totalDelivered
    confirm(ack, rate)
    updateModel(ack, rate)
    updateMinimum(ack)
    checkProbeRTT(ack)
    if isLossRoundStart {
      latestBandwidth = rate.bytesPerSecond
      latestInFlight = rate.delivered
    }
    isRestarted = false
    setPace()
    setWindow(ack)
  }

  mutating func updateModel(_ ack: AckSample, _ rate: DeliveryRate.Sample) {
    // Delivery signals.
    isLossRoundStart = rate.priorDelivered >= lossRoundEnd
    if isLossRoundStart { lossRoundEnd = rate.totalDelivered }
    latestBandwidth = max(latestBandwidth, rate.bytesPerSecond)
    latestInFlight = max(latestInFlight, rate.delivered)
    isRoundStart = rate.priorDelivered >= roundEnd
    if isRoundStart {
      roundEnd = rate.totalDelivered
      roundsSinceProbe += 1
      advanceExtras()
    }
    if rate.bytesPerSecond >= maximumBandwidth || !rate.isApplicationLimited {
      bandwidths.1 = max(bandwidths.1, rate.bytesPerSecond)
    }
    checkFall(ack, rate)
    checkLonger(ack, rate)
    // Congestion signals: losses of a round count when they exceed the threshold.
    if isTooHigh(lost: rate.lost, inFlight: rate.inFlight) { lossInRound = true }
    if isLossRoundStart {
      learnLossShare(rate)
      learnRandomLoss(rate)
      quietRounds = rate.lost == 0 ? quietRounds + 1 : 0
      if lossInRound, state != .startup, state != .refill, state != .up { lowerShortTerm() }
    }
    updateExtras(ack)
    checkFull(rate)
    if state == .startup, isFullBandwidthReached { state = .drain }
    if state == .drain, ack.bytesInFlight <= inFlight(1) { startDown(ack.now) }
    updateCycle(ack, rate)
    if isLossRoundStart { lossInRound = false }
  }

  mutating func lowerShortTerm() {
    if shortTermBandwidth == .max { shortTermBandwidth = maximumBandwidth }
    if shortTermInFlight == .max { shortTermInFlight = window }
    shortTermBandwidth = max(latestBandwidth, Self.scale(shortTermBandwidth, Self.beta))
    shortTermInFlight = max(latestInFlight, Self.scale(shortTermInFlight, Self.beta))
  }

  mutating func resetShortTerm() {
    shortTermBandwidth = .max
    shortTermInFlight = .max
  }

  mutating func checkFull(_ rate: DeliveryRate.Sample) {
    guard !isFullBandwidthReached else { return }
    // Nearly all of a flight is lost: what was sent is many times what the path holds, and as much must not follow.
    if rate.lost > max(4 * rate.delivered, 16 * segment) {
      isFullBandwidthReached = true
      longTermInFlight = max(inFlight(1), latestInFlight)
      return
    }
    guard isRoundStart else { return }
    // Two rounds in turn, as one may be chance while few packets are sent; or one of which a third was lost.
    if isLossRoundStart { lossyRounds = lossInRound && rate.lost > 6 * segment ? lossyRounds + 1 : 0 }
    if lossyRounds >= 2 || lossyRounds == 1 && rate.lost > rate.delivered / 2 && delivered > 2 * initialWindow {
      isFullBandwidthReached = true
      longTermInFlight = max(inFlight(1), latestInFlight)
      return
    }
    guard !rate.isApplicationLimited else { return }
    if capacity > 0, Double(maximumBandwidth) >= 0.9 * Double(capacity) {
      isFullBandwidthReached = true
      return
    }
    if Double(rate.bytesPerSecond) >= 1.25 * Double(fullBandwidth) {
      fullBandwidth = rate.bytesPerSecond
      fullBandwidthRounds = 0
      return
    }
    fullBandwidthRounds += 1
    if fullBandwidthRounds >= 3 { isFullBandwidthReached = true }
  }

  // MARK: Losses

  package mutating func lost(inFlight: UInt64, lostSince: UInt64, now: Instant) {
    // With a queue at the bottleneck, any loss is taken for its overflow; without one, only more than the threshold is.
    if isQueued, randomLoss < 0.005 { lossInRound = true }
    if eventLosses == 0 { before = (shortTermBandwidth, shortTermInFlight, longTermInFlight) }
    eventLosses += 1
    guard takesSamples, isTooHigh(lost: lostSince, inFlight: inFlight) else { return }
    handleTooHigh(inFlight: inFlight, isApplicationLimited: false, now)
  }

  package mutating func undo(packets: Int) {
    guard eventLosses > 0 else { return }
    eventLosses -= min(packets, eventLosses)
    guard eventLosses == 0 else { return }
    lossInRound = false
    shortTermBandwidth = max(shortTermBandwidth, before.bandwidth)
    shortTermInFlight = max(shortTermInFlight, before.short)
    longTermInFlight = max(longTermInFlight, before.long)
  }

  package mutating func congestionExperienced(inFlight: UInt64, now: Instant) {
    lossInRound = true
    if takesSamples { handleTooHigh(inFlight: inFlight, isApplicationLimited: false, now) }
  }

  package mutating func persistentCongestion() { window = minimumWindow }

  package mutating func restarted(now: Instant) {
    isRestarted = true
    extraStart = now
    extraDelivered = 0
    // Before the first sample the pace stays that of the start.
    if isProbingBandwidth, bandwidth > 0 { pacingRate = max(Self.scale(bandwidth, 0.99), segment) }
  }

  // MARK: Round trip

  mutating func updateMinimum(_ ack: AckSample) {
    guard ack.isSampled else { return }
    let sample = ack.roundTrip.latest
    noteRecent(sample)
    let isExpired = ack.now > probeStamp + Self.probeInterval
    if sample < probeMinimum || isExpired && state != .probeRTT && isRestarted {
      probeMinimum = sample
      probeStamp = ack.now
    } else if minimumRoundTrip != .max, sample <= minimumRoundTrip + minimumRoundTrip / 16 {
      // Nearly as short as the shortest: the queue is empty, nothing has to be probed.
      probeStamp = ack.now
      minimumStamp = ack.now
    }
    if probeMinimum < minimumRoundTrip || ack.now > minimumStamp + Self.minimumFilter {
      minimumRoundTrip = probeMinimum
      minimumStamp = ack.now
    }
  }

  mutating func checkProbeRTT(_ ack: AckSample) {
    if state != .probeRTT, state != .startup, ack.now > probeStamp + Self.probeInterval, !isRestarted {
      windowBefore = window
      state = .probeRTT
      probeDone = 0
      probeMinimum = .max
      phase = .stopping
      startRound()
      return
    }
    guard state == .probeRTT else { return }
    if probeDone == 0 {
      guard ack.bytesInFlight <= probeWindow else { return }
      probeDone = ack.now + Self.probeDuration
      probeRoundDone = false
      startRound()
      return
    }
    if isRoundStart { probeRoundDone = true }
    guard probeRoundDone, ack.now > probeDone else { return }
    probeStamp = ack.now
    if probeMinimum != .max {
      minimumRoundTrip = probeMinimum
      minimumStamp = ack.now
    }
    window = max(window, windowBefore)
    resetShortTerm()
    if isFullBandwidthReached {
      startDown(ack.now)
      startCruise()
    } else {
      state = .startup
    }
  }

  @inline(__always)
  var probeWindow: UInt64 { max(inFlight(0.5), minimumWindow) }

  // MARK: Acknowledgements in bursts

  mutating func updateExtras(_ ack: AckSample) {
    let elapsed = ack.now &- extraStart
    var expected = Self.clamp(Double(bandwidth == .max ? 0 : bandwidth) * Double(elapsed) / 1e9)
    if extraDelivered <= expected {
      extraDelivered = 0
      extraStart = ack.now
      expected = 0
    }
    extraDelivered += ack.bytes
    extras.1 = max(extras.1, min(extraDelivered > expected ? extraDelivered - expected : 0, window))
  }

  mutating func advanceExtras() {
    extraRounds += 1
    // Two windows of five rounds, one after filling the path.
    guard extraRounds >= (isFullBandwidthReached ? 5 : 1) else { return }
    extraRounds = 0
    extras = (extras.1, 0)
  }

  // MARK: Control

  @inline(__always)
  var pacingGain: Double {
    switch state {
    case .startup: Self.startupGain
    case .drain: Self.drainGain
    case .up: 1.25
    case .down: 0.9
    case .cruise, .refill, .probeRTT: 1
    }
  }

  mutating func setPace() {
    guard bandwidth > 0 else { return }
    var rate = Self.scale(bandwidth, pacingGain * 0.99)
    if state == .startup {
      rate = max(rate, startFloor)
      if capacity > 0 { rate = min(rate, capacity) }
    }
    // The least window in each round trip, which holds the sender back all the same: a pace below it would measure itself.
    if minimumRoundTrip != .max {
      let least = Double(minimumWindow) * 1e9 / Double(max(minimumRoundTrip, 1))
      rate = max(rate, Self.clamp(least))
      // Only with losses: what is held at a few packets a round trip never finds out that the path carries more.
      if crowdGain < 1, inFlight(1) < 2 * minimumWindow { rate = min(rate, Self.clamp(2 * least * crowdGain)) }
    }
    if isFullBandwidthReached || rate > pacingRate { pacingRate = max(rate, segment) }
  }

  mutating func setWindow(_ ack: AckSample) {
    let burst = max(bandwidth == .max ? 0 : bandwidth / 8000, 2 * segment)
    let most = inFlight(state == .up ? 2.25 : 2) + max(extras.0, extras.1) + 3 * burst
    if isFullBandwidthReached {
      window = min(window + ack.bytes, most)
    } else if window < max(most, startWindow) {
      // Startup doubles each round, up to twice what the path has shown to hold, or what it is expected to.
      window += ack.bytes
      if capacity > 0 {
        let product = Double(capacity) * Double(minimumRoundTrip) / 1e9
        window = min(window, max(Self.clamp(1.1 * product) + 3 * burst, initialWindow))
      }
    }
    if state == .probeRTT { window = min(window, probeWindow) }
    var bound = UInt64.max
    if state == .cruise || state == .probeRTT {
      bound = withHeadroom()
    } else if isProbingBandwidth {
      bound = longTermInFlight
    }
    window = max(min(window, min(bound, shortTermInFlight)), minimumWindow)
  }

  /// What the path holds, times `gain`.
  @inline(__always)
  func inFlight(_ gain: Double) -> UInt64 {
    guard minimumRoundTrip != .max, maximumBandwidth > 0 else { return initialWindow }
    return max(Self.clamp(gain * Double(bandwidth) * Double(minimumRoundTrip) / 1e9), minimumWindow)
  }

  @inline(__always)
  func withHeadroom() -> UInt64 {
    longTermInFlight == .max ? .max : max(Self.scale(longTermInFlight, Self.headroom), minimumWindow)
  }

  static func scale(_ value: UInt64, _ factor: Double) -> UInt64 { clamp(Double(value) * factor) }
  static func clamp(_ value: Double) -> UInt64 { UInt64(min(max(value, 0), 1e15)) }

  /// xorshift64.
  mutating func nextRandom() -> UInt64 {
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    return random
  }
}

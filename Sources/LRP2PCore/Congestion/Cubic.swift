// SPDX-License-Identifier: MIT
/// CUBIC (RFC 9438) with HyStart++ (RFC 9406), in bytes.
package struct Cubic: BitwiseCopyable {
  package private(set) var window: UInt64
  private var slowStartThreshold: UInt64 = .max
  private var segment: UInt64
  /// Losses of packets sent before this belong to the congestion event already answered.
  private var recoveryStart: Instant = 0
  private var windowMaximum = 0.0
  private var epochStart: Instant = 0
  /// When the last ACK came.
  private var lastAcknowledged: Instant = 0
  private var timeToMaximum = 0.0
  private var renoWindow = 0.0

  /// What the path is expected to carry, bytes per second: slow start is paced no faster. 0 is unknown.
  package private(set) var capacity: UInt64 = 0
  /// Losses of the last congestion event that have not turned out to be spurious, and what to go back to if all do.
  private var eventLosses = 0
  private var windowBefore: UInt64 = 0
  private var thresholdBefore: UInt64 = .max
  private var maximumBefore = 0.0

  // HyStart++: the lowest RTT of this and the last round, and conservative slow start.
  private var roundEnd: UInt64 = 0
  private var roundMinimum: Nanoseconds = .max
  private var lastRoundMinimum: Nanoseconds = .max
  private var roundSamples = 0
  private var conservativeRounds = 0
  private var baselineMinimum: Nanoseconds = .max

  package init(segment: Int, initialWindow packets: Int) {
    self.segment = UInt64(segment)
    window = UInt64(segment * packets)
  }

  /// A full datagram has another size from here on.
  package mutating func setSegment(_ bytes: Int) {
    segment = UInt64(bytes)
    window = max(window, minimumWindow)
  }

  package var minimumWindow: UInt64 { 2 * segment }
  package var inSlowStart: Bool { window < slowStartThreshold }

  /// - Parameters:
  ///   - bytes: newly acknowledged.
  ///   - isLimiting: whether the window was what held the sender back; otherwise it does not grow.
  ///   - largest, next: packet numbers acknowledged and about to be used; they bound HyStart++'s rounds.
  package mutating func acknowledged(
    bytes: UInt64, isLimiting: Bool, roundTrip: borrowing RoundTripEstimate, sampled: Bool, largest: UInt64,
    next: UInt64, now: Instant
  ) {
    // Only in the first slow start (RFC 9406, 4.3).
    if slowStartThreshold == .max, sampled { hyStart(sample: roundTrip.latest, largest: largest, next: next) }
    skipPause(isLimiting: isLimiting, roundTrip: roundTrip, now: now)
    guard isLimiting else { return }
    if inSlowStart {
      // Conservative slow start grows a quarter as fast (RFC 9406, 4.3).
      window += conservativeRounds > 0 ? bytes / 4 : bytes
      return
    }
    grow(bytes: bytes, smoothed: roundTrip.smoothed, now: now)
  }

  /// The first window, sent in the course of a round trip.
  package mutating func start(window: UInt64) { self.window = max(window, minimumWindow) }

  /// The path carries `capacity` bytes per second: slow start ends there, and goes on from `window`.
  package mutating func expect(capacity: UInt64, window: UInt64, roundTrip: Nanoseconds) {
    guard inSlowStart, recoveryStart == 0 else { return }
    self.capacity = capacity
    let product = UInt64(min(Double(capacity) * Double(roundTrip) / 1e9, 1e15))
    self.window = max(self.window, min(window, product))
    slowStartThreshold = max(product, minimumWindow)
  }

  /// Takes over from another controller.
  package mutating func goOn(window: UInt64, inSlowStart: Bool) {
    self.window = max(window, minimumWindow)
    guard !inSlowStart else { return }
    slowStartThreshold = self.window
    windowMaximum = Double(self.window)
    epochStart = 0
  }

  /// Losses have turned out to be none. When all of an event were, it never happened (RFC 9438, 4.9.2).
  package mutating func undo(packets: Int) {
    guard eventLosses > 0 else { return }
    eventLosses -= packets
    guard eventLosses <= 0, window < windowBefore else { return }
    eventLosses = 0
    window = windowBefore
    slowStartThreshold = thresholdBefore
    windowMaximum = maximumBefore
    epochStart = 0
  }

  /// Packets were lost, the newest of them sent at `sentTime`.
  package mutating func lost(sentTime: Instant, packets: Int = 1, now: Instant) {
    guard recoveryStart == 0 || sentTime > recoveryStart else {
      if eventLosses > 0 { eventLosses += packets }
      return
    }
    recoveryStart = now
    eventLosses = packets
    windowBefore = window
    thresholdBefore = slowStartThreshold
    maximumBefore = windowMaximum
    let current = Double(window)
    // Fast convergence (RFC 9438, 4.7).
    windowMaximum = current < windowMaximum ? current * 0.85 : current
    window = max(UInt64(current * 0.7), minimumWindow)
    slowStartThreshold = window
    conservativeRounds = 0
    epochStart = 0
  }

  /// Nothing came back for several probe timeouts: RFC 9002, 7.6. The threshold stays that of the window before, and what is found lost
  /// of it later is no second event: slow start leads back to where the path was.
  package mutating func persistentCongestion(now: Instant) {
    window = minimumWindow
    recoveryStart = now
    epochStart = 0
  }

  /// Time in which the window was not used, or nothing came back, is not time in which it would have grown (RFC 9438,
  /// 4.2 and 5.8).
  private mutating func skipPause(isLimiting: Bool, roundTrip: borrowing RoundTripEstimate, now: Instant) {
    if epochStart != 0 {
      let elapsed = now - lastAcknowledged
      let counted = isLimiting ? min(elapsed, roundTrip.probeTimeout(maximumAckDelay: 0)) : 0
      epochStart += elapsed - counted
    }
    lastAcknowledged = now
  }

  private mutating func grow(bytes: UInt64, smoothed: Nanoseconds, now: Instant) {
    let mss = Double(segment)
    if epochStart == 0 {
      epochStart = now
      if windowMaximum < Double(window) { windowMaximum = Double(window) }
      // K = cbrt((W_max - cwnd) / C), windows in segments, C = 0.4 (RFC 9438, 4.2).
      timeToMaximum = Self.cubeRoot((windowMaximum - Double(window)) / mss / 0.4)
      renoWindow = Double(window)
    }
    let t = Double(now - epochStart + smoothed) / 1e9 - timeToMaximum
    let target = windowMaximum + 0.4 * t * t * t * mss
    // Reno-friendly estimate (RFC 9438, 4.3), alpha = 3 (1 - beta) / (1 + beta).
    renoWindow += 0.5294 * Double(bytes) * mss / Double(window)
    let current = Double(window)
    let bounded = min(max(max(target, renoWindow), current), current * 1.5)
    let increment = (bounded - current) * Double(bytes) / current
    window += UInt64(min(max(increment, 0), Double(bytes)))
  }

  private mutating func hyStart(sample: Nanoseconds, largest: UInt64, next: UInt64) {
    roundMinimum = min(roundMinimum, sample)
    roundSamples += 1
    if roundSamples >= 8, lastRoundMinimum != .max {
      // A path of a few milliseconds has filled its queue before it delays by four.
      let clamped = min(max(lastRoundMinimum / 8, .milliseconds(4)), .milliseconds(16))
      let threshold = min(clamped, max(lastRoundMinimum / 2, .microseconds(200)))
      if conservativeRounds == 0, roundMinimum >= lastRoundMinimum + threshold {
        conservativeRounds = 1
        baselineMinimum = roundMinimum
      } else if conservativeRounds > 0, roundMinimum < baselineMinimum {
        conservativeRounds = 0
      }
    }
    guard largest >= roundEnd else { return }
    roundEnd = next
    lastRoundMinimum = roundMinimum
    roundMinimum = .max
    roundSamples = 0
    if conservativeRounds > 0 {
      conservativeRounds += 1
      if conservativeRounds > 5 {
        slowStartThreshold = window
        conservativeRounds = 0
      }
    }
  }

  /// Newton's iteration; the core links no mathematics library.
  private static func cubeRoot(_ value: Double) -> Double {
    guard value > 0 else { return 0 }
    var root = value > 1 ? value : 1
    for _ in 0..<60 {
      let next = (2 * root + value / (root * root)) / 3
      if next == root { break }
      root = next
    }
    return root
  }
}

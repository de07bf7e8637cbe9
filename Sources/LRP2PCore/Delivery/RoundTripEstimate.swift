// SPDX-License-Identifier: MIT
/// Smoothed RTT, its variation and minimum (RFC 9002, section 5), and the probe timeout made from them.
package struct RoundTripEstimate: BitwiseCopyable {
  package private(set) var latest: Nanoseconds = 0
  package private(set) var smoothed: Nanoseconds = 0
  package private(set) var variation: Nanoseconds = 0
  package private(set) var minimum: Nanoseconds = .max
  package private(set) var samples: UInt64 = 0
  /// What is taken for a round trip before one is measured, in microseconds (RFC 9002, 6.2.2).
  private let expected: UInt32

  package init(expected: Nanoseconds = Self.usual) { self.expected = UInt32(clamping: expected / 1000) }

  package static var usual: Nanoseconds { .microseconds(333_333) }

  /// What is kept of it while nothing moves, in microseconds; `smoothed` is 0 before the first sample.
  package struct Rest: BitwiseCopyable {
    fileprivate var smoothed: UInt32 = 0
    fileprivate var variation: UInt32 = 0
    fileprivate var minimum: UInt32 = 0

    package init() {}
  }

  package var rest: Rest {
    var rest = Rest()
    guard hasSample else { return rest }
    func microseconds(_ time: Nanoseconds) -> UInt32 { UInt32(clamping: max(time / 1000, 1)) }
    rest.smoothed = microseconds(smoothed)
    rest.variation = microseconds(variation)
    rest.minimum = microseconds(minimum)
    return rest
  }

  package init(from rest: Rest, expected: Nanoseconds = Self.usual) {
    self.init(expected: expected)
    guard rest.smoothed > 0 else { return }
    smoothed = .microseconds(UInt64(rest.smoothed))
    variation = .microseconds(UInt64(rest.variation))
    minimum = .microseconds(UInt64(rest.minimum))
    latest = smoothed
    samples = 1
  }

  package var hasSample: Bool { samples > 0 }

  /// The minimum; 0 before the first sample.
  package var shortest: Nanoseconds { samples > 0 ? minimum : 0 }

  /// - Returns: whether it was one; a longer one than `longestSample` changes nothing.
  @discardableResult
  package mutating func update(sample: Nanoseconds, acknowledgementDelay: Nanoseconds) -> Bool {
    guard sample <= longestSample else { return false }
    latest = max(sample, 1)
    samples &+= 1
    guard samples > 1 else {
      minimum = latest
      smoothed = latest
      variation = latest / 2
      return true
    }
    minimum = min(minimum, latest)
    let adjusted = latest >= minimum &+ acknowledgementDelay ? latest - acknowledgementDelay : latest
    let difference = smoothed > adjusted ? smoothed - adjusted : adjusted - smoothed
    if adjusted < smoothed, difference > variation {
      // Shorter than it was expected to vary: that is no reason to wait longer (as Linux's TCP has it, unlike RFC 9002). Where a
      // queue was long when the connection began, a loss would else wait for seconds.
      variation += (difference - variation) / 32
    } else {
      variation = (3 * variation + difference) / 4
    }
    smoothed = (7 * smoothed + adjusted) / 8
    return true
  }

  /// Three round trips: one, and twice the half that it may vary by. 1 s, if nothing else is expected.
  package var initialProbeTimeout: Nanoseconds { .microseconds(3 * UInt64(expected) + 1) }
  /// A longer one was none: the machine has been suspended, and what that took says nothing of the path.
  package var longestSample: Nanoseconds { max(.seconds(60), .microseconds(4 * UInt64(expected))) }

  /// PTO = srtt + max(4 rttvar, 1 ms) + maximum ACK delay.
  package func probeTimeout(maximumAckDelay: Nanoseconds) -> Nanoseconds {
    guard hasSample else { return initialProbeTimeout }
    return smoothed + max(4 * variation, .milliseconds(1)) + maximumAckDelay
  }

  /// Time threshold of loss detection: 9/8 of the larger of latest and smoothed RTT, at least 1 ms (RFC 9002, 6.1.2), and
  /// a quarter more for each `step`, up to three round trips. RFC 8985, 6.2, has two, but samples are of those that come
  /// first. A step is a millisecond at least: what hosts and radios delay packets by can be longer than a short path.
  /// The age of a packet is kept in 32 bits of microseconds.
  package func lossDelay(reorderingSteps steps: Int) -> Nanoseconds {
    let share = max(latest, smoothed) / 8 * UInt64(min(9 + 2 * steps, 24))
    return min(max(share, .milliseconds(1 + UInt64(steps))), .seconds(1000))
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore

/// Times of round trips. Room for all of them is taken beforehand.
struct Latencies {
  private var samples: [UInt32] = []

  init(capacity: Int) { samples.reserveCapacity(capacity) }

  /// Leaves out what there is no room for.
  mutating func append(_ time: Nanoseconds) {
    if samples.count < samples.capacity { samples.append(UInt32(clamping: time)) }
  }

  var count: Int { samples.count }

  /// The times that half, and 99 of 100, round trips stay below or at.
  mutating func percentiles() -> (p50: Nanoseconds, p99: Nanoseconds)? {
    if samples.isEmpty { return nil }
    samples.sort()
    func at(_ share: Double) -> Nanoseconds { Nanoseconds(samples[Int(Double(samples.count - 1) * share)]) }
    return (at(0.5), at(0.99))
  }
}

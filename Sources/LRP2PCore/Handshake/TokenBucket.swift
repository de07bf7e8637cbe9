// SPDX-License-Identifier: MIT
/// Pays for answers to addresses that have not proved themselves: so many a second, of which some may be saved up.
package struct TokenBucket: BitwiseCopyable {
  private let perSecond: Double
  private let most: Double
  private var tokens: Double
  private var updated: Instant = 0

  /// - Parameter seconds: how long it saves; an allowance that has anything has one answer at least.
  package init(perSecond: Int, seconds: Double) {
    self.perSecond = Double(perSecond)
    most = perSecond == 0 ? 0 : max(Double(perSecond) * seconds, 1)
    tokens = most
  }

  /// Whether it pays for one more.
  package mutating func take(now: Instant) -> Bool {
    tokens = min(tokens + Double(now - min(updated, now)) / 1e9 * perSecond, most)
    updated = max(updated, now)
    guard tokens >= 1 else { return false }
    tokens -= 1
    return true
  }
}

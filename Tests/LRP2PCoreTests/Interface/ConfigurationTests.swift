// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// What a configuration may say.
@Suite struct ConfigurationTests {
  typealias Time = WritableKeyPath<EngineConfiguration, Nanoseconds>

  private func isValid(_ change: (inout EngineConfiguration) -> Void) -> Bool {
    var configuration = EngineConfiguration()
    change(&configuration)
    do throws(ConfigurationError) {
      try configuration.validate()
      return true
    } catch {
      return false
    }
  }

  private static let week: Nanoseconds = .seconds(7 * 24 * 3600)

  /// The least and the most of each time, and whether 0 stands for never.
  private static var times: [(Time, Nanoseconds, Nanoseconds, isNever: Bool)] {
    [
      (\.idleTimeout, .milliseconds(100), week, true), (\.keepAlive, .milliseconds(100), week, true),
      (\.unreadTimeout, .seconds(1), week, true), (\.restAfter, 1, week, true),
      (\.handshakeTimeout, .milliseconds(100), .seconds(3600), false), (\.maximumAckDelay, 0, .seconds(1), false),
    ]
  }

  @Test func defaultsAreValid() { #expect(isValid { _ in }) }

  @Test func answersASecondHaveARange() {
    for answers: WritableKeyPath<EngineConfiguration, Int> in [\.resetsPerSecond, \.cookieRepliesPerSecond] {
      for good in [0, 1_000_000] { #expect(isValid { $0[keyPath: answers] = good }) }
      for bad in [-1, 1_000_001, .max, .min] { #expect(!isValid { $0[keyPath: answers] = bad }) }
    }
  }

  @Test func timesHaveRanges() {
    for (time, least, most, isNever) in Self.times {
      for good in [least, most] { #expect(isValid { $0[keyPath: time] = good }, "\(time) \(good)") }
      for bad in [most + 1, .max, .max / 2] { #expect(!isValid { $0[keyPath: time] = bad }, "\(time) \(bad)") }
      if least > 1 { #expect(!isValid { $0[keyPath: time] = least - 1 }, "\(time)") }
      if least > 0 { #expect(isValid { $0[keyPath: time] = 0 } == isNever, "\(time)") }
    }
  }
}

// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

/// `on` or `off`, where not to say is a third thing.
enum Toggle: String, ExpressibleByArgument, CaseIterable { case on, off }

/// What is asked of the library only by options: one line each, so that an option for what this build lacks says so.
enum Knobs {
  /// Whether the socket drops datagrams for ids that are none of ours before they reach the process.
  static func setFilter(_ toggle: Toggle, _ configuration: inout ReactorConfiguration) throws {
    configuration.socketFilter = toggle == .on
  }

  /// Answers to message 1 that told a cookie.
  static func cookieReplies(_ statistics: EngineStatistics) -> UInt64? { statistics.cookieRepliesSent }
}

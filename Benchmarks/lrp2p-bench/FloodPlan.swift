// SPDX-License-Identifier: MIT
import LRP2PCore

/// The load that a flood meets, and when what happens. All processes of a run share one clock.
enum FloodPlan {
  /// Streams with smaller numbers are bulk data, those from here on ask for their bytes back.
  static let firstEcho = 1 << 16
  static let echoes = 8
  static let echoBytes: UInt64 = 64
  /// Streams of honest peers that come during the flood bring nothing.
  static let connectInterval: Nanoseconds = .milliseconds(50)
  /// An honest peer that is not connected by then is given up.
  static let connectPatience: Nanoseconds = .seconds(5)
  /// From the start of the processes to that of the flood: the load is made, and has grown to what the path carries.
  static let preparation: Nanoseconds = .milliseconds(1500)
  /// Behind the start of the flood, and before its end: not measured.
  static let margin: Nanoseconds = .milliseconds(300)
  /// Sealed datagrams for a flood of replays.
  static let captures = 1024
  static let longestCapture = 2048
}

extension Job {
  var floodEnd: Instant { start &+ length }
  /// What is measured lies between.
  var measuredStart: Instant { start &+ FloodPlan.margin }
  var measuredEnd: Instant { floodEnd &- FloodPlan.margin }
}

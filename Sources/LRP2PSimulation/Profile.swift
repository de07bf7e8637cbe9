// SPDX-License-Identifier: MIT
import LRP2PCore

/// A path between two hosts, or a way to make up many.
package enum Profile: String, Sendable, CaseIterable {
  /// 1 Gbit/s, 1 ms.
  case lan
  /// 20 Mbit/s down, 2 up, 600 ms.
  case geo20 = "geo-20-2"
  /// 250 Mbit/s down, 3 up, 600 ms.
  case geo250 = "geo-250-3"
  /// 100 Gbit/s, 600 ms.
  case geo100G = "geo-100g"
  /// 50 Mbit/s, 60 ms, losses of 1 % and in bursts, reordering.
  case lossy
  /// Faults of all kinds, drawn from the seed.
  case chaos
  /// Connections that come and go at a steady rate for hours, and copies of their datagrams that come when they are over.
  case churn
  /// Thousands of peers of one host.
  case many
  /// Ten thousand peers of one host, a fifth of them hostile.
  case crowd
  /// An honest transfer beside peers that were accepted and mean harm.
  case hostile
  /// A thousand connections that nobody reads.
  case unread
  /// Starts just below sequence number 2^32.
  case wrap
}

/// One transfer, or several that share a path, from host 0 to host 1.
package struct Scenario: Sendable {
  package var profile: Profile
  package var seed: UInt64 = 1
  package var bytes: UInt64 = 10_000_000
  /// Ends then, done or not; 0 is when it is done.
  package var seconds = 0.0
  /// `EngineConfiguration.flowsKept` of a churn.
  package var flowsKept = 1024
  package var congestion = CongestionAlgorithm.bbr
  /// The controllers of flows that share the path, from the start; empty is one of `congestion`.
  package var flows: [CongestionAlgorithm] = []
  package var roundTrip: Nanoseconds
  /// Bits per second.
  package var rate: UInt64
  package var returnRate: UInt64
  /// The queue in bandwidth-delay products.
  package var buffer = 1.0
  package var loss = 0.0
  package var burstBegins = 0.0
  package var jitter: Nanoseconds = 0
  package var ackRatio = EngineConfiguration().ackRatio
  package var initialSequence: UInt32 = 0
  package var isPathRemembered = false
  /// The controller begins at the full rate.
  package var startsAtFullRate = false
  package var coalescing: Nanoseconds = .microseconds(10)
  package var elidesPayloads = false
  /// Of `hostile`, what the hostile peers do (each in turn when there is none), and how many datagrams a second each sends.
  package var hostility: HostileProfile?
  package var hostileRate: UInt64 = 10_000
  /// Of a crowd, hostile ones included; of `hostile`, those only.
  package var peers = 10_000
  package var receivePoolBytes = EngineConfiguration().receivePoolBytes
  /// Tells how many bytes of this process are resident; a churn then says how much they grow.
  package var residentBytes: (@Sendable () -> UInt64)?

  package init(_ profile: Profile) {
    self.profile = profile
    switch profile {
    case .lan:
      (roundTrip, rate, returnRate) = (.milliseconds(1), 1_000_000_000, 1_000_000_000)
      bytes = 100_000_000
      buffer = 2
    case .geo20:
      (roundTrip, rate, returnRate) = (.milliseconds(600), 20_000_000, 2_000_000)
    case .geo250:
      (roundTrip, rate, returnRate) = (.milliseconds(600), 250_000_000, 3_000_000)
      bytes = 100_000_000
    case .geo100G:
      (roundTrip, rate, returnRate) = (.milliseconds(600), 100_000_000_000, 100_000_000_000)
      bytes = 1 << 62
      seconds = 30
      coalescing = .microseconds(100)
      elidesPayloads = true
      receivePoolBytes = 1 << 40
    case .lossy:
      (roundTrip, rate, returnRate) = (.milliseconds(60), 50_000_000, 50_000_000)
      (loss, burstBegins, jitter) = (0.01, 0.0005, .milliseconds(2))
    case .wrap:
      (roundTrip, rate, returnRate) = (.milliseconds(40), 100_000_000, 100_000_000)
      loss = 0.01
      initialSequence = UInt32.max - 2000
    case .hostile:
      (roundTrip, rate, returnRate) = (.milliseconds(40), 100_000_000, 100_000_000)
      (loss, bytes, peers, seconds) = (0.02, 20_000_000, 9, 60)
    case .unread:
      (roundTrip, rate, returnRate) = (.milliseconds(40), 1_000_000_000, 1_000_000_000)
      (bytes, peers) = (600_000, 1000)
    case .chaos, .many, .churn, .crowd:
      (roundTrip, rate, returnRate) = (.milliseconds(40), 100_000_000, 100_000_000)
      if profile == .churn { seconds = 36_000 }
      if profile == .crowd { loss = 0.002 }
    }
  }

  /// Bytes that the path holds.
  package var product: Double { Double(rate) / 8e9 * Double(roundTrip) }
}

// SPDX-License-Identifier: MIT
import LRP2PCore

/// What client and server do in turn: for each size the protocol, raw UDP, the protocol, raw UDP and so on, so that both meet
/// the machine in the same mood.
struct EchoPlan {
  static let sizes = [64, 1024]
  static let alternations = 8

  /// How long one turn lasts.
  let slice: Nanoseconds
  /// Room for a minute of the fastest round trips.
  static let sampleCapacity = 1 << 23

  init(_ job: Job) { slice = job.length / UInt64(2 * Self.sizes.count * Self.alternations) }

  /// The beginning of a slice is not recorded.
  var warmUp: Nanoseconds { slice / 10 }

  /// Raw UDP has the port behind the protocol's.
  static func rawAddress(_ address: Address) -> Address { address.with(port: address.port &+ 1) }

  /// How long a side waits for the other within a run.
  static let silence: Nanoseconds = .seconds(10)
}

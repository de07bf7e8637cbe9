// SPDX-License-Identifier: MIT
/// What a connection has learnt of the path to its peer, of use to a later one over the same path. It may be stored: it
/// tells nothing but how fast the path was.
public struct RememberedPath: Sendable, Hashable, BitwiseCopyable {
  /// The shortest round trip, nanoseconds.
  public var roundTrip: UInt64
  /// Bytes per second that the path has delivered.
  public var bytesPerSecond: UInt64
  /// Start at all of it, for simulations that leave the start out.
  package var isCertain = false

  /// What is known of a path from elsewhere, a file for example: nanoseconds, and bytes per second. What is not plausible is not used.
  public init(roundTrip: UInt64, bytesPerSecond: UInt64) {
    self.roundTrip = roundTrip
    self.bytesPerSecond = bytesPerSecond
  }

  /// Whether a connection with this round trip may be on the same path (careful resume, section 3.2).
  package func resembles(roundTrip other: Nanoseconds) -> Bool {
    other >= roundTrip / 2 && other <= 2 * max(roundTrip, 1)
  }
}

// SPDX-License-Identifier: MIT
/// Bytes that the engine keeps once, for any number of peers (`Engine.store`). A handle to them; it is void after `Engine.release`.
public struct StoredMessage: Hashable, Sendable, BitwiseCopyable {
  package var row: UInt32
  /// Distinguishes it from others that have had the row.
  package var generation: UInt32

  package init(row: UInt32, generation: UInt32) { (self.row, self.generation) = (row, generation) }
}

/// How a message is sent.
public struct MessageOptions: Sendable, Hashable {
  /// On which lane.
  public var lane: Lane
  /// On the clock of `Engine.now`: it is not sent, nor sent again, from then on. `.never` has no such time.
  public var until: Instant
  /// Whether it is sent again when it is lost. One that is not leaves at most once.
  public var isReliable: Bool
  /// Comes back with `Handler.outcome` when it is known what has become of it; with 0 nothing does.
  public var token: UInt64

  /// Options.
  public init(lane: Lane = 0, until: Instant = .never, isReliable: Bool = true, token: UInt64 = 0) {
    self.lane = lane
    self.until = until
    self.isReliable = isReliable
    self.token = token
  }
}

/// What has become of a call that sends a message (`Engine.send`).
public enum MessageResult: Sendable, Hashable, BitwiseCopyable {
  /// It was taken.
  case queued
  /// Nothing was taken: a bound is reached, of the lane, the connection or all. `Handler.writable` follows once there is room.
  case full
  /// Nothing was taken: it is longer than the peer takes (`Engine.maximumMessage`), or than there is room for at all.
  case tooLong
  /// Nothing was taken: the peer takes no messages, or its handshake is not over, or there is no such lane in the configuration.
  case unsupported
  /// Nothing was taken: the connection is over, or its own direction was finished.
  case ended
}

/// What has become of a message (`Handler.outcome`).
public enum MessageOutcome: Sendable, Hashable, BitwiseCopyable {
  /// The peer has all of it.
  case acknowledged
  /// It was lost, or its time had passed before all of it had left or was sent again. The peer may have it all the same.
  case lost
  /// It has not left: it gave way to newer ones, or its time had passed before.
  case dropped
}

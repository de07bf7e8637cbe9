// SPDX-License-Identifier: MIT
/// One of the sixteen lanes that a connection's messages travel in. Lanes do not wait for each other, nor for the stream. What a lane is like
/// its sender says (`EngineConfiguration.lanes`); a receiver takes messages of all lanes.
public struct Lane: RawRepresentable, Hashable, Sendable, BitwiseCopyable, ExpressibleByIntegerLiteral {
  /// 0 … 15.
  public let rawValue: UInt8

  /// `nil` beyond 15.
  public init?(rawValue: UInt8) {
    guard rawValue < UInt8(MessageFrame.lanes) else { return nil }
    self.rawValue = rawValue
  }

  /// A lane beyond 15 is taken modulo 16.
  public init(integerLiteral value: UInt8) { rawValue = value & 15 }

  package init(_ index: Int) { rawValue = UInt8(truncatingIfNeeded: index) & 15 }
  package var index: Int { Int(rawValue) }
}

/// What a lane is like, for the side that sends on it.
public struct LaneConfiguration: Sendable, Hashable {
  /// Whether messages are handed over in the order in which they were sent. One that is missing then holds up those after it in the same
  /// lane, until it has come or is given up. In an unordered lane each is handed over as soon as it is whole.
  public var isOrdered: Bool
  /// Which lane goes first: 0 … 7, 0 before all others. As long as one of a lower number has something to send, those of a higher one wait.
  /// The stream has `EngineConfiguration.streamPriority`.
  public var priority: Int
  /// The share among lanes of the same priority: 1 … 255. A lane of weight 2 sends twice the bytes of one of weight 1.
  public var weight: Int
  /// Bytes of one connection that may wait in the lane to be sent: 1,024 … 2^30.
  public var maximumBytes: Int
  /// What happens to a message that finds `maximumBytes` used up.
  public var whenFull: WhenFull

  /// What happens where a bound in bytes is reached.
  public enum WhenFull: Sendable, Hashable {
    /// The new message is not taken: the call answers `full`.
    case refuse
    /// The oldest that have not left give way.
    case dropOldest
    /// Nothing waits but the newest message, which is not sent again either once there is a newer one. For unordered lanes.
    case keepLatest
  }

  /// A lane.
  public init(
    isOrdered: Bool = true, priority: Int = 2, weight: Int = 1, maximumBytes: Int = 4 << 20,
    whenFull: WhenFull = .refuse
  ) {
    self.isOrdered = isOrdered
    self.priority = priority
    self.weight = weight
    self.maximumBytes = maximumBytes
    self.whenFull = whenFull
  }
}

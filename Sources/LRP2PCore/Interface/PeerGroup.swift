// SPDX-License-Identifier: MIT
/// Peers that get the same messages (`Engine.publish`): a topic, a room, a team. A handle; it is void after `Engine.removeGroup`.
public struct PeerGroup: Hashable, Sendable, BitwiseCopyable {
  package var row: UInt32
  package var generation: UInt32

  package init(row: UInt32, generation: UInt32) { (self.row, self.generation) = (row, generation) }
}

/// What a group does about a member that does not keep up: one that already has the group's `maximumBytes` of what was published and is not
/// acknowledged.
public enum GroupPolicy: Sendable, Hashable, BitwiseCopyable {
  /// The group keeps pace with its slowest member: `publish` answers `full`, and nobody gets the message. `Handler.writable` follows for the
  /// group.
  case keepPace
  /// Of what waits for the member the oldest gives way. If all of its bytes are under way, it does not get the new message.
  case dropOldest
  /// Each member waits for the newest message only, whether it keeps up or not: an older one is neither sent late nor sent again.
  case keepLatest
  /// The member's connection is closed with this code.
  case close(CloseCode)
}

/// What has become of a publish.
public enum PublishResult: Sendable, Hashable, BitwiseCopyable {
  /// It was queued for so many members. `skipped` of them are too slow and do not get it, or were closed for that.
  case queued(members: Int, skipped: Int)
  /// Nobody gets it: a member is too slow, and the group keeps pace with it; or there is no room for the message
  /// (`EngineConfiguration.messagePoolBytes`). `Handler.writable` follows for the group, in the first case.
  case full
  /// There is no such group, or no such message.
  case ended
}

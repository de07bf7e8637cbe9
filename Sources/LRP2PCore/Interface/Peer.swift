// SPDX-License-Identifier: MIT
/// A handle to a connection: its slot in the flat arrays and the slot's generation. It becomes void when the
/// connection is closed; calls with a void handle change nothing and say so (`CommandResult.ended`).
public struct Peer: Hashable, Sendable, BitwiseCopyable {
  /// The connection id this side receives data under: the slot in the low 24 bits, above it what looks random.
  public let connectionID: UInt64

  package init(connectionID: UInt64) { self.connectionID = connectionID }

  /// The number of its place: 0 ..< `EngineConfiguration.maximumPeers`, and no higher than the most connections at the same time have
  /// needed. Another connection has the same number later; `PeerColumn` keeps them apart.
  @inlinable public var index: Int { Int(connectionID & 0xFF_FFFF) }

  package var slot: Slot { Self.slot(of: connectionID) }

  /// The slot that an id of this side's names.
  @inline(__always)
  package static func slot(of connectionID: UInt64) -> Slot { Slot(Int(connectionID & slotMask)) }

  package static let slotMask: UInt64 = 0xFF_FFFF
}

/// Why a connection ended.
public enum CloseReason: Error, Hashable, Sendable {
  /// Both directions were finished and everything was acknowledged.
  case finished
  /// This side called `close`.
  case local(code: CloseCode)
  /// The peer called `close`, with its code and reason.
  case remote(code: CloseCode, reason: String)
  /// The peer has lost the connection, as a process has that was started anew, and says so: dial again.
  case reset
  /// The handshake was not answered in time.
  case handshakeTimeout
  /// A dial cannot succeed: none of its addresses can be reached. Of several faults the most telling one.
  case unreachable(DialFault)
  /// Nothing authentic arrived for the agreed idle timeout.
  case idleTimeout
  /// The connection had ended before, and its reader has stood still for `EngineConfiguration.unreadTimeout` since: what was
  /// unread is lost (`EngineStatistics.unreadBytesDropped`).
  case unreadTimeout
  /// The peer that has answered a dial has not one of the expected keys.
  case keyRefused
  /// The handshake failed: no common version or AEAD, or malformed parameters.
  case handshakeFailed
  /// Of this side's application protocols the peer lists none, or none of this side's is one of its own, as it tells by CLOSE
  /// (`EngineConfiguration.applicationProtocols`). Also told of a version that the peer does not speak.
  case noCommonProtocol
  /// The peer broke the protocol (an ACK for what was never sent, data behind FIN).
  case protocolViolation
  /// The peer has sent something that must not be ignored and that this version does not know: it speaks a later one.
  case unsupported
  /// Too many datagrams failed authentication under one key.
  case keyExhausted
  /// The original peer cannot number more segments (about 5.7 TB in one direction): dial again.
  case sequenceExhausted
}

/// Which versions of the protocol a dial may end up with.
public enum VersionPolicy: Sendable {
  /// Version 1 only.
  case version1
  /// The original peer (version 0) only. Its static keys are throw-away: whom one talks to is not known.
  case original
  /// Version 1, or the original if that is what answers.
  case either
}

/// A command that the engine refuses.
public enum EngineError: Error, Hashable, Sendable {
  /// All of `maximumPeers` slots are in use.
  case tooManyPeers
  /// Named keys cannot be asked of the original peer, whose keys are throw-away: expect anyone, or version 1.
  case originalHasNoIdentity
  /// The payload for the listener's program has more than 512 bytes.
  case payloadTooLong
  /// There is no address to dial.
  case noAddress
}

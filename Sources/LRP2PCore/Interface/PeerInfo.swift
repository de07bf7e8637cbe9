// SPDX-License-Identifier: MIT
/// Who a connection is with, and who has dialled: what `Handler.connected` brings, and `Engine.info` returns later.
public struct PeerInfo: Hashable, Sendable {
  /// Which side has dialled.
  public enum Direction: Hashable, Sendable, BitwiseCopyable {
    /// The peer.
    case incoming
    /// This side, by `Engine.connect`.
    case outgoing
  }

  /// The peer's public key, which it has proved. Of the original peer (version 0) it is a key for this connection only.
  public let key: PublicKey
  /// Where the peer is at this moment; `Handler.moved` reports another.
  public let address: Address
  /// What both speak over the connection (`EngineConfiguration.applicationProtocols`); `nil` where this side has none configured, and with
  /// the original peer.
  public let applicationProtocol: ApplicationProtocol?
  /// Which side has dialled.
  public let direction: Direction

  /// Whether the peer has dialled.
  public var isIncoming: Bool { direction == .incoming }

  package init(
    key: PublicKey, address: Address, applicationProtocol: ApplicationProtocol?, direction: Direction
  ) {
    self.key = key
    self.address = address
    self.applicationProtocol = applicationProtocol
    self.direction = direction
  }
}

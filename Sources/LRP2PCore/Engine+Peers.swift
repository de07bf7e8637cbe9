// Which connections there are, and who they are with.

extension Engine {
  /// Who a connection is with, as `Handler.connected` has it, at its present address. `nil` until then, and when the handle is void.
  public func info(of peer: Peer) -> PeerInfo? {
    guard let slot = known(peer), peers.rows[slot].phase != .dialling else { return nil }
    return info(slot)
  }

  func info(_ slot: Slot) -> PeerInfo {
    PeerInfo(
      key: peers.remoteKeys[slot], address: peers.rows[slot].address,
      applicationProtocol: applicationProtocol(slot),
      direction: peers.rows[slot].isIncoming ? .incoming : .outgoing)
  }
}

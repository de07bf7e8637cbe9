// SPDX-License-Identifier: MIT
// Which connections there are, and who they are with.

extension Engine {
  /// Who a connection is with, as `Handler.connected` has it, at its present address. `nil` until then, and when the handle is void.
  public func info(of peer: Peer) -> PeerInfo? {
    guard let slot = known(peer), peers.rows[slot].phase != .dialling else { return nil }
    return info(slot)
  }

  /// The connections whose user has been called with `connected`, and not with `closed`. It looks at every slot and makes an array:
  /// for shutdown and for inspection, not for each turn.
  public func connectedPeers() -> [Peer] {
    var found: [Peer] = []
    for slot in Slot.all(peers.slots) where isConnected(slot) { found.append(peer(slot)) }
    return found
  }

  private func isConnected(_ slot: Slot) -> Bool {
    switch peers.rows[slot].phase {
    case .established, .closing, .draining: true
    case .free, .halfOpen, .dialling, .superseded, .lingering: false
    }
  }

  /// The first slot at or after `slot` that has a connection or a dial which its user has not been called `closed` for.
  package func firstOpen(from slot: Slot) -> Slot? {
    var slot = slot
    while slot.index < peers.slots {
      if isConnected(slot) || peers.rows[slot].phase == .dialling { return slot }
      slot = Slot(slot.index + 1)
    }
    return nil
  }

  // MARK: Strangers

  /// Whether connections of others are accepted: unless it is nobody (`PeerKeys.nobody`), until `stopAccepting`.
  public var isAccepting: Bool { listener.isAccepting }

  /// Answers no further handshakes of others, for good. Those that have begun may still become connections, for a round trip or two.
  /// Connections that exist continue, and this side may dial.
  public mutating func stopAccepting() { listener.isAccepting = false }

  func info(_ slot: Slot) -> PeerInfo {
    PeerInfo(
      key: peers.remoteKeys[slot], address: peers.rows[slot].address,
      applicationProtocol: applicationProtocol(slot),
      direction: peers.rows[slot].isIncoming ? .incoming : .outgoing)
  }
}

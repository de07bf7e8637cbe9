// SPDX-License-Identifier: MIT
// Who gets a slot: half-open handshakes, of which those without proof of their address give way, and limits for each identity
// and each network on the connections that come of them.

extension Engine {
  // MARK: Half-open handshakes

  /// What strangers without proof may have of the slots that connections leave, and what one network may have: half.
  private var halfOfRoom: Int { (peers.room + 1) / 2 }

  /// How many half-open handshakes there may be before strangers have to prove their address.
  var halfOpenMark: Int { min(configuration.halfOpenMark, halfOfRoom) }

  /// How many one network may have.
  private var prefixLimit: Int { min(configuration.maximumHalfOpenPerPrefix, max(halfOfRoom, 1)) }

  /// Whether a handshake without proof of its address may begin.
  func admitsUnproved(_ address: Address) -> Bool {
    peers.halfOpenCount < halfOpenMark && peers.proved.count < configuration.maximumHalfOpen
      && peers.unproved.prefixes[address] + peers.proved.prefixes[address] < prefixLimit
  }

  /// The same for one with proof: what others have forged under addresses of its network does not count.
  mutating func admitsProved(_ address: Address) -> Bool {
    if peers.proved.prefixes[address] < prefixLimit { return true }
    counters.handshakesOverPrefixLimit &+= 1
    return false
  }

  /// The oldest half-open handshake without proof of its address gives way; if there is none, the oldest of all, but only to one
  /// with proof or to a dial of our own.
  /// - Returns: whether one did.
  @discardableResult
  mutating func evictHalfOpen(for isProved: Bool) -> Bool {
    guard let slot = peers.unproved.oldest ?? (isProved ? peers.proved.oldest : nil) else { return false }
    counters.halfOpenEvicted &+= 1
    move(slot, .abandoned)
    free(slot)
    return true
  }

  // MARK: Connections

  /// Whether a network may have one more connection.
  mutating func isWithinNetworkLimit(_ address: Address) -> Bool {
    if limits.admits(address) { return true }
    counters.connectionsOverPrefixLimit &+= 1
    return false
  }

  /// The same, and whether the identity may.
  mutating func isWithinLimits(_ key: PublicKey, _ address: Address) -> Bool {
    guard isWithinNetworkLimit(address) else { return false }
    if limits.admits(key) { return true }
    counters.connectionsOverIdentityLimit &+= 1
    return false
  }

  mutating func countConnection(_ slot: Slot) { limits.add(peers.remoteKeys[slot], peers.rows[slot].address) }

  mutating func forgetConnection(_ slot: Slot) { limits.remove(peers.remoteKeys[slot], peers.rows[slot].address) }

  /// A peer is at another address now.
  mutating func countMove(_ slot: Slot, from old: Address) {
    if peers.rows[slot].isIncoming { limits.move(from: old, to: peers.rows[slot].address) }
  }
}

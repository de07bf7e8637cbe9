// SPDX-License-Identifier: MIT
// Which half-open handshakes of others there are, the oldest first.

extension PeerTable {
  package var halfOpenCount: Int { unproved.count + proved.count }

  /// Appends a slot, which has a handshake row. It stays until that is dropped.
  package mutating func enlist(_ slot: Slot, isProved: Bool) {
    precondition(!handshakes[slot].isHalfOpen, "a handshake is half-open once")
    handshakes[slot].isHalfOpen = true
    handshakes[slot].isProved = isProved
    let last = isProved ? proved.newest : unproved.newest
    handshakes[slot].older = last
    handshakes[slot].newer = nil
    if let last { handshakes[last].newer = slot }
    let address = rows[slot].address
    if isProved { proved.append(slot, address) } else { unproved.append(slot, address) }
  }

  /// Takes a slot out of its list, if it is in one.
  mutating func unlist(_ slot: Slot) {
    guard handshakes[slot].isHalfOpen else { return }
    handshakes[slot].isHalfOpen = false
    let (older, newer) = (handshakes[slot].older, handshakes[slot].newer)
    if let older { handshakes[older].newer = newer }
    if let newer { handshakes[newer].older = older }
    let address = rows[slot].address
    if handshakes[slot].isProved {
      proved.remove(between: older, and: newer, address)
    } else {
      unproved.remove(between: older, and: newer, address)
    }
  }
}

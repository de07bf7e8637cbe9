/// Half-open handshakes of others in the order in which they came, linked through their handshake rows, and how many of them
/// each network has. There is one list of those whose address has shown that it receives, and one of the others.
package struct HalfOpenList: ~Copyable {
  /// The slot of the first; -1 when there is none.
  package fileprivate(set) var oldest = -1
  fileprivate var newest = -1
  package fileprivate(set) var count = 0
  package fileprivate(set) var prefixes: PrefixCounter

  package init(seed: UInt64) { prefixes = PrefixCounter(seed: seed) }
}

extension PeerTable {
  package var halfOpenCount: Int { unproved.count + proved.count }

  /// Appends a slot, which has a handshake row. It stays until that is dropped.
  package mutating func enlist(_ slot: Int, isProved: Bool) {
    precondition(!handshakes[slot].isHalfOpen, "a handshake is half-open once")
    handshakes[slot].isHalfOpen = true
    handshakes[slot].isProved = isProved
    let last = isProved ? proved.newest : unproved.newest
    handshakes[slot].older = last
    handshakes[slot].newer = -1
    if last >= 0 { handshakes[last].newer = slot }
    let address = rows[slot].address
    if isProved { Self.append(slot, address, to: &proved) } else { Self.append(slot, address, to: &unproved) }
  }

  private static func append(_ slot: Int, _ address: Address, to list: inout HalfOpenList) {
    if list.oldest < 0 { list.oldest = slot }
    list.newest = slot
    list.count += 1
    list.prefixes.add(address)
  }

  /// Takes a slot out of its list, if it is in one.
  mutating func unlist(_ slot: Int) {
    guard handshakes[slot].isHalfOpen else { return }
    handshakes[slot].isHalfOpen = false
    let (older, newer) = (handshakes[slot].older, handshakes[slot].newer)
    if older >= 0 { handshakes[older].newer = newer }
    if newer >= 0 { handshakes[newer].older = older }
    let address = rows[slot].address
    if handshakes[slot].isProved {
      Self.remove(older, newer, address, from: &proved)
    } else {
      Self.remove(older, newer, address, from: &unproved)
    }
  }

  private static func remove(_ older: Int, _ newer: Int, _ address: Address, from list: inout HalfOpenList) {
    if older < 0 { list.oldest = newer }
    if newer < 0 { list.newest = older }
    list.count -= 1
    list.prefixes.remove(address)
  }
}

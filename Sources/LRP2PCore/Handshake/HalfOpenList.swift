// SPDX-License-Identifier: MIT
/// Half-open handshakes of others in the order in which they came, linked through their handshake rows, and how many of them
/// each network has. There is one list of those whose address has shown that it receives, and one of the others.
package struct HalfOpenList: ~Copyable {
  package private(set) var oldest: Slot?
  package private(set) var newest: Slot?
  package private(set) var count = 0
  package private(set) var prefixes: PrefixCounter

  package init(seed: UInt64) { prefixes = PrefixCounter(seed: seed) }

  mutating func append(_ slot: Slot, _ address: Address) {
    if oldest == nil { oldest = slot }
    newest = slot
    count += 1
    prefixes.add(address)
  }

  /// - Parameters:
  ///   - older: the slot before it in the list.
  ///   - newer: the one after it.
  mutating func remove(between older: Slot?, and newer: Slot?, _ address: Address) {
    if older == nil { oldest = newer }
    if newer == nil { newest = older }
    count -= 1
    prefixes.remove(address)
  }
}

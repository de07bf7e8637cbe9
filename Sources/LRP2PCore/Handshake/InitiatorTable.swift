// SPDX-License-Identifier: MIT
/// Finds the slot of a handshake datagram by the initiator's id and its address: open addressing with linear probing,
/// hashed with a secret seed so that nobody can aim at one chain.
package struct InitiatorTable: ~Copyable {
  package struct Entry: BitwiseCopyable {
    var hash: UInt64 = 0
    var slot: Int32 = -1
  }

  private var entries = Column(repeating: Entry(), count: 16)
  private let seed: UInt64
  package private(set) var count = 0
  package var capacity: Int { entries.count }

  package init(seed: UInt64) { self.seed = seed }

  package func hash(_ id: UInt64, _ address: Address) -> UInt64 {
    var h = seed
    h = mix(h ^ id)
    h = mix(h ^ address.high)
    h = mix(h ^ address.low)
    return mix(h ^ (UInt64(address.port) << 32 | UInt64(address.scope)))
  }

  /// The slot for which `matches` holds among those with this hash.
  package func find(
    _ hash: UInt64, _ rows: borrowing GrowingColumn<Slot, PeerRow>, id: UInt64, address: Address
  ) -> Slot? {
    var at = place(hash)
    while entries[at].slot >= 0 {
      if entries[at].hash == hash {
        let slot = Slot(Int(entries[at].slot))
        if rows[slot].remoteID == id, rows[slot].address == address { return slot }
      }
      at = (at + 1) & (entries.count - 1)
    }
    return nil
  }

  /// Where to look for the slots with this hash; `next` then gives one after the other, if nothing changes meanwhile.
  package func cursor(_ hash: UInt64) -> Int { place(hash) }

  package func next(_ hash: UInt64, _ cursor: inout Int) -> Slot? {
    while entries[cursor].slot >= 0 {
      let entry = entries[cursor]
      cursor = (cursor + 1) & (entries.count - 1)
      if entry.hash == hash { return Slot(Int(entry.slot)) }
    }
    return nil
  }

  package mutating func insert(_ hash: UInt64, slot: Slot) {
    if (count + 1) * 2 > entries.count { grow() }
    var at = place(hash)
    while entries[at].slot >= 0 { at = (at + 1) & (entries.count - 1) }
    entries[at] = Entry(hash: hash, slot: Int32(slot.index))
    count += 1
  }

  /// Removes the entry of `slot`, moving up what was pushed behind it, so that no tombstones are needed.
  package mutating func remove(_ hash: UInt64, slot: Slot) {
    var at = place(hash)
    while entries[at].slot >= 0, entries[at].slot != Int32(slot.index) { at = (at + 1) & (entries.count - 1) }
    guard entries[at].slot >= 0 else { return }
    count -= 1
    var hole = at
    while true {
      at = (at + 1) & (entries.count - 1)
      guard entries[at].slot >= 0 else { break }
      let home = place(entries[at].hash)
      // It may move into the hole unless its own place lies behind the hole.
      if (at &- home) & (entries.count - 1) >= (at &- hole) & (entries.count - 1) {
        entries[hole] = entries[at]
        hole = at
      }
    }
    entries[hole] = Entry()
  }

  private func place(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (entries.count - 1) }

  private mutating func grow() {
    var larger = Column(repeating: Entry(), count: entries.count * 2)
    swap(&larger, &entries)
    for i in 0..<larger.count where larger[i].slot >= 0 {
      var at = place(larger[i].hash)
      while entries[at].slot >= 0 { at = (at + 1) & (entries.count - 1) }
      entries[at] = larger[i]
    }
  }
}

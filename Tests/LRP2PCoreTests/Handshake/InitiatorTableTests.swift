// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// The table together with the rows it looks into, and a dictionary that knows the answer.
private struct Checked: ~Copyable {
  var table = InitiatorTable(seed: 0x5eed)
  var rows: GrowingColumn<Slot, PeerRow>
  var slots: [Address: Slot] = [:]
  var hashes: [Slot: UInt64] = [:]
  var free: [Slot]

  init(slots count: Int) {
    rows = GrowingColumn(repeating: PeerRow(), count: count)
    free = Array(Slot.all(count))
  }

  static func id(_ address: Address) -> UInt64 { address.low &* 31 }

  mutating func insert(_ address: Address, hash: UInt64) {
    let slot = free.removeLast()
    rows[slot].remoteID = Self.id(address)
    rows[slot].address = address
    table.insert(hash, slot: slot)
    slots[address] = slot
    hashes[slot] = hash
  }

  mutating func remove(_ address: Address) {
    let slot = slots.removeValue(forKey: address)!
    table.remove(hashes.removeValue(forKey: slot)!, slot: slot)
    rows[slot] = PeerRow()
    free.append(slot)
  }

  /// Whether every address is found, and not under another id.
  func faults(hash: (Address) -> UInt64) -> Int {
    var faults = table.count == slots.count && 2 * table.count <= table.capacity ? 0 : 1
    for (address, slot) in slots {
      if table.find(hash(address), rows, id: Self.id(address), address: address) != slot { faults += 1 }
      if table.find(hash(address), rows, id: Self.id(address) &+ 1, address: address) != nil { faults += 1 }
    }
    return faults
  }
}

@Suite struct InitiatorTableTests {
  /// All slots with one hash, whatever else stands in between.
  @Test func slotsWithOneHashAreFoundInTurn() {
    var table = InitiatorTable(seed: 1)
    // All at home in the same place of a table of up to 1024 entries.
    let hashes: [UInt64] = [0x0_0400, 0x1_0400, 0x2_0400]
    for slot in Slot.all(60) { table.insert(hashes[slot.index % 3], slot: slot) }
    for (number, hash) in hashes.enumerated() {
      var found: [Int] = []
      var cursor = table.cursor(hash)
      while let slot = table.next(hash, &cursor) { found.append(slot.index) }
      #expect(found.sorted() == stride(from: number, to: 60, by: 3).map { $0 })
    }
    var cursor = table.cursor(0x3_0400)
    let none = table.next(0x3_0400, &cursor)
    #expect(none == nil)
  }

  private func address(_ number: Int) -> Address {
    Address(high: UInt64(number % 3), low: UInt64(number), port: UInt16(number % 7))
  }

  /// - Parameter hashBits: how many different hashes there are: with few, everything is one long chain, with hashes
  ///   near the end of the ring it wraps around.
  @Test(arguments: [0, 1, 3, 64], 0..<6)
  func agreesWithADictionary(hashBits: Int, seed: Int) {
    var random = TestRandom(seed: seed * 100 + hashBits)
    var checked = Checked(slots: 300)
    var wrong = 0
    let seeded = InitiatorTable(seed: 99)
    func hash(_ address: Address) -> UInt64 {
      let full = seeded.hash(Checked.id(address), address)
      return hashBits == 64 ? full : .max - (full & (1 << UInt64(hashBits) - 1))
    }
    for step in 0..<1500 {
      // Grows to most of the slots, and comes back to few.
      let isGrowing = step / 400 % 2 == 0
      let candidate = address(random.below(1000))
      if checked.slots[candidate] == nil, !checked.free.isEmpty, random.happens(percent: isGrowing ? 80 : 20) {
        checked.insert(candidate, hash: hash(candidate))
      } else if random.happens(percent: isGrowing ? 20 : 90), !checked.slots.isEmpty {
        // Sorted, because the order of a dictionary differs from run to run.
        let known = checked.slots.keys.sorted { $0.low < $1.low }
        checked.remove(known[random.below(known.count)])
      }
      let unknown = address(1000 + random.below(100))
      if checked.table.find(hash(unknown), checked.rows, id: Checked.id(unknown), address: unknown) != nil {
        wrong += 1
      }
      if step % 5 == 0 { wrong += checked.faults(hash: hash) }
    }
    wrong += checked.faults(hash: hash)
    #expect(wrong == 0)
  }

  /// Several initiators behind one address, and one that comes from another: told apart by both together.
  @Test func sameHashIsNotEnough() {
    var rows = GrowingColumn<Slot, PeerRow>(repeating: PeerRow(), count: 3)
    var table = InitiatorTable(seed: 1)
    for slot in Slot.all(3) {
      rows[slot].remoteID = slot.index == 2 ? 1 : UInt64(slot.index)
      rows[slot].address = slot.index == 2 ? address(2) : address(1)
      table.insert(42, slot: slot)
    }
    #expect(table.find(42, rows, id: 0, address: address(1)) == Slot(0))
    #expect(table.find(42, rows, id: 1, address: address(1)) == Slot(1))
    #expect(table.find(42, rows, id: 1, address: address(2)) == Slot(2))
    #expect(table.find(42, rows, id: 0, address: address(2)) == nil)
    table.remove(42, slot: Slot(0))
    // A slot that is not there takes nothing away.
    table.remove(42, slot: Slot(0))
    table.remove(43, slot: Slot(1))
    #expect(table.count == 2)
    #expect(table.find(42, rows, id: 0, address: address(1)) == nil)
    #expect(table.find(42, rows, id: 1, address: address(2)) == Slot(2))
  }

  @Test func hashDependsOnEverything() {
    let table = InitiatorTable(seed: 1)
    let base = Address(high: 1, low: 2, scope: 3, port: 4)
    var hashes: Set<UInt64> = [table.hash(5, base), InitiatorTable(seed: 77).hash(5, base), table.hash(6, base)]
    for path in 0..<4 {
      var other = base
      switch path {
      case 0: other.high += 1
      case 1: other.low += 1
      case 2: other.scope += 1
      default: other.port += 1
      }
      hashes.insert(table.hash(5, other))
    }
    #expect(hashes.count == 7)
  }
}

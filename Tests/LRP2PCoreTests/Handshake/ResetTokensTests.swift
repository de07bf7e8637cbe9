// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// The table together with the rows it looks into, and a dictionary that knows the answer.
private struct Checked: ~Copyable {
  struct Key: Hashable {
    var id: UInt64
    var address: Address
  }

  var table: ResetTokens
  var rows: GrowingColumn<Slot, PeerRow>
  var slots: [Key: Slot] = [:]
  var tokens: [Slot: ResetToken] = [:]
  var free: [Slot]

  init(slots count: Int, seed: UInt64 = 0x5eed) {
    table = ResetTokens(slots: count, seed: seed)
    rows = GrowingColumn(repeating: PeerRow(), count: count)
    free = Array(Slot.all(count))
  }

  mutating func insert(_ key: Key, _ random: inout TestRandom) {
    let slot = free.removeLast()
    rows[slot].remoteID = key.id
    rows[slot].address = key.address
    let token = Self.token(&random)
    table.insert(slot, token, rows)
    // The newest counts.
    if let earlier = slots[key] { forget(earlier) }
    slots[key] = slot
    tokens[slot] = token
  }

  mutating func remove(_ key: Key) {
    let slot = slots.removeValue(forKey: key)!
    table.remove(slot, rows)
    table.remove(slot, rows)
    forget(slot)
  }

  private mutating func forget(_ slot: Slot) {
    tokens[slot] = nil
    rows[slot] = PeerRow()
    free.append(slot)
  }

  static func token(_ random: inout TestRandom) -> ResetToken {
    let bytes = (0..<16).map { _ in UInt8(random.below(256)) }
    return ResetToken(bytes.raw)
  }

  func faults() -> Int {
    var faults = table.count == slots.count ? 0 : 1
    for (key, slot) in slots {
      if table.find(key.id, key.address, rows) != slot || table[slot] != tokens[slot] { faults += 1 }
      if table.find(key.id &+ 1 << 40, key.address, rows) != nil { faults += 1 }
    }
    for slot in free where table.contains(slot) { faults += 1 }
    return faults
  }
}

@Suite struct ResetTokensTests {
  private func key(_ number: Int) -> Checked.Key {
    // The same ids from several addresses, and several ids from one.
    Checked.Key(
      id: UInt64(number % 50), address: Address(high: 0, low: UInt64(number / 50), port: UInt16(number % 3)))
  }

  @Test(arguments: 0..<8) func agreesWithADictionary(seed: Int) {
    var random = TestRandom(seed: seed)
    var checked = Checked(slots: 600)
    var wrong = 0
    for step in 0..<3000 {
      let isGrowing = step / 800 % 2 == 0
      if !checked.free.isEmpty, random.happens(percent: isGrowing ? 80 : 20) {
        checked.insert(key(random.below(700)), &random)
      } else if random.happens(percent: isGrowing ? 20 : 90), !checked.slots.isEmpty {
        // Sorted, because the order of a dictionary differs from run to run.
        let known = checked.slots.sorted { $0.value.index < $1.value.index }
        checked.remove(known[random.below(known.count)].key)
      }
      if step % 10 == 0 { wrong += checked.faults() }
    }
    for key in Array(checked.slots.keys) { checked.remove(key) }
    wrong += checked.faults()
    #expect(wrong == 0)
  }

  /// One more bucket for each that is one too many, whatever there is: nobody waits for all others.
  @Test func bucketsGrowOneByOne() {
    var random = TestRandom(seed: 1)
    var checked = Checked(slots: 5000)
    var before = checked.table.capacity
    #expect(before == 16)
    for number in 0..<5000 {
      checked.insert(
        Checked.Key(id: UInt64(number), address: Address(high: 0, low: 1, port: 1)), &random)
      let capacity = checked.table.capacity
      #expect(capacity - before == (number >= 16 ? 1 : 0))
      before = capacity
    }
    #expect(checked.faults() == 0)
  }

  /// Whoever tells one id again and again makes no chain.
  @Test func ofTheSameIDAndAddressTheNewestCounts() {
    var random = TestRandom(seed: 1)
    var checked = Checked(slots: 1000)
    let same = Checked.Key(id: 5, address: Address(high: 0, low: 1, port: 1))
    for _ in 0..<900 { checked.insert(same, &random) }
    #expect(checked.table.count == 1 && checked.faults() == 0)
  }

  @Test func aSlotsTokenMayMoveAlong() {
    var random = TestRandom(seed: 2)
    var table = ResetTokens(slots: 4, seed: 9)
    var rows = GrowingColumn<Slot, PeerRow>(repeating: PeerRow(), count: 40)
    let slot = Slot(39)
    table.grow(to: 40)
    let token = Checked.token(&random)
    rows[slot].remoteID = 7
    let (old, new) = (Address(high: 0, low: 1, port: 1), Address(high: 0, low: 1, port: 2))
    rows[slot].address = old
    table.insert(slot, token, rows)
    table.remove(slot, rows)
    rows[slot].address = new
    table.insert(slot, token, rows)
    let found = (table.find(7, old, rows), table.find(7, new, rows))
    #expect(found == (nil, slot))
    #expect(table[slot] == token)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

private final class Lives {
  var count = 0
}

/// A row that owns something and tells when it goes.
private struct Row: ~Copyable {
  let lives: Lives
  var value: Int
  var owned: Column<Int>

  init(_ value: Int, _ lives: Lives) {
    self.lives = lives
    self.value = value
    owned = Column(repeating: value, count: 3)
    lives.count += 1
  }

  deinit { lives.count -= 1 }
}

@Suite struct SlotsTests {
  @Test(arguments: 0..<10)
  func agreesWithADictionary(seed: Int) {
    var random = TestRandom(seed: seed)
    let lives = Lives()
    var wrong = 0
    do {
      let reserve = seed % 4
      var slots = Slots<Int, Row>(count: seed, reserve: reserve)
      var model: [Int: Int] = [:]
      /// What retired rows were left with, newest last.
      var retired: [Int] = []
      for step in 0..<3000 {
        if slots.count == 0 || random.happens(percent: 1) { slots.grow(to: slots.count + random.below(5)) }
        guard slots.count > 0 else { continue }
        let slot = random.below(slots.count)
        if slots.contains(slot) != (model[slot] != nil) { wrong += 1 }
        let other = random.below(slots.count)
        if model[slot] == nil, random.happens(percent: 30) {
          let isRenewed = slots.insertRetired(at: slot)
          if isRenewed { slots[slot].value += 100_000 }
          let left = retired.popLast()
          if isRenewed != (left != nil) { wrong += 1 }
          if let left { model[slot] = left + 100_000 }
        } else if model[slot] == nil {
          slots.insert(Row(step, lives), at: slot)
          model[slot] = step
        } else if model[other] != nil, random.happens(percent: 10) {
          slots.exchange(slot, other)
          (model[slot], model[other]) = (model[other], model[slot])
        } else if random.happens(percent: 20) {
          let left = model.removeValue(forKey: slot)!
          slots.retire(slot)
          if retired.count < reserve { retired.append(left) }
        } else if random.happens(percent: 50) {
          slots[slot].value += 1
          model[slot]! += 1
        } else {
          slots.remove(at: slot)
          model[slot] = nil
          // Removing nothing is allowed.
          slots.remove(at: slot)
        }
        if lives.count != model.count + retired.count || slots.inUse != model.count { wrong += 1 }
        for (slot, value) in model where slots[slot].value != value || slots[slot].owned[2] > value { wrong += 1 }
      }
      if model.isEmpty { wrong += 1 }
    }
    // What was left went with the slots.
    #expect(wrong == 0 && lives.count == 0)
  }

  /// A row stays where it is while the table of slots moves.
  @Test func rowsNeverMove() {
    let lives = Lives()
    var slots = Slots<Int, Row>(count: 1)
    slots.insert(Row(5, lives), at: 0)
    func address(_ row: inout Row) -> UInt {
      unsafe withUnsafeMutablePointer(to: &row) { UInt(bitPattern: $0) }
    }
    let before = address(&slots[0])
    slots.grow(to: 10_000)
    let after = address(&slots[0])
    let value = slots[0].value
    #expect(before == after && value == 5)
  }

  /// Retired rows come back as somebody else's, the last one first, and no more of them are kept than asked for.
  @Test func retiredRowsAreRenewed() {
    let lives = Lives()
    do {
      var slots = Slots<Int, Row>(count: 4, reserve: 2)
      let isEarly = slots.insertRetired(at: 0)
      #expect(!isEarly)
      for slot in 0..<3 { slots.insert(Row(slot, lives), at: slot) }
      for slot in 0..<3 { slots.retire(slot) }
      let inUse = slots.inUse
      #expect(inUse == 0 && lives.count == 2)
      let isRenewed = slots.insertRetired(at: 3)
      slots[3].value += 10
      let value = slots[3].value
      #expect(isRenewed && value == 11 && lives.count == 2)
    }
    #expect(lives.count == 0)
  }

  @Test func noRowWhereThereIsNone() async {
    await #expect(processExitsWith: .failure) {
      let slots = Slots<Int, Column<Int>>(count: 3)
      _ = slots[1].count
    }
    await #expect(processExitsWith: .failure) {
      var slots = Slots<Int, Column<Int>>(count: 3)
      slots[1][0] = 1
    }
    await #expect(processExitsWith: .failure) {
      var slots = Slots<Int, Column<Int>>(count: 3)
      slots.insert(Column(repeating: 1, count: 1), at: 0)
      slots.exchange(0, 1)
    }
    await #expect(processExitsWith: .failure) {
      let slots = Slots<Int, Column<Int>>(count: 3)
      _ = slots.contains(3)
    }
  }

  @Test func noSecondRowInASlot() async {
    await #expect(processExitsWith: .failure) {
      var slots = Slots<Int, Column<Int>>(count: 3)
      for _ in 0..<2 { slots.insert(Column(repeating: 1, count: 1), at: 0) }
    }
    await #expect(processExitsWith: .failure) {
      var slots = Slots<Int, Column<Int>>(count: 3, reserve: 1)
      for slot in 0..<2 { slots.insert(Column(repeating: 1, count: 1), at: slot) }
      slots.retire(0)
      _ = slots.insertRetired(at: 1)
    }
    await #expect(processExitsWith: .failure) {
      var slots = Slots<Int, Column<Int>>(count: 3)
      slots.grow(to: 2)
    }
  }

  @Test func readingAheadReadsTheRowIfThereIsOne() {
    var slots = Slots<Int, UInt64>(count: 4)
    slots.insert(7, at: 2)
    let (there, none) = (slots.readAhead(2), slots.readAhead(1))
    #expect(there == 7 && none == 0)
  }
}

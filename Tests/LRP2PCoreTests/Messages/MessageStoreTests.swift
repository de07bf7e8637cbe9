// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Bytes of messages: kept in classes of size, counted, given back once.
@Suite struct MessageStoreTests {
  private func content(_ seed: Int, _ length: Int) -> [UInt8] {
    (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ seed) }
  }

  /// Room for a message exceeds it by a quarter at most, and by 63 bytes where it is small or long.
  @Test func classesOfSize() {
    var before = 0
    for length in 0...40_000 {
      let charge = MessageStore.charge(of: length)
      if charge < length || charge < before || charge > max(length + length / 4, length + 63, 64) {
        Issue.record("\(length) counts for \(charge)")
        return
      }
      before = charge
    }
    #expect(MessageStore.charge(of: 0) == 64 && MessageStore.charge(of: 64) == 64 && MessageStore.charge(of: 65) == 80)
    #expect(MessageStore.charge(of: 16_384) == 16_384 && MessageStore.charge(of: 16_385) == 16_448)
    #expect(MessageStore.charge(of: 1 << 24) == 1 << 24)
  }

  /// Every length has the room that it counts for.
  @Test func roomIsWhatIsCharged() throws {
    var store = MessageStore(maximumBytes: 1 << 30)
    for length in Array(0...2000) + [4096, 16_383, 16_384, 16_385, 100_000] {
      let reserved = store.reserve(length)
      let row = try #require(reserved)
      let (room, kept) = (store.room(row), store.length(row))
      #expect(room == MessageStore.charge(of: length) && kept == length)
      store.release(row)
    }
    let (inUse, count) = (store.bytesInUse, store.count)
    #expect(inUse == 0 && count == 0)
  }

  /// Messages come and go, and what is kept is what was stored.
  @Test(arguments: 1...8) func agreesWithAModel(seed: Int) throws {
    var random = SplitMix(state: UInt64(seed))
    let maximum = 1 << 20
    var store = MessageStore(maximumBytes: maximum)
    var kept: [(row: UInt32, content: [UInt8], references: Int)] = []
    var (charged, wrong) = (0, 0)
    for step in 0..<20_000 {
      switch random.below(10) {
      case 0..<5:
        let length = random.below(random.below(20) == 0 ? 60_000 : random.below(4) == 0 ? 5000 : 200)
        let bytes = content(step, length)
        let hasRoom = store.hasRoom(length)
        if hasRoom != (charged + MessageStore.charge(of: length) <= maximum) { wrong += 1 }
        let row = store.store(bytes.raw)
        if (row != nil) != hasRoom { wrong += 1 }
        guard let row else { break }
        if kept.contains(where: { $0.row == row }) { wrong += 1 }
        kept.append((row, bytes, 1))
        charged += MessageStore.charge(of: length)
      case 5 where !kept.isEmpty:
        let index = random.below(kept.count)
        store.retain(kept[index].row)
        kept[index].references += 1
      case 6... where !kept.isEmpty:
        let index = random.below(kept.count)
        let entry = kept[index]
        if !store.bytes(entry.row, 0, entry.content.count).equals(entry.content) { wrong += 1 }
        store.release(entry.row)
        kept[index].references -= 1
        if entry.references == 1 {
          charged -= MessageStore.charge(of: entry.content.count)
          kept.swapAt(index, kept.count - 1)
          kept.removeLast()
        }
      default: break
      }
      if store.bytesInUse != charged || store.count != kept.count || store.bytesHeld < charged { wrong += 1 }
    }
    #expect(wrong == 0)
    for entry in kept { for _ in 0..<entry.references { store.release(entry.row) } }
    let (inUse, count) = (store.bytesInUse, store.count)
    #expect(inUse == 0 && count == 0)
  }

  /// In a steady state no memory is taken.
  @Test func messagesThatComeAndGoTakeTheSameMemory() {
    var store = MessageStore(maximumBytes: 1 << 24)
    var random = SplitMix(state: 5)
    var held = 0
    for round in 0..<200 {
      let rows = (0..<100).map { _ in store.reserve(1 + random.below(1500))! }
      if round == 99 { held = store.bytesHeld }
      for row in rows { store.release(row) }
    }
    let after = store.bytesHeld
    #expect(held > 0 && after <= held + 3 << 16, "\(held), then \(after)")
    // The same lengths again and again take nothing more at all.
    var sizes: Set<Int> = []
    for _ in 0..<100 {
      let rows = [3, 64, 65, 1000, 1200, 1400, 16_384].map { store.reserve($0)! }
      sizes.insert(store.bytesHeld)
      for row in rows.reversed() { store.release(row) }
    }
    #expect(sizes.count == 1)
  }

  /// The memory of a long message goes with it.
  @Test func aLongMessageTakesWhatItNeeds() throws {
    var store = MessageStore(maximumBytes: 1 << 24)
    let small = store.reserve(100)
    let before = store.bytesHeld
    let reserved = store.reserve(1 << 20)
    let long = try #require(reserved)
    let during = store.bytesHeld
    store.release(long)
    let after = store.bytesHeld
    #expect(small != nil && during == before + 1 << 20 && after == before)
  }

  @Test func theBoundIsKept() throws {
    var store = MessageStore(maximumBytes: 1000)
    let rows = (0..<15).map { _ in store.reserve(64) }
    #expect(rows.allSatisfy { $0 != nil })
    let (inUse, more) = (store.bytesInUse, store.reserve(64))
    #expect(inUse == 960 && more == nil)
    let (isFull, least, most) = (!store.hasRoom(1), store.reserve(0), store.reserve(1 << 40))
    #expect(isFull && least == nil && most == nil)
    store.release(try #require(rows[7]))
    let again = store.reserve(1)
    #expect(again != nil)
    let negative = store.reserve(-1)
    #expect(negative == nil)
    // However much room there is, none is longer than 2^30.
    var large = MessageStore(maximumBytes: 1 << 40)
    let longest = large.reserve(1 << 30 + 1)
    #expect(longest == nil)
  }

  /// Whoever needs it keeps it, and nobody else.
  @Test func theLastReferenceGivesItBack() throws {
    var store = MessageStore(maximumBytes: 1 << 16)
    let stored = store.store(content(1, 300).raw)
    let row = try #require(stored)
    for _ in 0..<9 { store.retain(row) }
    for left in (0..<10).reversed() {
      let isSame = store.bytes(row, 0, 300).equals(content(1, 300)) && store.bytes(row, 100, 50).byteCount == 50
      #expect(isSame)
      store.release(row)
      let count = store.count
      #expect(count == (left > 0 ? 1 : 0))
    }
  }

  /// A handle means the message that it was made for, and none that has the same memory later.
  @Test func handlesBecomeVoid() throws {
    var store = MessageStore(maximumBytes: 1 << 16)
    let reserved = store.reserve(10)
    let first = try #require(reserved)
    let handle = store.handle(first)
    let found = store.row(of: handle)
    #expect(found == first)
    store.release(first)
    let released = store.row(of: handle)
    #expect(released == nil)
    let again = store.reserve(10)
    let second = try #require(again)
    #expect(second == first)
    let (old, new) = (store.row(of: handle), store.row(of: store.handle(second)))
    #expect(old == nil && new == second)
    let strange = StoredMessage(row: .max, generation: 0)
    let nobody = store.row(of: strange)
    #expect(nobody == nil)
  }

  /// Nothing is in use, and much was: all memory goes back, and handles stay void.
  @Test func whatABurstTookGoesBack() throws {
    var store = MessageStore(maximumBytes: 1 << 24)
    var rows: [UInt32] = []
    for length in stride(from: 0, to: 20_000, by: 50) { rows.append(store.reserve(length)!) }
    let handles = rows.map { store.handle($0) }
    let during = store.bytesHeld
    for row in rows.dropLast() { store.release(row) }
    let before = store.bytesHeld
    store.release(rows.last!)
    let after = store.bytesHeld
    #expect(during > 1 << 20 && before > 0 && after == 0)
    let isVoid = handles.allSatisfy { store.row(of: $0) == nil }
    #expect(isVoid)
    // And it goes on.
    let bytes = content(2, 777)
    for _ in 0..<3 {
      let stored = store.store(bytes.raw)
      let row = try #require(stored)
      let isSame = store.bytes(row, 0, 777).equals(bytes)
      #expect(isSame)
      store.release(row)
    }
    let isStillVoid = handles.allSatisfy { store.row(of: $0) == nil }
    #expect(isStillVoid)
  }

  @Test func clearedMessagesAreZeros() throws {
    var store = MessageStore(maximumBytes: 1 << 20)
    for length in [0, 1, 64, 1000, 30_000] {
      let stored = store.store([UInt8](repeating: 0xFF, count: length).raw)
      store.release(try #require(stored))
      let reserved = store.reserve(length)
      let row = try #require(reserved)
      store.clear(row)
      let isZero = store.bytes(row, 0, length).equals([UInt8](repeating: 0, count: length))
      #expect(isZero)
      store.release(row)
    }
  }
}

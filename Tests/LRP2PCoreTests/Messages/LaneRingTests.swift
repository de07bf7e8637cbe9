// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Messages that have come early in a lane, by number.
@Suite struct LaneRingTests {
  private func entry(_ number: UInt32) -> EarlyMessage {
    var entry = EarlyMessage()
    entry.kind = .whole
    entry.length = UInt16(truncatingIfNeeded: number & 0x7FFF)
    return entry
  }

  @Test func capacities() {
    #expect(LaneRing().capacity == LaneRing.smallest)
    #expect(LaneRing.capacity(from: 16, for: 15) == 16 && LaneRing.capacity(from: 16, for: 16) == 32)
    #expect(LaneRing.capacity(from: 64, for: 3) == 64 && LaneRing.capacity(from: 16, for: 1 << 20) == 1 << 21)
  }

  /// However often it grows, wherever the numbers stand: each entry is found under its number, and none other is.
  @Test(arguments: [0, 1, 5, 15, 16, 1000, (1 << 30) - 1, (1 << 30) - 20, 1 << 29] as [UInt32])
  func growingKeepsEntries(expected: UInt32) {
    var ring = LaneRing()
    var random = SplitMix(state: UInt64(expected) &+ 7)
    var model: [UInt32: UInt16] = [:]
    var wrong = 0
    for step in 0..<600 {
      let ahead = 1 + random.below(min(step + 2, 1500))
      let number = (expected &+ UInt32(ahead)) & MessageFrame.numberMask
      let capacity = LaneRing.capacity(from: ring.capacity, for: ahead)
      if capacity > ring.capacity { ring.grow(to: capacity, expected: expected) }
      let old = ring.set(number, entry(number))
      if (old.kind != .none) != (model[number] != nil) { wrong += 1 }
      model[number] = entry(number).length
      if ring.count != model.count { wrong += 1 }
      if step % 50 != 49 { continue }
      for ahead in 0..<ring.capacity {
        let number = (expected &+ UInt32(ahead)) & MessageFrame.numberMask
        let found = ring[number]
        if (found.kind != .none) != (model[number] != nil) { wrong += 1 }
        if let length = model[number], found.length != length { wrong += 1 }
      }
    }
    let capacity = ring.capacity
    #expect(wrong == 0 && capacity >= 512)
  }

  /// As the lane goes on they are taken out, and the places are used again.
  @Test func numbersMoveOn() {
    var ring = LaneRing()
    var expected: UInt32 = (1 << 30) - 40
    var wrong = 0
    for _ in 0..<100 {
      for ahead in 1..<16 {
        let number = (expected &+ UInt32(ahead)) & MessageFrame.numberMask
        if ring.set(number, entry(number)).kind != .none { wrong += 1 }
      }
      if ring.count != 15 { wrong += 1 }
      for _ in 0..<15 {
        expected = MessageFrame.next(expected)
        let taken = ring.set(expected, EarlyMessage())
        if taken.kind != .whole || taken.length != entry(expected).length { wrong += 1 }
      }
      if ring.count != 0 { wrong += 1 }
      expected = MessageFrame.next(expected)
    }
    let capacity = ring.capacity
    #expect(wrong == 0 && capacity == LaneRing.smallest)
  }

  @Test func allAreTakenOut() {
    var ring = LaneRing()
    ring.grow(to: 64, expected: 100)
    for number in 101..<140 as Range<UInt32> where number % 3 == 0 { _ = ring.set(number, entry(number)) }
    var taken: Set<UInt16> = []
    for index in 0..<ring.capacity {
      let entry = ring.remove(at: index)
      if entry.kind != .none { taken.insert(entry.length) }
    }
    let count = ring.count
    #expect(count == 0 && taken == Set((101..<140).filter { $0 % 3 == 0 }))
  }
}

import LRP2PCore
import Testing

@Suite struct IntervalSetTests {
  /// What is wrong with `set`, told by a set of numbers counted from `origin`.
  private func faults(_ set: borrowing IntervalSet, _ model: Set<Int>, origin: UInt32) -> Int {
    var faults = 0
    var covered = 0
    for index in 0..<set.count {
      let range = set[index]
      if range.count <= 0 { faults += 1 }
      // Sorted, apart, and not adjacent either.
      if index > 0, range.lower.distance(since: set[index - 1].upper) <= 0 { faults += 1 }
      for number in 0..<max(range.count, 0) {
        if !model.contains(range.lower.distance(since: origin) + number) { faults += 1 }
      }
      covered += range.count
    }
    if covered != model.count || set.isEmpty != model.isEmpty { faults += 1 }
    return faults
  }

  @Test(arguments: [0, 1, .max - 100, .max - 3000, 1 << 31 - 200] as [UInt32], 0..<8)
  func agreesWithASet(origin: UInt32, seed: Int) {
    var random = TestRandom(seed: Int(origin) + seed)
    var set = IntervalSet()
    var model: Set<Int> = []
    var floor = 0
    var wrong = 0
    // Dense, sparse enough for many ranges, and in between.
    let spread = [60, 600, 3000][seed % 3]
    let longest = [3, 1, 40][seed % 3]
    for step in 0..<1200 {
      let lower = floor + random.below(spread)
      let upper = lower + random.below(longest + 1)
      set.insert(SequenceRange(lower: origin &+ UInt32(lower), upper: origin &+ UInt32(upper)))
      model.formUnion(lower..<upper)
      if random.happens(percent: 4) {
        floor += random.below(random.happens(percent: 20) ? spread * 2 : spread / 4)
        set.removeAll(before: origin &+ UInt32(floor))
        model = model.filter { $0 >= floor }
      }
      for _ in 0..<3 {
        let number = floor + random.below(spread + 50)
        if set.contains(origin &+ UInt32(number)) != model.contains(number) { wrong += 1 }
        let index = set.firstIndex(endingAfter: origin &+ UInt32(number))
        if index > 0, number < set[index - 1].upper.distance(since: origin) { wrong += 1 }
        if index < set.count, number >= set[index].upper.distance(since: origin) { wrong += 1 }
      }
      if step % 8 == 0 { wrong += faults(set, model, origin: origin) }
    }
    wrong += faults(set, model, origin: origin)
    #expect(wrong == 0)
    set.removeAll(before: origin &+ UInt32(floor + 2 * spread + 100))
    let isEmpty = set.isEmpty
    #expect(isEmpty)
  }

  /// Ranges that overlap, touch, contain, bridge: by hand, across the wrap.
  @Test func merging() {
    var set = IntervalSet()
    func ranges(_ set: borrowing IntervalSet) -> [SequenceRange] { (0..<set.count).map { set[$0] } }
    func range(_ lower: Int32, _ upper: Int32) -> SequenceRange {
      SequenceRange(lower: UInt32(bitPattern: lower), upper: UInt32(bitPattern: upper))
    }
    set.insert(range(-10, -8))
    set.insert(range(4, 6))
    set.insert(range(-3, 1))
    #expect(ranges(set) == [range(-10, -8), range(-3, 1), range(4, 6)])
    set.insert(range(1, 2))
    #expect(ranges(set) == [range(-10, -8), range(-3, 2), range(4, 6)])
    set.insert(range(-4, -3))
    #expect(ranges(set) == [range(-10, -8), range(-4, 2), range(4, 6)])
    set.insert(range(-2, 0))
    #expect(ranges(set) == [range(-10, -8), range(-4, 2), range(4, 6)])
    set.insert(range(2, 4))
    #expect(ranges(set) == [range(-10, -8), range(-4, 6)])
    set.insert(range(7, 7))
    #expect(ranges(set) == [range(-10, -8), range(-4, 6)])
    set.insert(range(-12, 8))
    #expect(ranges(set) == [range(-12, 8)])
    set.removeAll(before: UInt32(bitPattern: -1))
    #expect(ranges(set) == [range(-1, 8)])
    set.removeAll(before: 8)
    #expect(ranges(set).isEmpty)
  }
}

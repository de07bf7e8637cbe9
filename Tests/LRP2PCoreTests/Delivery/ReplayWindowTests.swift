// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// What the window must say, told by a set.
private struct Model {
  var seen: Set<UInt64> = []
  var highest: UInt64?
  var words: UInt64
  /// Numbers below are refused for good.
  var floor: UInt64 = 0

  func accepts(_ number: UInt64) -> Bool { number >= floor && !seen.contains(number) }
  mutating func insert(_ number: UInt64) {
    if number < floor { return }
    seen.insert(number)
    highest = max(highest ?? 0, number)
    let top = highest! >> 6
    if top >= words { floor = max(floor, (top - words + 1) << 6) }
  }
}

@Suite struct ReplayWindowTests {
  @Test(arguments: 0..<30)
  func agreesWithASet(seed: UInt64) {
    var random = SplitMix(state: seed)
    var bits = [64, 128, 1024][Int(seed % 3)]
    var window = ReplayWindow(bits: bits)
    var model = Model(words: UInt64(bits / 64))
    #expect(window.highest == nil)
    let start: UInt64 = [0, 5, 1 << 40, .max - 200_000][Int(random.next() % 4)]
    var wrong = 0
    for _ in 0..<20_000 {
      let base = model.highest ?? start
      let number: UInt64
      switch random.next() % 100 {
      case 0..<50: number = base &+ 1
      case 50..<70: number = base &+ random.next() % 100
      case 70..<98: number = base &- random.next() % UInt64(bits * 2)
      case 98: number = base &+ random.next() % UInt64(bits * 3)
      default: number = random.next() % 20 == 0 ? random.next() : base
      }
      // Around the ends of the number space the arithmetic of this test would wrap; the window's does not.
      let expected = model.accepts(number)
      if window.accepts(number) != expected { wrong += 1 }
      switch random.next() % 8 {
      case 0: break
      case 1..<4:
        window.insert(number)
        model.insert(number)
        if window.accepts(number) { wrong += 1 }
      default:
        if window.take(number) != expected { wrong += 1 }
        if expected { model.insert(number) }
        if window.accepts(number) { wrong += 1 }
      }
      if random.next() % 2_000 == 0 && bits < 1 << 16 {
        bits *= random.next() % 2 == 0 ? 2 : 8
        window.grow(toBits: bits)
        model.words = UInt64(bits / 64)
        #expect(window.bits == bits)
      }
      if window.highest != model.highest { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  // MARK: What ACKs tell

  /// The lengths of the runs, as they are told.
  private static func lengths(_ window: borrowing ReplayWindow, downFrom largest: UInt64) -> [UInt64] {
    let runs = window.runs(downFrom: largest)
    var arena = Arena(byteCount: 32)
    var span = arena.mutableBytes(0, 32)
    runs.write(into: &span, at: 0)
    let written = arena.bytes(0, runs.byteCount)
    var at = 0
    var lengths: [UInt64] = []
    while let length = Varint.read(written, at: &at) { lengths.append(length) }
    return lengths
  }

  @Test func runsAreToldWhileANumberIsMissing() {
    var window = ReplayWindow()
    for number in 0..<100 as Range<UInt64> where ![3, 40, 41, 63, 64].contains(number) { window.insert(number) }
    #expect(Self.lengths(window, downFrom: 99) == [35, 2, 21, 2, 36, 1, 3])
    // From a lower one down, and from one that is missing itself: nothing.
    #expect(Self.lengths(window, downFrom: 62) == [21, 2, 36, 1, 3])
    #expect(Self.lengths(window, downFrom: 41) == [])
    #expect(Self.lengths(window, downFrom: 100) == [])
    for number in [3, 40, 41, 63, 64] as [UInt64] { window.insert(number) }
    // Late, but all there.
    #expect(Self.lengths(window, downFrom: 99) == [])
  }

  @Test func onlyTheNewestNumbersAreTold() {
    var window = ReplayWindow(bits: 4096)
    window.insert(0)
    window.insert(5000, from: 2)
    #expect(Self.lengths(window, downFrom: 5001) == [])
    window.insert(5003)
    #expect(Self.lengths(window, downFrom: 5003) == [1, 1, 1022])
    // What the bitmap does not reach is not told.
    var small = ReplayWindow(bits: 64)
    small.insert(100)
    small.insert(102)
    #expect(Self.lengths(small, downFrom: 102) == [1, 1, 1, 36])
    #expect(Self.lengths(ReplayWindow(), downFrom: 0) == [])
  }

  /// What the bitmap refuses without having seen it, before it has grown and behind a rest, is not told to have come.
  @Test func whatIsNotKnownIsNotTold() {
    var grown = ReplayWindow(bits: 64)
    for number in stride(from: 0, through: 130, by: 2) as StrideThrough<UInt64> { grown.insert(number) }
    grown.grow(toBits: 1024)
    #expect(Self.lengths(grown, downFrom: 130) == [1, 1, 1])
    var woken = ReplayWindow()
    woken.insert(1)
    woken.insert(1000)
    woken.restart(from: woken.rest)
    // The block of 1000 and four before it.
    #expect(Self.lengths(woken, downFrom: 1000) == [1, 1000 - 11 * 64])
  }

  /// As many runs as 32 bytes hold, and every number told as it is.
  @Test(arguments: 0..<40)
  func runsAgreeWithASet(seed: UInt64) {
    var random = SplitMix(state: seed)
    let bits = [64, 1024, 8192][Int(seed % 3)]
    var window = ReplayWindow(bits: bits)
    var seen: Set<UInt64> = []
    var newest: UInt64 = [0, 1 << 24 - 500, 1 << 60][Int(seed % 3)]
    let missing = [1, 10, 50, 90][Int(seed / 3 % 4)]
    var wrong = 0
    var told = 0
    for _ in 0..<3000 {
      newest += random.below(100) < missing ? 1 + UInt64(random.below(3)) : 1
      let isNew = window.take(newest)
      seen.insert(newest)
      if !isNew { wrong += 1 }
      let late = newest - min(newest, UInt64(random.below(40)))
      if random.below(10) == 0, window.accepts(late) {
        window.insert(late)
        seen.insert(late)
      }
      guard random.below(20) == 0 else { continue }
      var number = newest
      let lengths = Self.lengths(window, downFrom: newest)
      if lengths.count == 1 { wrong += 1 }
      for (index, length) in lengths.enumerated() {
        for _ in 0..<length {
          if seen.contains(number) != (index % 2 == 0) { wrong += 1 }
          number &-= 1
          told += 1
        }
      }
      if lengths.isEmpty, bits > 64, (newest - min(newest, 60)...newest).contains(where: { !seen.contains($0) }),
        seen.count > 100
      {
        wrong += 1
      }
    }
    #expect(wrong == 0 && told > 100)
  }

  @Test func edges() {
    var window = ReplayWindow()
    #expect(window.bits == 1024 && window.accepts(0) && window.accepts(.max))
    window.insert(0)
    #expect(!window.accepts(0) && window.accepts(1) && window.accepts(.max))
    window.insert(.max)
    #expect(!window.accepts(.max) && window.accepts(.max - 1) && !window.accepts(0) && !window.accepts(1))
    #expect(window.accepts(.max - 1023) && !window.accepts(.max - 1024))
    window.grow(toBits: 2048)
    // Too old before: nobody knows.
    #expect(!window.accepts(.max - 1024) && window.accepts(.max - 1023) && !window.accepts(.max))
    #expect(window.highest == .max)
  }

  /// What is kept while nothing moves accepts nothing that the window would refuse, and all that is newer than 64 numbers.
  @Test(arguments: 0..<20)
  func restAcceptsNoMoreThanTheWindow(seed: Int) {
    var random = TestRandom(seed: seed)
    var window = ReplayWindow()
    let empty = window.rest
    #expect(empty.accepts(0) && empty.accepts(1 << 40))
    var number: UInt64 = UInt64(random.below(2)) << 40
    for _ in 0..<300 {
      number += UInt64(random.below(4))
      if random.happens(percent: 80) { window.insert(number - UInt64(random.below(Int(min(number, 40)) + 1))) }
    }
    let rest = window.rest
    var woken = ReplayWindow(bits: 4096)
    woken.insert(7)
    woken.restart(from: rest)
    #expect(woken.highest == window.highest && woken.bits == 1024)
    let highest = window.highest!
    var wrong = 0
    for number in highest - min(highest, 3000)...highest + 100 {
      if rest.accepts(number) != woken.accepts(number) { wrong += 1 }
      if rest.accepts(number), !window.accepts(number) { wrong += 1 }
      if number + 64 > highest, rest.accepts(number) != window.accepts(number) { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func itHasGrown() {
    var window = ReplayWindow()
    #expect(window.isSmall == true)
    window.grow(toBits: 2048)
    #expect(window.isSmall == false)
    window.restart(from: ReplayWindow.Rest())
    #expect(window.isSmall == true)
  }

  /// Several numbers in a row are remembered as one by one.
  @Test(arguments: 0..<30)
  func rowsAreWhatSingleNumbersAre(seed: UInt64) {
    var random = SplitMix(state: seed)
    let bits = [64, 128, 1024][Int(seed % 3)]
    var together = ReplayWindow(bits: bits)
    var singly = ReplayWindow(bits: bits)
    var next = [0, 63, 1 << 40][Int(seed / 3 % 3)] as UInt64
    var wrong = 0
    for _ in 0..<300 {
      next += random.next() % (random.next() % 8 == 0 ? 2_000 : 3)
      let count = 1 + random.below(150)
      together.insert(count, from: next)
      for number in next..<next + UInt64(count) { singly.insert(number) }
      next += UInt64(count)
      if together.highest != singly.highest { wrong += 1 }
      for number in next - min(next, UInt64(2 * bits))..<next + 100
      where together.accepts(number) != singly.accepts(number) { wrong += 1 }
    }
    #expect(wrong == 0)
  }
}

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

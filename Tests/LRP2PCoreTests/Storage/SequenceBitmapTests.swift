// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// A bitmap and a set side by side, within a moving window.
@Suite struct SequenceBitmapTests {
  @Test(arguments: 0..<24)
  func agreesWithASet(seed: Int) {
    var random = TestRandom(seed: seed)
    var bitmap = SequenceBitmap()
    var model: Set<UInt32> = []
    var lower: UInt32 = [0, .max - 700, 12_345][seed % 3]
    var span = 64
    let largest = [64, 1024, 8192, 300_000][seed % 4]
    for step in 0..<400 {
      if span < largest, random.happens(percent: 10) {
        span *= 2
        bitmap.grow(to: span, lower: lower, upper: lower &+ UInt32(span / 2))
      }
      let from = UInt32(random.below(span))
      let count = UInt32(random.below(random.happens(percent: 20) ? span : 100))
      let start = lower &+ from
      let end = lower &+ min(from + count, UInt32(span))
      if random.below(150) == 0 {
        // As small as at first: what it held is forgotten.
        bitmap.removeAll()
        model.removeAll()
        let capacity = bitmap.capacity
        #expect(capacity == 64)
        bitmap.grow(to: span, lower: lower, upper: lower &+ 64)
      }
      switch random.below(5) {
      case 0:
        bitmap.insert(start)
        model.insert(start)
      case 1, 2:
        bitmap.insert(start, upTo: end)
        var number = start
        while number != end {
          model.insert(number)
          number &+= 1
        }
      case 3:
        bitmap.remove(start, upTo: end)
        var number = start
        while number != end {
          model.remove(number)
          number &+= 1
        }
      default:
        // The window moves on.
        let next = lower &+ UInt32(random.below(span / 4))
        bitmap.remove(lower, upTo: next)
        while lower != next {
          model.remove(lower)
          lower &+= 1
        }
      }
      guard step % 4 == 0 else { continue }
      let a = UInt32(random.below(span))
      let b = a + UInt32(random.below(span - Int(a) + 1))
      let range = (a..<b).map { lower &+ $0 }
      for isMember in [true, false] {
        let first = range.first { model.contains($0) == isMember } ?? lower &+ b
        let last = range.last { model.contains($0) == isMember }
        #expect(bitmap.first(isMember, from: lower &+ a, to: lower &+ b) == first)
        #expect(bitmap.last(isMember, before: lower &+ b, downTo: lower &+ a) == last)
      }
      #expect(bitmap.contains(lower &+ a) == model.contains(lower &+ a))
    }
  }

  @Test func aRingIsAPowerOfTwo() async {
    var bitmap = SequenceBitmap()
    bitmap.insert(70)
    bitmap.grow(to: 64, lower: 64, upper: 128)
    // Never narrower.
    let (capacity, isMember) = (bitmap.capacity, bitmap.contains(70))
    #expect(capacity == 64 && isMember)
    await #expect(processExitsWith: .failure) {
      var bitmap = SequenceBitmap()
      bitmap.grow(to: 192, lower: 0, upper: 64)
    }
  }
}

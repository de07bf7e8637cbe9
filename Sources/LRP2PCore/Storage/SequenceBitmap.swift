// SPDX-License-Identifier: MIT
/// A set of sequence numbers within one window, as a ring of bits with a summary of its words: members are found,
/// added and removed in constant time, and the next or previous (non-)member by word, whatever the window holds.
///
/// All members lie in a range of at most `capacity` numbers; queries and changes keep to such a range.
package struct SequenceBitmap: ~Copyable {
  private var words: Column<UInt64>
  /// A bit for each word: it has a member; it lacks one.
  private var occupied: Column<UInt64>
  private var lacking: Column<UInt64>
  /// There have been members since it was empty by `removeAll`: without, that need not touch any of these.
  private var hasHadMembers = false

  package init() {
    words = Column(repeating: 0, count: 1)
    occupied = Column(repeating: 0, count: 1)
    lacking = Column(repeating: 1, count: 1)
  }

  /// Empty again, and as small as at first.
  package mutating func removeAll() {
    guard hasHadMembers else { return }
    hasHadMembers = false
    guard words.count == 1 else {
      self = SequenceBitmap()
      return
    }
    words[0] = 0
    occupied[0] = 0
    lacking[0] = 1
  }

  /// Numbers that it can tell apart: a power of two.
  package var capacity: Int { words.count * 64 }

  package func contains(_ number: UInt32) -> Bool { words[word(of: number)] & bit(number) != 0 }

  package mutating func insert(_ number: UInt32) {
    hasHadMembers = true
    let index = word(of: number)
    words[index] |= bit(number)
    summarise(index)
  }

  package mutating func insert(_ lower: UInt32, upTo upper: UInt32) { change(lower, upper, to: true) }
  package mutating func remove(_ lower: UInt32, upTo upper: UInt32) { change(lower, upper, to: false) }

  private mutating func change(_ lower: UInt32, _ upper: UInt32, to isMember: Bool) {
    hasHadMembers = hasHadMembers || isMember
    var number = lower
    while number.precedes(upper) {
      let index = word(of: number)
      let mask = Self.mask(number, upper)
      if isMember { words[index] |= mask } else { words[index] &= ~mask }
      summarise(index)
      number = (number | 63) &+ 1
    }
  }

  /// The first number in `from ..< to` that is a member (or is none); `to` when there is no such number.
  package func first(_ isMember: Bool, from: UInt32, to: UInt32) -> UInt32 {
    var number = from
    while number.precedes(to) {
      let index = word(of: number)
      let bits = (isMember ? words[index] : ~words[index]) >> UInt64(number & 63)
      if bits != 0 {
        let found = number &+ UInt32(bits.trailingZeroBitCount)
        return found.precedes(to) ? found : to
      }
      number = (number | 63) &+ 1
      // Whole words without what is wanted, a summary word at a time.
      while number.precedes(to) {
        let index = word(of: number)
        let summary = (isMember ? occupied[index >> 6] : lacking[index >> 6]) >> UInt64(index & 63)
        if summary != 0 {
          number = number &+ 64 &* UInt32(summary.trailingZeroBitCount)
          break
        }
        number = number &+ 64 &* UInt32(min(64 - index & 63, words.count - index))
      }
    }
    return to
  }

  /// The last number in `downTo ..< before` that is a member (or is none); `nil` when there is no such number.
  package func last(_ isMember: Bool, before: UInt32, downTo: UInt32) -> UInt32? {
    var end = before
    while downTo.precedes(end) {
      let number = end &- 1
      let index = word(of: number)
      let bits = (isMember ? words[index] : ~words[index]) << UInt64(63 - number & 63)
      if bits != 0 {
        let found = number &- UInt32(bits.leadingZeroBitCount)
        return found.precedes(downTo) ? nil : found
      }
      end = number & ~63
      while downTo.precedes(end) {
        let index = word(of: end &- 1)
        let summary = (isMember ? occupied[index >> 6] : lacking[index >> 6]) << UInt64(63 - index & 63)
        if summary != 0 {
          end = end &- 64 &* UInt32(summary.leadingZeroBitCount)
          break
        }
        end = end &- 64 &* UInt32(index & 63 + 1)
      }
    }
    return nil
  }

  /// Widens to `capacity`, a power of two; the members lie in `lower ..< upper`, as far as the old capacity reaches.
  package mutating func grow(to capacity: Int, lower: UInt32, upper: UInt32) {
    guard capacity > self.capacity else { return }
    var grown = SequenceBitmap(words: (capacity + 63) / 64)
    grown.hasHadMembers = true
    let upper = upper &- lower > UInt32(self.capacity) ? lower &+ UInt32(self.capacity) : upper
    var number = lower
    while number.precedes(upper) {
      let index = grown.word(of: number)
      grown.words[index] |= words[word(of: number)] & Self.mask(number, upper)
      grown.summarise(index)
      number = (number | 63) &+ 1
    }
    self = grown
  }

  private init(words count: Int) {
    precondition(count & (count - 1) == 0, "a ring is a power of two")
    words = Column(repeating: 0, count: count)
    occupied = Column(repeating: 0, count: (count + 63) / 64)
    lacking = Column(repeating: count < 64 ? (1 << UInt64(count)) - 1 : .max, count: (count + 63) / 64)
  }

  private mutating func summarise(_ index: Int) {
    let bit: UInt64 = 1 << UInt64(index & 63)
    if words[index] == 0 { occupied[index >> 6] &= ~bit } else { occupied[index >> 6] |= bit }
    if words[index] == .max { lacking[index >> 6] &= ~bit } else { lacking[index >> 6] |= bit }
  }

  /// The bits of `number ..< upper` within the word of `number`.
  private static func mask(_ number: UInt32, _ upper: UInt32) -> UInt64 {
    let first = UInt64(number & 63)
    let count = UInt64(min(upper &- number, 64 - number & 63))
    return (count == 64 ? .max : (1 << count) - 1) << first
  }

  @inline(__always) private func word(of number: UInt32) -> Int { Int(number >> 6) & (words.count - 1) }
  @inline(__always) private func bit(_ number: UInt32) -> UInt64 { 1 << UInt64(number & 63) }
}

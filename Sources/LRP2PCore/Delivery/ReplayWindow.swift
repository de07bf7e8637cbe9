// SPDX-License-Identifier: MIT
/// Which packet numbers of one peer have been seen: a sliding bitmap, as a ring of 64-bit words (RFC 6479).
///
/// It slides by whole words: with `n` bits, at least the newest `n − 63` and at most the newest `n` numbers are told
/// apart; what is older is refused. Test with `accepts` before authentication, `insert` after it.
package struct ReplayWindow: ~Copyable {
  private var words: Column<UInt64>
  private var newest: UInt64 = 0
  private var isEmpty = true
  /// From here on no number was left out, up to the newest, when it came.
  private var gapsEnd: UInt64 = 0
  /// Below it a number is refused whether it was seen or not.
  private var known: UInt64 = 0

  private static var usualBits: Int { 1024 }

  /// - Parameter bits: A power of two, 64 or more.
  package init(bits: Int = Self.usualBits) {
    precondition(bits >= 64 && bits & (bits - 1) == 0, "a replay window is a power of two")
    words = Column(repeating: 0, count: bits / 64)
  }

  package var bits: Int { words.count * 64 }

  /// Whether it has never grown.
  package var isSmall: Bool { bits <= Self.usualBits }

  /// The highest number inserted.
  package var highest: UInt64? { isEmpty ? nil : newest }

  /// Whether `packetNumber` is neither known to have been seen nor too old to tell.
  package func accepts(_ packetNumber: UInt64) -> Bool {
    if isEmpty { return true }
    let block = packetNumber >> 6
    let top = newest >> 6
    if block > top { return true }
    if top - block >= UInt64(words.count) { return false }
    return words[slot(block)] & bit(packetNumber) == 0
  }

  /// `accepts` and then `insert`, which for the next number in the same word is little.
  /// - Returns: whether it was accepted.
  @inline(__always)
  package mutating func take(_ packetNumber: UInt64) -> Bool {
    if !isEmpty, packetNumber > newest, packetNumber >> 6 == newest >> 6 {
      if packetNumber != newest + 1 { gapsEnd = packetNumber }
      newest = packetNumber
      words[slot(packetNumber >> 6)] |= bit(packetNumber)
      return true
    }
    guard accepts(packetNumber) else { return false }
    insert(packetNumber)
    return true
  }

  /// Remembers `packetNumber`. Constant work for the next number, at most one pass over the bitmap for a jump.
  package mutating func insert(_ packetNumber: UInt64) {
    let block = packetNumber >> 6
    if isEmpty {
      isEmpty = false
      newest = packetNumber
      gapsEnd = packetNumber
    } else if packetNumber > newest {
      if packetNumber != newest + 1 { gapsEnd = packetNumber }
      let top = newest >> 6
      // The words that come into use held numbers that are now too old.
      var ahead = min(block - top, UInt64(words.count))
      while ahead > 0 {
        words[slot(block - ahead + 1)] = 0
        ahead -= 1
      }
      newest = packetNumber
    } else if (newest >> 6) - block >= UInt64(words.count) {
      return
    }
    words[slot(block)] |= bit(packetNumber)
  }

  /// Remembers `count` numbers from `packetNumber` on, which is higher than any before.
  package mutating func insert(_ count: Int, from packetNumber: UInt64) {
    precondition(count > 0 && (isEmpty || packetNumber > newest), "newer than any before")
    var first = packetNumber
    let end = packetNumber + UInt64(count)
    while first < end {
      // The word as a whole: what of it was seen before stands in front of `first`.
      insert(first)
      let next = min((first | 63) + 1, end)
      words[slot(first >> 6)] |= (.max << (first & 63)) & (.max >> (63 - (next - 1) & 63))
      newest = next - 1
      first = next
    }
  }

  /// Widens to `toBits`, a power of two. Numbers that had become too old to tell stay refused.
  package mutating func grow(toBits bits: Int) {
    precondition(bits >= self.bits && bits & (bits - 1) == 0, "a replay window is a power of two and never shrinks")
    if bits == self.bits { return }
    let count = bits / 64
    var grown = Column<UInt64>(repeating: 0, count: count)
    if !isEmpty {
      let top = newest >> 6
      known = max(known, oldest)
      var age: UInt64 = 0
      while age < UInt64(count) && age <= top {
        let block = top - age
        grown[Int(truncatingIfNeeded: block) & (count - 1)] = age < UInt64(words.count) ? words[slot(block)] : .max
        age += 1
      }
    }
    words = grown
  }

  /// The first number that the bitmap reaches.
  private var oldest: UInt64 {
    let blocks = newest >> 6 &+ 1
    return (blocks - min(blocks, UInt64(words.count))) << 6
  }

  // MARK: ACKs

  /// So many of the newest numbers are told of in ACKs.
  private static var told: UInt64 { 1024 }

  /// Which of the newest numbers have been seen, downward from `largest`; empty where none is missing.
  /// Cost: a step for each run and for each 64 numbers, as long as a number was left out lately.
  package func runs(downFrom largest: UInt64) -> PacketRuns {
    guard !isEmpty, largest <= newest, newest - gapsEnd < Self.told else { return PacketRuns() }
    let end = max(largest + 1 - min(largest + 1, Self.told), oldest, known)
    var runs = PacketRuns()
    var isSeen = true
    // One behind the first number of the run.
    var upper = largest + 1
    while upper > end {
      var lower = upper
      while lower > end {
        let last = lower - 1
        // Those of the word that are not like the run, the last at the top.
        let other = (words[slot(last >> 6)] ^ (isSeen ? .max : 0)) << (63 - (last & 63))
        let alike = min(UInt64(other.leadingZeroBitCount), (last & 63) + 1)
        lower = max(lower - alike, end)
        if other != 0 { break }
      }
      // It ends where it began only if `largest` has not been seen itself.
      guard lower < upper, runs.append(Int(upper - lower)) else { break }
      if lower == end, isSeen, upper == largest + 1 { return PacketRuns() }
      upper = lower
      isSeen.toggle()
    }
    return runs
  }

  // MARK: Rest

  /// The newest 257 to 320 numbers only: what a connection keeps of its window while nothing moves.
  package struct Rest: BitwiseCopyable {
    fileprivate static var blocks: Int { 5 }
    fileprivate var newest: UInt64 = 0
    /// The block of 64 of the newest number, and those before it.
    fileprivate var words = InlineArray<5, UInt64>(repeating: 0)
    fileprivate var isEmpty = true

    package init() {}

    package func accepts(_ packetNumber: UInt64) -> Bool {
      let block = packetNumber >> 6
      let top = newest >> 6
      if isEmpty || block > top { return true }
      if top - block >= UInt64(Self.blocks) { return false }
      return words[Int(top - block)] & 1 << (packetNumber & 63) == 0
    }
  }

  package var rest: Rest {
    var rest = Rest()
    let top = newest >> 6
    rest.newest = newest
    for age in 0..<Rest.blocks where UInt64(age) <= top && age < words.count {
      rest.words[age] = words[slot(top - UInt64(age))]
    }
    rest.isEmpty = isEmpty
    return rest
  }

  /// Becomes the window of a connection that goes on, in the memory of another; what `rest` does not know of counts as seen.
  package mutating func restart(from rest: Rest) {
    if words.count != Self.usualBits / 64 { words = Column(repeating: 0, count: Self.usualBits / 64) }
    newest = rest.newest
    gapsEnd = newest
    known = 0
    isEmpty = rest.isEmpty
    for index in 0..<words.count { words[index] = isEmpty ? 0 : .max }
    guard !isEmpty else { return }
    let top = newest >> 6
    known = (top + 1 - min(top + 1, UInt64(Rest.blocks))) << 6
    for age in 0..<Rest.blocks where UInt64(age) <= top { words[slot(top - UInt64(age))] = rest.words[age] }
  }

  @inline(__always) private func slot(_ block: UInt64) -> Int { Int(truncatingIfNeeded: block) & (words.count - 1) }
  @inline(__always) private func bit(_ packetNumber: UInt64) -> UInt64 { 1 << (packetNumber & 63) }
}

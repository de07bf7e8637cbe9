/// A half-open range of sequence numbers in serial order.
package struct SequenceRange: BitwiseCopyable, Equatable {
  package var lower: UInt32
  package var upper: UInt32
  package init(lower: UInt32, upper: UInt32) {
    self.lower = lower
    self.upper = upper
  }
  package var count: Int { upper.distance(since: lower) }
}

/// A set of sequence numbers as disjoint, non-adjacent ranges in serial order, found by binary search. All members
/// lie less than 2^31 apart, which the window guarantees. The front is trimmed without moving the rest.
package struct IntervalSet: ~Copyable {
  private var ranges: Column<SequenceRange>
  private var head = 0
  package private(set) var count = 0

  private static var filler: SequenceRange { SequenceRange(lower: 0, upper: 0) }

  package init() { ranges = Column(repeating: Self.filler, count: 4) }

  package var isEmpty: Bool { count == 0 }

  package subscript(index: Int) -> SequenceRange {
    precondition(index >= 0 && index < count)
    return ranges[head + index]
  }

  /// Index of the first range that ends behind `number`.
  package func firstIndex(endingAfter number: UInt32) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if number.precedes(ranges[head + middle].upper) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  package func contains(_ number: UInt32) -> Bool {
    let index = firstIndex(endingAfter: number)
    return index < count && !number.precedes(ranges[head + index].lower)
  }

  package mutating func insert(_ range: SequenceRange) {
    guard range.lower != range.upper else { return }
    // Ranges touching or overlapping [lower, upper] merge into one.
    var first = firstIndex(endingAfter: range.lower)
    if first > 0, ranges[head + first - 1].upper == range.lower { first -= 1 }
    var merged = range
    var last = first
    while last < count, !range.upper.precedes(ranges[head + last].lower) {
      if ranges[head + last].lower.precedes(merged.lower) { merged.lower = ranges[head + last].lower }
      if merged.upper.precedes(ranges[head + last].upper) { merged.upper = ranges[head + last].upper }
      last += 1
    }
    if last == first {
      makeRoom(at: first)
      ranges[head + first] = merged
    } else {
      ranges[head + first] = merged
      close(from: first + 1, to: last)
    }
  }

  /// Removes everything before `number`.
  package mutating func removeAll(before number: UInt32) {
    while count > 0, !number.precedes(ranges[head].upper) {
      head += 1
      count -= 1
    }
    if count == 0 {
      head = 0
      if ranges.count > 256 { ranges = Column(repeating: Self.filler, count: 4) }
    } else if ranges[head].lower.precedes(number) {
      ranges[head].lower = number
    }
  }

  private mutating func makeRoom(at index: Int) {
    if head + count == ranges.count {
      if head >= ranges.count / 2 {
        for i in 0..<count { ranges[i] = ranges[head + i] }
      } else {
        var larger = Column(repeating: Self.filler, count: ranges.count * 2)
        for i in 0..<count { larger[i] = ranges[head + i] }
        ranges = larger
      }
      head = 0
    }
    var i = count
    while i > index {
      ranges[head + i] = ranges[head + i - 1]
      i -= 1
    }
    count += 1
  }

  private mutating func close(from: Int, to: Int) {
    let removed = to - from
    guard removed > 0 else { return }
    var i = to
    while i < count {
      ranges[head + i - removed] = ranges[head + i]
      i += 1
    }
    count -= removed
  }
}

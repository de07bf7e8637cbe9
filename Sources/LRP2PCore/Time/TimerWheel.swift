// SPDX-License-Identifier: MIT
/// A hierarchical timing wheel (Varghese and Lauck, 1987) over the rows of a table: one deadline a row, set, moved and
/// cancelled in constant time, with two link columns and no other memory. A tick is 2^15 ns; 9 levels of 64 buckets
/// reach beyond the last instant, so that no entry ever stands in a bucket that comes before its tick's own.
package struct TimerWheel<Index: ColumnIndex>: ~Copyable {
  // The same code for all kinds of rows.
  private var wheel: NumberWheel

  package init(rows: Int, now: Instant) { wheel = NumberWheel(rows: rows, now: now) }

  @inline(__always) package var rows: Int { wheel.links.count }

  package mutating func grow(to rows: Int) { wheel.links.grow(to: rows, filling: NumberWheel.Link()) }

  package var blockCount: Int { wheel.links.blockCount }
  package func forEachBlock(_ body: (UnsafeRawBufferPointer) -> Void) { unsafe wheel.links.forEachBlock(body) }

  @inline(__always)
  package func isSet(_ row: Index) -> Bool { wheel.links[row.index].bucket >= 0 }

  /// Sets or moves the deadline of `row`. It fires in the first tick that starts at or after `deadline`.
  @inline(__always)
  package mutating func set(_ row: Index, at deadline: Instant) { wheel.set(row.index, at: deadline) }

  @inline(__always)
  package mutating func cancel(_ row: Index) { wheel.cancel(row.index) }

  /// Takes one row whose deadline has come, or `nil` when none is left at `now`.
  @inline(__always)
  package mutating func popExpired(now: Instant) -> Index? { wheel.popExpired(now: now).map { Index($0) } }

  /// When `popExpired` has work next: never later than the earliest deadline's tick.
  @inline(__always) package var nextDeadline: Instant { wheel.nextDeadline }
}

/// The same over numbers.
struct NumberWheel: ~Copyable {
  private static var levels: Int { 9 }
  private static var tickShift: UInt64 { 15 }

  struct Link: BitwiseCopyable {
    var next: Int32 = -1
    var previous: Int32 = -1
    /// Bucket number, or -1 when not set.
    var bucket: Int32 = -1
    var padding: Int32 = 0
    var tick: UInt64 = 0
  }

  fileprivate(set) var links: GrowingColumn<Int, Link>
  private var heads: Column<Int32>
  private var occupied = InlineArray<9, UInt64>(repeating: 0)
  private var elapsed: UInt64

  init(rows: Int, now: Instant) {
    links = GrowingColumn(repeating: Link(), count: rows)
    heads = Column(repeating: -1, count: Self.levels * 64)
    elapsed = now >> Self.tickShift
  }

  mutating func set(_ row: Int, at deadline: Instant) {
    cancel(row)
    guard deadline != .never else { return }
    let tick = max((deadline >> Self.tickShift) + 1, elapsed + 1)
    links[row].tick = tick
    link(row)
  }

  mutating func cancel(_ row: Int) {
    let entry = links[row]
    guard entry.bucket >= 0 else { return }
    if entry.previous >= 0 {
      links[Int(entry.previous)].next = entry.next
    } else {
      heads[Int(entry.bucket)] = entry.next
      if entry.next < 0 { occupied[Int(entry.bucket) >> 6] &= ~(1 << UInt64(entry.bucket & 63)) }
    }
    if entry.next >= 0 { links[Int(entry.next)].previous = entry.previous }
    links[row].bucket = -1
  }

  mutating func popExpired(now: Instant) -> Int? {
    let nowTick = now >> Self.tickShift
    while let (bucket, tick) = earliest(), tick <= nowTick {
      elapsed = max(elapsed, tick)
      if bucket < 64 {
        let row = Int(heads[bucket])
        cancel(row)
        return row
      }
      // A bucket of a higher level has come: its entries move down by their own ticks.
      while heads[bucket] >= 0 {
        let row = Int(heads[bucket])
        cancel(row)
        link(row)
      }
    }
    elapsed = max(elapsed, nowTick)
    return nil
  }

  var nextDeadline: Instant {
    guard let (_, tick) = earliest() else { return .never }
    return tick <= .max >> Self.tickShift ? tick << Self.tickShift : .never
  }

  private mutating func link(_ row: Int) {
    let tick = links[row].tick
    let difference = (tick ^ elapsed) | 63
    let level = (63 - difference.leadingZeroBitCount) / 6
    let bucket = level * 64 + Int((tick >> UInt64(level * 6)) & 63)
    let head = heads[bucket]
    links[row].next = head
    links[row].previous = -1
    links[row].bucket = Int32(bucket)
    if head >= 0 { links[Int(head)].previous = Int32(row) }
    heads[bucket] = Int32(row)
    occupied[level] |= 1 << UInt64(bucket & 63)
  }

  /// The first occupied bucket and the tick at which it starts. A lower level always comes before a higher one.
  private func earliest() -> (bucket: Int, tick: UInt64)? {
    for level in 0..<Self.levels where occupied[level] != 0 {
      let shift = UInt64(level * 6)
      let current = (elapsed >> shift) & 63
      let bits = occupied[level]
      let rotated = current == 0 ? bits : (bits >> current) | (bits << (64 - current))
      let index = (current + UInt64(rotated.trailingZeroBitCount)) & 63
      let start = elapsed & ~((1 << (shift + 6)) - 1)
      return (level * 64 + Int(index), start + (index << shift))
    }
    return nil
  }
}

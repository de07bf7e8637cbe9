/// A hierarchical timing wheel (Varghese and Lauck, 1987) over slot numbers: one deadline a slot, set, moved and
/// cancelled in constant time, with two link columns and no other memory. A tick is 2^15 ns; 9 levels of 64 buckets
/// reach beyond the last instant, so that no entry ever stands in a bucket that comes before its tick's own.
package struct TimerWheel: ~Copyable {
  private static var levels: Int { 9 }
  private static var tickShift: UInt64 { 15 }

  package struct Link: BitwiseCopyable {
    var next: Int32 = -1
    var previous: Int32 = -1
    /// Bucket number, or -1 when not set.
    var bucket: Int32 = -1
    var padding: Int32 = 0
    var tick: UInt64 = 0
  }

  private var links: GrowingColumn<Link>
  private var heads: Column<Int32>
  private var occupied = InlineArray<9, UInt64>(repeating: 0)
  private var elapsed: UInt64

  package init(slots: Int, now: Instant) {
    links = GrowingColumn(repeating: Link(), count: slots)
    heads = Column(repeating: -1, count: Self.levels * 64)
    elapsed = now >> Self.tickShift
  }

  package var slots: Int { links.count }

  package mutating func grow(to slots: Int) { links.grow(to: slots, filling: Link()) }

  package var blockCount: Int { links.blockCount }
  package func forEachBlock(_ body: (UnsafeRawBufferPointer) -> Void) { unsafe links.forEachBlock(body) }

  package func isSet(_ slot: Int) -> Bool { links[slot].bucket >= 0 }

  /// Sets or moves the deadline of `slot`. It fires in the first tick that starts at or after `deadline`.
  package mutating func set(_ slot: Int, at deadline: Instant) {
    cancel(slot)
    guard deadline != .never else { return }
    let tick = max((deadline >> Self.tickShift) + 1, elapsed + 1)
    links[slot].tick = tick
    link(slot)
  }

  package mutating func cancel(_ slot: Int) {
    let entry = links[slot]
    guard entry.bucket >= 0 else { return }
    if entry.previous >= 0 {
      links[Int(entry.previous)].next = entry.next
    } else {
      heads[Int(entry.bucket)] = entry.next
      if entry.next < 0 { occupied[Int(entry.bucket) >> 6] &= ~(1 << UInt64(entry.bucket & 63)) }
    }
    if entry.next >= 0 { links[Int(entry.next)].previous = entry.previous }
    links[slot].bucket = -1
  }

  /// Takes one slot whose deadline has come, or `nil` when none is left at `now`.
  package mutating func popExpired(now: Instant) -> Int? {
    let nowTick = now >> Self.tickShift
    while let (bucket, tick) = earliest(), tick <= nowTick {
      elapsed = max(elapsed, tick)
      if bucket < 64 {
        let slot = Int(heads[bucket])
        cancel(slot)
        return slot
      }
      // A bucket of a higher level has come: its entries move down by their own ticks.
      while heads[bucket] >= 0 {
        let slot = Int(heads[bucket])
        cancel(slot)
        link(slot)
      }
    }
    elapsed = max(elapsed, nowTick)
    return nil
  }

  /// When `popExpired` has work next: never later than the earliest deadline's tick.
  package var nextDeadline: Instant {
    guard let (_, tick) = earliest() else { return .never }
    return tick <= .max >> Self.tickShift ? tick << Self.tickShift : .never
  }

  private mutating func link(_ slot: Int) {
    let tick = links[slot].tick
    let difference = (tick ^ elapsed) | 63
    let level = (63 - difference.leadingZeroBitCount) / 6
    let bucket = level * 64 + Int((tick >> UInt64(level * 6)) & 63)
    let head = heads[bucket]
    links[slot].next = head
    links[slot].previous = -1
    links[slot].bucket = Int32(bucket)
    if head >= 0 { links[Int(head)].previous = Int32(slot) }
    heads[bucket] = Int32(slot)
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

// SPDX-License-Identifier: MIT
// Where early and unread segments are kept: payloads in cells of the pool, an entry for each number in a ring that is as long as they
// reach. Both are charged to the pool before they are taken.

extension ReceiveWindow {
  /// Bytes that the peer has: whole cells, and what finds them.
  package func held(_ pool: borrowing ReceivePool) -> Int {
    (cells + pieceCells) * pool.cellBytes + charged + unreadCharged + messageCharged
  }

  /// Keeps the payload of `number`, which lies within the window; `false` when the peer may have no more.
  mutating func keep(_ number: UInt32, _ bytes: RawSpan, isMessages: Bool = false, pool: inout ReceivePool) -> Bool {
    let (storeCapacity, earlyCapacity, growth) = growth(for: number)
    let needsCell = bytes.byteCount > 0 && !pool.fits(bytes.byteCount, in: openCell)
    let more = growth + (needsCell ? pool.cellBytes : 0)
    guard more == 0 || pool.admits(more, holding: held(pool)) else { return false }
    var entry = isMessages ? Stored.messages : Stored()
    if !isMessages { entry.length = UInt16(bytes.byteCount) }
    if bytes.byteCount > 0 {
      guard let place = pool.append(bytes, to: &openCell) else { return false }
      if needsCell { cells += 1 }
      entry.place = place
    }
    if growth > 0 {
      grow(storeCapacity, earlyCapacity)
      charged += growth
      pool.charge(growth)
    }
    stored[Int(number & UInt32(stored.count - 1))] = entry
    return true
  }

  /// What an entry for `number` needs. As many entries as the numbers reach. One more than the span in the bitmap, so that the neighbours
  /// of a number are never its own alias.
  @inline(__always)
  private func growth(for number: UInt32) -> (store: Int, early: Int, bytes: Int) {
    let storeCapacity = Self.capacity(of: stored.count, atLeast: Int(number &- next) + 1)
    let end = highest.precedes(number &+ 1) ? number &+ 1 : highest
    let earlyCapacity = Self.capacity(of: early.capacity, atLeast: Int(end &- next) + 2)
    return (
      storeCapacity, earlyCapacity,
      (storeCapacity - stored.count) * MemoryLayout<Stored>.stride
        + (earlyCapacity - early.capacity) * Self.bitsPerNumber / 8
    )
  }

  /// Bytes that `accept` of a segment without any takes for `number`, which lies within the window.
  func bytesFor(empty number: UInt32) -> Int { growth(for: number).bytes }

  /// A bit and its share of the summaries; and four for the replay window, which grows with the span of early numbers.
  private static var bitsPerNumber: Int { 5 }

  private static func capacity(of capacity: Int, atLeast needed: Int) -> Int {
    var capacity = capacity
    while capacity < needed { capacity *= 2 }
    return capacity
  }

  private mutating func grow(_ storeCapacity: Int, _ earlyCapacity: Int) {
    if storeCapacity > stored.count {
      var larger = Column(repeating: Stored(), count: storeCapacity)
      for ahead in 0..<stored.count {
        let old = next &+ UInt32(ahead)
        larger[Int(old & UInt32(storeCapacity - 1))] = stored[Int(old & UInt32(stored.count - 1))]
      }
      stored = larger
    }
    if earlyCapacity > early.capacity { early.grow(to: earlyCapacity, lower: next, upper: highest) }
  }

  /// A payload that is stored is of no use any more.
  mutating func give(back place: ReceivePool.Place, to pool: inout ReceivePool) {
    guard place.cell != ReceivePool.none else { return }
    if pool.release(place.cell, closing: &openCell) { cells -= 1 }
  }

  // MARK: Messages

  /// Keeps the payload of a segment, of which so many messages wait for others. Each gives it back (`give(back:to:)`).
  /// - Returns: `nil` when the peer may have no more.
  mutating func keep(messages bytes: RawSpan, count: Int, pool: inout ReceivePool) -> ReceivePool.Place? {
    let needsCell = !pool.fits(bytes.byteCount, in: openCell)
    guard !needsCell || pool.admits(pool.cellBytes, holding: held(pool)),
      let place = pool.append(bytes, to: &openCell)
    else { return nil }
    if needsCell { cells += 1 }
    pool.share(place, count)
    return place
  }

  /// Bytes that `keep(messages:)` takes of the pool.
  func bytesFor(messages length: Int, _ pool: borrowing ReceivePool) -> Int {
    pool.fits(length, in: openCell) ? 0 : pool.cellBytes
  }

  /// What messages take beside the cells of the pool.
  mutating func charge(messages bytes: Int, pool: inout ReceivePool) {
    messageCharged += bytes
    pool.charge(bytes)
  }

  mutating func refund(messages bytes: Int, pool: inout ReceivePool) {
    messageCharged -= bytes
    pool.refund(bytes)
  }

  /// Gives back all that is stored, and what was charged.
  package mutating func releaseAll(to pool: inout ReceivePool) {
    while !unread.isEmpty { storedDelivered(to: &pool) }
    releaseEarly(to: &pool)
    shrink(to: &pool)
  }

  /// Gives back what has come ahead of its turn. It counts as never received.
  package mutating func releaseEarly(to pool: inout ReceivePool) {
    while earlyRuns > 0 {
      let lower = early.first(true, from: next, to: highest)
      let upper = early.first(false, from: lower, to: highest)
      var number = lower
      while number != upper {
        give(back: stored[Int(number & UInt32(stored.count - 1))].place, to: &pool)
        number &+= 1
      }
      early.remove(lower, upTo: upper)
      earlyRuns -= 1
    }
    earlyCount = 0
  }

  /// Gives back what a large window took, if nothing stands after a gap.
  /// - Returns: whether nothing does.
  @discardableResult
  package mutating func shrink(to pool: inout ReceivePool) -> Bool {
    guard earlyRuns == 0 else { return false }
    pool.refund(charged)
    charged = 0
    if stored.count > Self.smallestStore { stored = Column(repeating: Stored(), count: Self.smallestStore) }
    early.removeAll()
    return true
  }
}

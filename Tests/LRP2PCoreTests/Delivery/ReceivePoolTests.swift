// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct ReceivePoolTests {
  private func bytes(_ pool: inout ReceivePool, _ cell: UInt32, equal expected: [UInt8]) -> Bool {
    unsafe pool.bytes(cell, expected.count).equals(expected)
  }

  @Test(arguments: [1, 63, 64, 65, 1362])
  func cellsAreWholeCacheLines(cellBytes: Int) {
    var pool = ReceivePool(cellBytes: cellBytes, maximumBytes: 1 << 20)
    let rounded = pool.cellBytes
    #expect(rounded % 64 == 0 && rounded >= cellBytes && rounded < cellBytes + 64)
    let full = [UInt8](repeating: 0xAB, count: rounded)
    let cell = pool.store(full.rawBytes)!
    let isKept = bytes(&pool, cell, equal: full)
    #expect(isKept)
  }

  /// The bound holds to the cell, whether or not it is a multiple of a chunk; there is always one cell.
  @Test(arguments: [
    (0, 1), (64, 1), (64 * 20, 20), (64 * 511, 511), (64 * 512, 512), (64 * 513, 513), (64 * 1500, 1500),
  ])
  func isBounded(maximumBytes: Int, cells: Int) {
    var pool = ReceivePool(cellBytes: 64, maximumBytes: maximumBytes)
    // Twice, because the second time it starts from what the first has left.
    for _ in 0..<2 {
      var held: [UInt32] = []
      while let cell = pool.store([1].rawBytes), held.count <= cells { held.append(cell) }
      let inUse = pool.cellsInUse
      // The last ones are for what a reader waits for.
      let kept = min(max(cells / 32, 1), cells - 1)
      #expect(held.count == cells - kept && inUse == cells - kept)
      while let cell = pool.reserve(isNext: true), held.count <= cells { held.append(cell) }
      #expect(held.count == cells && Set(held).count == cells)
      for _ in 0..<kept { pool.release(held.removeLast()) }
      pool.release(held.removeLast())
      let again = pool.store([2].rawBytes)
      #expect(again != nil)
      if let again { held.append(again) }
      for cell in held { pool.release(cell) }
      let left = pool.cellsInUse
      #expect(left == 0)
    }
  }

  /// Early data of a peer, behind a gap that stays open.
  private func fill(_ pool: inout ReceivePool) -> ReceiveWindow {
    var window = ReceiveWindow(first: 0, window: 100_000)
    for number in 1..<UInt32(100_000) {
      guard case .storedEarly = window.accept(number, isFin: false, [1].rawBytes, pool: &pool) else { break }
    }
    return window
  }

  /// Whoever takes what he can get leaves room for the early data of others.
  @Test(arguments: [64, 1 << 18])
  func aGapThatStaysOpenLeavesSomethingToOthers(cells: Int) {
    var pool = ReceivePool(cellBytes: 64, maximumBytes: 64 * cells)
    var greedy = fill(&pool)
    let most = 64 * cells
    var all = greedy.held(pool)
    #expect(all <= most * 2 / 3 && greedy.cells > 0)
    // Each who comes gets twice what all leave then; the next gets something, too.
    for _ in 0..<4 {
      var late = fill(&pool)
      let bytes = late.held(pool)
      all += bytes
      #expect(bytes <= max(2 * (most - all), max(cells / 8192, 4) * 64) && late.cells > 0)
      #expect(bytes > (most - all) || late.cells >= max(cells / 8192, 4) || late.packetsBehindGaps == 99_999)
      all -= bytes
      late.releaseAll(to: &pool)
      let (released, inUse) = (late.cells, pool.bytesInUse)
      #expect(released == 0 && inUse == greedy.held(pool))
    }
    greedy.releaseAll(to: &pool)
    let left = pool.cellsInUse
    #expect(left == 0)
  }

  @Test(arguments: 0..<6)
  func agreesWithADictionary(seed: Int) {
    var random = TestRandom(seed: seed)
    var pool = ReceivePool(cellBytes: 64, maximumBytes: 64 * 1100)
    var model: [UInt32: [UInt8]] = [:]
    var order: [UInt32] = []
    var wrong = 0
    for step in 0..<12_000 {
      // Up to exhaustion, down to nothing (where chunks go back), up again.
      let percent = step / 3000 % 2 == 0 ? 85 : 10
      if random.happens(percent: percent) {
        let content = (0..<random.below(65)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        guard let cell = pool.store(content.rawBytes) else {
          // The last ones are kept for what a reader waits for.
          if model.count != 1100 - 1100 / 32 { wrong += 1 }
          continue
        }
        if model.updateValue(content, forKey: cell) != nil { wrong += 1 }
        order.append(cell)
      } else if !order.isEmpty {
        order.swapAt(random.below(order.count), order.count - 1)
        let cell = order.removeLast()
        if !bytes(&pool, cell, equal: model.removeValue(forKey: cell)!) { wrong += 1 }
        pool.release(cell)
      }
      if pool.cellsInUse != model.count { wrong += 1 }
    }
    for (cell, content) in model where !bytes(&pool, cell, equal: content) { wrong += 1 }
    #expect(wrong == 0)
  }
}

/// Who gives way where the last cells of the pool are taken by segments in pieces.
@Suite struct KeptCellHoldersTests {
  @Test func theLatestAreKnownAndTheOldestGivesWay() {
    var holders = KeptCellHolders()
    #expect(holders.next(now: .seconds(9)) == nil)
    for id in 1...20 as ClosedRange<UInt64> { holders.note(id, now: .milliseconds(id)) }
    let now: Instant = .milliseconds(20) + KeptCellHolders.patience
    for id in 5...20 as ClosedRange<UInt64> { #expect(holders.next(now: now) == id) }
    #expect(holders.next(now: now) == nil)
  }

  /// The pieces of a segment are sent side by side: those that are on their way are waited for.
  @Test func whoeverHasJustTakenACellKeepsIt() {
    var holders = KeptCellHolders()
    holders.note(1, now: .seconds(1))
    #expect(holders.next(now: .seconds(1) + KeptCellHolders.patience - 1) == nil)
    #expect(holders.next(now: .seconds(1) + KeptCellHolders.patience) == 1)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// The memory of written bytes: what it takes, and that it gives all of it back.
@Suite struct WritePoolTests {
  private func read(_ pool: borrowing WritePool, _ row: Int, _ offset: UInt64, _ count: Int) -> [UInt8]? {
    var isHeld = false
    let bytes = written(room: count) { memory in
      isHeld = pool.copy(row, from: offset, into: &memory)
      return count
    }
    return isHeld ? bytes : nil
  }

  @Test func bytesComeBackAtAnyOffset() {
    var random = SplitMix(state: 1)
    var pool = WritePool(maximumBytes: 1 << 20, peerBytes: 1 << 20)
    let row = pool.open(at: 1000)
    var all = [UInt8](repeating: 0, count: 1000)
    var start = 1000
    for _ in 0..<2000 {
      let more = random.bytes(random.below(3000))
      let taken = unsafe pool.append(more.span.bytes, to: row)
      all += more[..<taken]
      #expect(pool.end(row) == UInt64(all.count))
      let from = start + random.below(all.count - start + 1)
      let count = random.below(min(all.count - from, 9000) + 1)
      #expect(read(pool, row, UInt64(from), count) == Array(all[from..<from + count]))
      start += random.below(all.count - start + 1)
      pool.acknowledge(row, upTo: UInt64(start))
    }
    #expect(read(pool, row, UInt64(start) - 1, 1) == nil)
    #expect(read(pool, row, UInt64(all.count), 1) == nil)
    pool.acknowledge(row, upTo: .max)
    #expect(pool.chunksInUse == 0 && pool.isEmpty(row))
    pool.close(row)
    #expect(pool.streamsInUse == 0)
  }

  @Test func oneTakesHalfOfWhatOthersLeave() {
    let total = 1 << 20
    var pool = WritePool(maximumBytes: total, peerBytes: total)
    let much = [UInt8](repeating: 7, count: 2 * total)
    let first = pool.open(at: 0)
    #expect(unsafe pool.append(much.span.bytes, to: first) == 448 << 10)
    #expect(pool.room(first) == 0)
    let others = (0..<40).map { _ in pool.open(at: 0) }
    for row in others { _ = unsafe pool.append(much.span.bytes, to: row) }
    #expect(pool.bytesInUse <= total)
    // The least that each may have is 16 KiB, as long as there is any.
    let held = others.map { Int(pool.end($0)) >> 10 }
    #expect(held.prefix(15) == [224, 112, 56, 28, 16, 16, 16, 16, 16, 16, 16, 16, 16, 12, 0])
    #expect(pool.bytesInUse == total)
    // Who has much takes no more before the others have as much.
    for row in others.suffix(39) { pool.acknowledge(row, upTo: .max) }
    #expect(pool.room(first) == 0 && pool.room(others[1]) == 112 << 10)
    for row in others + [first] { pool.close(row) }
    #expect(pool.bytesInUse == 0 && pool.capacity == 64)
  }

  /// Connections that find no room and go leave nothing.
  @Test func thoseThatWaitedAndWentAreForgotten() {
    var pool = WritePool(maximumBytes: 1 << 16, peerBytes: 1 << 16)
    let stays = pool.open(at: 0)
    pool.wait(stays, 7)
    for handle in 0..<UInt64(10_000) {
      let row = pool.open(at: 0)
      pool.wait(row, 1000 + handle)
      pool.wait(row, 1000 + handle)
      pool.close(row)
    }
    #expect(pool.waitingCount <= 70)
    let next = [pool.nextWaiting(), pool.nextWaiting()]
    #expect(next == [7, nil])
  }

  @Test func memoryIsFlat() {
    var pool = WritePool(maximumBytes: 1 << 20, peerBytes: 1 << 19)
    let row = pool.open(at: 0)
    let some = [UInt8](repeating: 7, count: 10_000)
    var most = 0
    for turn in 0..<5000 {
      _ = unsafe pool.append(some.span.bytes, to: row)
      if pool.end(row) > 100_000 { pool.acknowledge(row, upTo: pool.end(row) - 100_000) }
      if turn == 100 { most = pool.capacity }
    }
    #expect(pool.capacity == most)
    #expect(pool.bytesInUse <= 100_000 + 2 * WritePool.chunkBytes)
  }
}

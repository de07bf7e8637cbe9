import LRP2PReactor
import LRP2PTool
import Testing

@Suite struct BlockQueueTests {
  @Test func againstAModel() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<50 {
      var queue = BlockQueue()
      var stream: [UInt8] = []
      var start = 0
      for _ in 0..<200 {
        switch Int.random(in: 0..<3, using: &generator) {
        case 0:
          let bytes = (0..<Int.random(in: 1..<40, using: &generator)).map { _ in UInt8.random(in: 0...255) }
          let block = Block()
          block.append(bytes)
          queue.append(block)
          stream += bytes
        case 1:
          start = Int.random(in: start...stream.count, using: &generator)
          _ = queue.release(upTo: UInt64(start))
        default:
          let from = Int.random(in: start...stream.count, using: &generator)
          let to = Int.random(in: from...stream.count, using: &generator)
          if from == to { continue }
          #expect(copy(&queue, from, to) == Array(stream[from..<to]))
        }
      }
    }
  }

  private func copy(_ queue: inout BlockQueue, _ from: Int, _ to: Int) -> [UInt8] {
    var copied = [UInt8](repeating: 0, count: to - from)
    var elements = copied.mutableSpan
    var bytes = unsafe elements.mutableBytes
    queue.copy(from: UInt64(from), into: &bytes)
    return copied
  }

  @Test func blocksThatAreAcknowledgedAreGivenBack() {
    var queue = BlockQueue()
    for _ in 0..<40 {
      let block = Block()
      block.append([1, 2, 3])
      queue.append(block)
    }
    let none = queue.release(upTo: 2)
    let some = queue.release(upTo: 100)
    let rest = queue.release(upTo: 120)
    #expect(none == 0 && some == 33 && rest == 7 && queue.heldBytes == 0)
  }

  @Test func replies() {
    var queue = ReplyQueue()
    queue.append([1, 2, 3])
    queue.release(upTo: 2)
    queue.append([4])
    queue.release(upTo: 1)
    #expect(queue.count == 2 && queue.end == 4)
    var copied = [UInt8](repeating: 0, count: 2)
    var elements = copied.mutableSpan
    var bytes = unsafe elements.mutableBytes
    queue.copy(from: 2, into: &bytes)
    #expect(copied == [3, 4])
  }
}

@Suite struct WorkTests {
  /// By other threads, as for a large file, it is the same.
  @Test func digestsBesideReading() {
    let pool = WorkPool(mostThreads: 2)
    let beside = HashLane(pool: pool)
    let alone = HashLane(pool: nil)
    for round in 0..<40 {
      let block = Block()
      _ = unsafe block.append(head: 0, limit: 300_000) { target in
        for index in 0..<target.count { unsafe target[index] = UInt8(truncatingIfNeeded: index &* round) }
        return target.count
      }
      beside.update(block, 0..<block.count)
      alone.update(block, 0..<block.count)
      if round == 20 { #expect(beside.digest() == alone.digest()) }
    }
    #expect(beside.digest() == alone.digest())
  }

  @Test func allWorkIsDone() {
    let pool = WorkPool(mostThreads: 3)
    let lanes = (0..<50).map { _ in Rendezvous<Int>() }
    for (index, lane) in lanes.enumerated() { pool.submit { lane.deliver(index) } }
    #expect(lanes.map { $0.wait() } == Array(0..<50))
  }

  /// What blocks holds up nobody else.
  @Test func aThreadThatBlocksIsNotWaitedFor() {
    let pool = WorkPool(mostThreads: 2)
    let (gate, first, second) = (Rendezvous<Void>(), Rendezvous<Void>(), Rendezvous<Void>())
    pool.submit {
      first.deliver(())
      gate.wait()
    }
    first.wait()
    pool.submit { second.deliver(()) }
    second.wait()
    gate.deliver(())
  }
}

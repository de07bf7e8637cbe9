// SPDX-License-Identifier: MIT
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
    let beside = HashLane(.blake3, pool: pool)
    let alone = HashLane(.blake3, pool: nil)
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

@Suite struct DigestTests {
  /// From the test vectors of BLAKE3: bytes 0 to 250, again and again.
  @Test(
    arguments: [
      (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
      (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
      (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"),
      (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
      (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
      (2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"),
      (3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2"),
      (7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817"),
      (8192, "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63"),
      (8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"),
      (31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"),
      (102_400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"),
    ]) func knownAnswers(count: Int, hex: String)
  {
    let bytes = (0..<count).map { UInt8($0 % 251) }
    for piece in [count, 1, 7, 1024, 1500, 20_000, 66_000] where piece > 0 && (piece > 1 || count < 2000) {
      let lane = HashLane(.blake3, pool: nil)
      for at in stride(from: 0, to: count, by: piece) {
        lane.update(unsafe bytes.span.bytes.extracting(at..<min(at + piece, count)))
      }
      #expect(lane.digest().map { Printable.hex(UInt32($0), digits: 2) }.joined() == hex, "in pieces of \(piece)")
    }
  }

  /// The whole at once is computed in another way.
  @Test func atOnceIsTheSameAsInPieces() {
    let bytes = pattern(9000)
    var hash = FileHash(.blake3)
    for count in Array(0..<1200) + Array(stride(from: 1200, through: 9000, by: 37)) + [2048, 4096, 8191, 8192, 8193] {
      let lane = HashLane(.blake3, pool: nil)
      lane.update(unsafe bytes.span.bytes.extracting(0..<count))
      #expect(unsafe hash.digest(of: bytes.span.bytes.extracting(0..<count)) == lane.digest(), "\(count) bytes")
    }
  }

  @Test func theOtherKind() {
    let lane = HashLane(.blake2b, pool: nil)
    let bytes = Array("abc".utf8)
    lane.update(unsafe bytes.span.bytes)
    #expect(lane.digest().first == 0xBD && DigestKind.blake2b.jsonKey == "blake2b_256")
  }
}

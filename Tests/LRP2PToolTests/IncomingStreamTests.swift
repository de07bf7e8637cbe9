// SPDX-License-Identifier: MIT
import LRP2PReactor
import LRP2PTool
import Testing

@Suite struct IncomingStreamTests {
  /// One who sends and sends does not keep the thread from another.
  @Test func threadsAreShared() throws {
    let folder = try Scratch()
    let store = try StoreFolder(folder.path)
    let pool = WorkPool(mostThreads: 1)
    let gate = Rendezvous<Void>()
    pool.submit { gate.wait() }
    let told = Locked<[Int]>([])
    let streams = (0..<2).map { index in
      IncomingStream(
        FileIntake(store: store, owner: Array("aa".utf8), policy: IntakePolicy()), pool: pool,
        tell: { told.withLock { $0.append(index) } })
    }
    for stream in streams {
      let block = Block()
      block.append(SenderRecord.hello + [DigestKind.blake3.rawValue])
      stream.give(block)
      for _ in 0..<20 { stream.give(Block()) }
    }
    gate.deliver(())
    let isDone = Rendezvous<Void>()
    @Sendable func waitUntilIdle() {
      pool.submit { streams.allSatisfy(\.isIdle) ? isDone.deliver(()) : waitUntilIdle() }
    }
    waitUntilIdle()
    isDone.wait()
    let order = told.withLock { $0 }
    let first = try #require(order.firstIndex(of: 1))
    let last = try #require(order.lastIndex(of: 0))
    #expect(first < last, "\(order)")
  }
}

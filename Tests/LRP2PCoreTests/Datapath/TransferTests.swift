// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Two engines in virtual time: every transfer arrives whole, in order and once, whatever the path does.
@Suite struct TransferTests {
  typealias StreamWorld = World<StreamHandler>

  static func isClosed(_ handler: StreamHandler) -> Bool {
    !handler.peers.isEmpty && handler.peers.values.allSatisfy { $0.closed != nil }
  }

  /// Both sides send `bytes` and finish; the connection has to end in order.
  func transfer(
    bytes: UInt64, seed: UInt64 = 1, limit: Nanoseconds = .seconds(600), link: Link = Link(),
    configuration: EngineConfiguration = EngineConfiguration()
  ) throws {
    var world = StreamWorld(
      seed: seed, configuration: configuration, link: link, firstHandler: StreamHandler(bytesToSend: bytes),
      secondHandler: StreamHandler(bytesToSend: bytes))
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    let isDone = world.run(for: limit) { Self.isClosed($0.firstHandler) && Self.isClosed($0.secondHandler) }
    #expect(isDone, "seed \(seed): \(world.firstHandler.peers.values) \(world.secondHandler.peers.values)")
    for handler in [world.firstHandler, world.secondHandler] {
      #expect(handler.mismatches == 0 && handler.violations == 0, "seed \(seed)")
      for progress in handler.peers.values {
        #expect(progress.closed == .finished, "seed \(seed)")
        #expect(progress.received == bytes && progress.acknowledged == bytes, "seed \(seed)")
      }
    }
    // What lingers goes, and nothing stays behind.
    _ = world.run(for: .seconds(60))
    #expect(world.first.statistics.peers == 0 && world.second.statistics.peers == 0)
    #expect(world.first.statistics.poolBytesInUse == 0 && world.second.statistics.poolBytesInUse == 0)
  }

  @Test func cleanPath() throws { try transfer(bytes: 1 << 20) }

  /// An answer takes the ACK of its request along, and a request that follows at once that of the answer before it.
  @Test func answersAcknowledge() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    _ = world.run(for: .milliseconds(500))
    func exchange(_ count: Int, pause: Nanoseconds) -> (requests: UInt64, answers: UInt64) {
      let before = (world.first.statistics.datagramsSent, world.second.statistics.datagramsSent)
      for _ in 0..<count {
        let total = (world.firstHandler.peers[dialled]?.received ?? 0) + 64
        world.first.offer(dialled, upTo: total)
        let isAnswered = world.run(for: .seconds(1)) {
          // One datagram has brought both.
          $0.firstHandler.peers[dialled]?.received == total && $0.firstHandler.peers[dialled]?.acknowledged == total
        }
        #expect(isAnswered)
        if pause > 0 { _ = world.run(for: pause) }
      }
      return (world.first.statistics.datagramsSent - before.0, world.second.statistics.datagramsSent - before.1)
    }
    // The dialler has nothing to answer: its ACKs go alone.
    let alone = exchange(10, pause: .milliseconds(300))
    #expect(alone == (20, 10))
    let atOnce = exchange(10, pause: 0)
    #expect(atOnce == (10, 10))
    #expect(world.firstHandler.mismatches + world.secondHandler.mismatches == 0)
  }

  @Test func nothingToSend() throws { try transfer(bytes: 0) }

  @Test(arguments: 1...20) func lossReorderingDuplicationCorruption(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.05
    link.jitter = .milliseconds(10)
    link.duplication = 0.02
    link.corruption = 0.01
    try transfer(bytes: 2 << 20, seed: seed, link: link)
  }

  @Test(arguments: 1...5) func heavyLoss(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.3
    link.jitter = .milliseconds(3)
    var configuration = EngineConfiguration()
    configuration.idleTimeout = .seconds(300)
    try transfer(bytes: 200_000, seed: seed, limit: .seconds(3000), link: link, configuration: configuration)
  }

  @Test(arguments: 1...5) func sequenceNumbersWrap(seed: UInt64) throws {
    var configuration = EngineConfiguration()
    configuration.initialSequence = UInt32.max - 300
    var link = Link()
    link.loss = 0.03
    link.jitter = .milliseconds(4)
    try transfer(bytes: 3 << 20, seed: seed, link: link, configuration: configuration)
  }

  @Test(arguments: 1...3) func narrowPath(seed: UInt64) throws {
    var link = Link()
    link.rate = 20_000_000
    link.delay = .milliseconds(300)
    link.buffer = 200_000
    try transfer(bytes: 4 << 20, seed: seed, link: link)
  }

  @Test func smallestWindow() throws {
    var configuration = EngineConfiguration()
    configuration.receiveWindow = 2
    var link = Link()
    link.loss = 0.02
    try transfer(bytes: 100_000, link: link, configuration: configuration)
  }

  @Test func smallestPool() throws {
    var configuration = EngineConfiguration()
    configuration.receivePoolBytes = 1 << 16
    var link = Link()
    link.loss = 0.05
    link.jitter = .milliseconds(5)
    try transfer(bytes: 1 << 20, link: link, configuration: configuration)
  }

  /// A world stops where a datagram leaves that is shorter or longer than any may be. This one has the shortest, an end without
  /// data, and the longest.
  @Test func theShortestAndTheLongestDatagram() throws {
    var world = try LifecycleTests.openWorld { $0.maximumDatagram = Datagram.maximumLength }
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.secondHandler.bytesToSend = 0
    let sent = world.recording { world in
      _ = world.run(for: .seconds(5))
      world.first.offer(dialled, upTo: 200_000)
      #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[dialled]?.acknowledged == 200_000 })
      _ = world.run(for: .seconds(5))
      world.first.finish(dialled)
      _ = world.run(for: .seconds(1))
    }
    let lengths = sent.filter { $0.host == 0 }.map(\.bytes.count)
    #expect(lengths.min() == 38 && lengths.max() == 16_384)
  }
}

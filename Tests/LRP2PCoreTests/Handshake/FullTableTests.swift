// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A table of which few slots are free, under forged first messages from everywhere.
@Suite struct FullTableTests {
  typealias StreamWorld = World<StreamHandler>

  /// The second host has so many connections of the first.
  private static func world(
    slots: Int, taken: Int, configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var world = LifecycleTests.world(sends: nil) {
      $0.maximumPeers = slots
      configure(&$0)
    }
    for count in stride(from: 0, to: taken, by: 10) {
      for _ in 0..<min(10, taken - count) {
        _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
      }
      _ = world.run(for: .milliseconds(200))
    }
    #expect(world.second.statistics.handshakesCompleted == taken && world.first.statistics.peers == taken)
    return world
  }

  /// Forged first messages from random addresses of 127.0.0.0/8.
  private struct Forger {
    var random = SeededRandom(seed: 8)
    var number: UInt64 = 0

    mutating func strike(_ world: inout StreamWorld, _ count: Int) {
      for _ in 0..<count {
        number += 1
        let host = 0x7F00_0000 | UInt32(truncatingIfNeeded: random.below(1 << 24))
        world.inject(CookieTests.stray(number), from: Address(ipv4: host, port: 1 + UInt16(random.below(60_000))))
      }
    }

    /// At 5,000 a second.
    mutating func flood(
      _ world: inout StreamWorld, for limit: Nanoseconds, until isDone: (borrowing StreamWorld) -> Bool = { _ in false }
    ) -> Bool {
      let end = world.now + limit
      while world.now < end {
        strike(&world, 10)
        if world.run(for: .milliseconds(2), until: isDone) { return true }
      }
      return false
    }
  }

  @Test func honestDialsConnect() throws {
    var world = try Self.world(slots: 400, taken: 380)
    var forger = Forger()
    _ = forger.flood(&world, for: .milliseconds(500))
    var late = 0
    for number in 1...50 {
      let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
      let isConnected = forger.flood(&world, for: .seconds(3)) { $0.secondHandler.peers.count == 380 + number }
      if !isConnected { late += 1 }
      world.first.close(peer, code: 0)
      _ = forger.flood(&world, for: .milliseconds(50))
    }
    #expect(late == 0, "of 50 honest dials")
    #expect(world.second.statistics.peers <= 400 && world.second.statistics.isBalanced)
    #expect(world.secondHandler.closedCount == 50, "nobody else's connection has ended")
  }

  @Test func ownDialsConnect() throws {
    var world = try Self.world(slots: 40, taken: 30)
    var forger = Forger()
    _ = forger.flood(&world, for: .seconds(1))
    for number in 1...10 {
      _ = try world.second.connect(to: StreamWorld.firstAddress, expecting: .anyone)
      #expect(forger.flood(&world, for: .seconds(3)) { $0.secondHandler.peers.count == 30 + number })
    }
    #expect(throws: EngineError.tooManyPeers) {
      try world.second.connect(to: StreamWorld.firstAddress, expecting: .anyone)
    }
    let before = world.second.statistics
    _ = forger.flood(&world, for: .milliseconds(10))
    #expect(world.second.statistics.peers == 40)
    #expect(world.second.statistics.cookieRepliesSent == before.cookieRepliesSent, "there is nothing to show one for")
  }

  /// What has been admitted without proof gives way, the oldest first.
  @Test func theOldestForgedHandshakeGivesWay() throws {
    var world = try Self.world(slots: 40, taken: 30)
    var forger = Forger()
    forger.strike(&world, 5)
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.peers == 35)
    // Of ten free slots five may go to strangers without proof.
    forger.strike(&world, 5)
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.peers == 35 && world.second.statistics.handshakesWithoutCookie == 5)
    for _ in 0..<5 { _ = try world.second.connect(to: StreamWorld.firstAddress, expecting: .anyone) }
    #expect(world.second.statistics.peers == 40 && world.second.statistics.halfOpenEvicted == 0)
    _ = try world.second.connect(to: StreamWorld.firstAddress, expecting: .anyone)
    #expect(world.second.statistics.peers == 40 && world.second.statistics.halfOpenEvicted == 1)
  }

  /// Forged messages under addresses of one network do not shut out those that are there.
  @Test func aForgedNetworkIsNotShutOut() throws {
    var world = LifecycleTests.world { $0.maximumHalfOpenPerPrefix = 10 }
    for number in UInt64(1)...50 {
      world.inject(CookieTests.stray(number), from: Address(ipv4: 0x0A00_0010 + UInt32(number), port: 9))
    }
    _ = world.run(for: .milliseconds(1))
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.peers.count == 1 })
    #expect(world.firstHandler.peers[peer] != nil && world.second.statistics.peers == 11)
  }
}

import LRP2PCore
import LRP2PSimulation
import Testing

/// How soon what was offered is acknowledged when that is asked for.
@Suite struct FlushTests {
  private static let delay: Nanoseconds = .microseconds(20)

  private static func openWorld() throws -> World<StreamHandler> {
    var link = Link()
    link.delay = delay
    var world = try LifecycleTests.openWorld(link: link) { _ in }
    world.secondHandler.bytesToSend = 0
    let peer = try LifecycleTests.only(world.firstHandler)
    // Lone packets, so that the round trip is known.
    for total in [100, 200, 300] as [UInt64] { _ = time(&world, peer, upTo: total) { _ in } }
    return world
  }

  /// From `offer` until all of it is acknowledged.
  private static func time(
    _ world: inout World<StreamHandler>, _ peer: Peer, upTo total: UInt64,
    _ between: (inout World<StreamHandler>) -> Void
  ) -> Nanoseconds {
    let start = world.now
    world.first.offer(peer, upTo: total)
    between(&world)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[peer]?.acknowledged == total })
    let time = world.now - start
    _ = world.run(for: .milliseconds(5))
    return time
  }

  @Test func aLonePacketIsAcknowledgedAtOnce() throws {
    var world = try Self.openWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let unasked = Self.time(&world, peer, upTo: 1000) { _ in }
    #expect(unasked > .microseconds(250))
    let asked = Self.time(&world, peer, upTo: 2000) { $0.first.flush(peer) }
    #expect(asked < 3 * Self.delay)
    // It holds for what was asked for only.
    #expect(Self.time(&world, peer, upTo: 3000) { _ in } > .microseconds(250))
  }

  /// The packet has left, and its ACK has not come.
  @Test func aPingAsksForWhatHasLeft() throws {
    var world = try Self.openWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let late = Self.time(&world, peer, upTo: 1000) { world in
      _ = world.run(for: .microseconds(10))
      world.first.flush(peer)
    }
    #expect(late < .microseconds(10) + 3 * Self.delay)
    // Nothing is left to ask for.
    let sent = world.first.statistics.datagramsSent
    world.first.flush(peer)
    _ = world.run(for: .milliseconds(5))
    #expect(world.first.statistics.datagramsSent == sent)
  }

  /// Whole segments leave in runs, which ask for nothing. (No more of them than the pacer lets out at once.)
  @Test(arguments: [1, 2, 5, 12]) func theEndOfARunIsAskedFor(segments: UInt64) throws {
    var world = try Self.openWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let capacity = UInt64(world.first.peers.flows[peer.slot].capacity)
    for extra in [0, 1, capacity - 1] as [UInt64] {
      let total = world.first.peers.flows[peer.slot].send.acknowledgedOffset + segments * capacity + extra
      #expect(Self.time(&world, peer, upTo: total) { $0.first.flush(peer) } < 3 * Self.delay + .microseconds(20))
    }
  }

  /// Asking while the congestion window is full, and again and again, loses nothing and sends little.
  @Test func flushingBulkChangesLittle() throws {
    var world = try Self.openWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let total: UInt64 = 4 << 20
    let before = world.first.statistics.datagramsSent
    world.first.offer(peer, upTo: total)
    while world.firstHandler.peers[peer]?.acknowledged != total {
      world.first.flush(peer)
      _ = world.run(for: .microseconds(100))
      try #require(world.now < .seconds(20))
    }
    let whole = total / UInt64(world.first.peers.flows[peer.slot].capacity)
    #expect(world.first.statistics.datagramsSent - before < whole + whole / 20 + 20)
    #expect(world.second.statistics.duplicates == 0)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// How soon what was offered is acknowledged when that is asked for.
@Suite struct FlushTests {
  /// One way. A lone packet's ACK may wait for a quarter of the round trip, 1 ms.
  private static let delay: Nanoseconds = .milliseconds(2)
  private static let soon = 2 * delay + .microseconds(200)

  private static func openWorld() throws -> World<StreamHandler> {
    var link = Link()
    link.delay = delay
    var world = try LifecycleTests.openWorld(link: link)
    world.secondHandler.bytesToSend = 0
    return world
  }

  /// Beyond its youth, in which a connection acknowledges more often.
  private static func busyWorld() throws -> World<StreamHandler> {
    var world = try openWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    _ = time(&world, peer, more: 1 << 20) { _ in }
    return world
  }

  /// From `offer` until all of it is acknowledged.
  private static func time(
    _ world: inout World<StreamHandler>, _ peer: Peer, more bytes: UInt64,
    _ between: (inout World<StreamHandler>) -> Void
  ) -> Nanoseconds {
    let start = world.now
    let total = world.first.peers.flows[peer.slot].send.acknowledgedOffset + bytes
    world.first.offer(peer, upTo: total)
    between(&world)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[peer]?.acknowledged == total })
    let time = world.now - start
    _ = world.run(for: .milliseconds(20))
    return time
  }

  @Test func aPacketIsAcknowledgedAtOnce() throws {
    var world = try Self.busyWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    #expect(Self.time(&world, peer, more: 1000) { _ in } > Self.soon)
    #expect(Self.time(&world, peer, more: 1000) { $0.first.flush(peer) } < Self.soon)
    // It holds for what was asked for only.
    #expect(Self.time(&world, peer, more: 1000) { _ in } > Self.soon)
    // Where nothing waits to be sent there is nothing to ask for, now or later.
    let late = Self.time(&world, peer, more: 1000) { world in
      _ = world.run(for: .milliseconds(1))
      world.first.flush(peer)
    }
    #expect(late > Self.soon)
    world.first.flush(peer)
    #expect(Self.time(&world, peer, more: 1000) { _ in } > Self.soon)
  }

  /// Whole segments leave in runs, which ask for nothing: the last does not. (No more of them than the pacer lets out at once.)
  @Test(arguments: [1, 2, 5, 12]) func theEndOfARunIsAskedFor(segments: UInt64) throws {
    var world = try Self.busyWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let capacity = UInt64(world.first.peers.flows[peer.slot].capacity)
    for extra in [0, 1, capacity - 1] as [UInt64] {
      #expect(Self.time(&world, peer, more: segments * capacity + extra) { _ in } > Self.soon)
      #expect(Self.time(&world, peer, more: segments * capacity + extra) { $0.first.flush(peer) } < Self.soon)
    }
  }

  /// Asking all the time sends nothing more than not asking.
  @Test func flushingBulkSendsNothingMore() throws {
    func sent(flushes: Bool) throws -> UInt64 {
      var world = try Self.openWorld()
      let peer = try LifecycleTests.only(world.firstHandler)
      let before = world.first.statistics.datagramsSent
      let total: UInt64 = 4 << 20
      world.first.offer(peer, upTo: total)
      while world.firstHandler.peers[peer]?.acknowledged != total {
        if flushes { world.first.flush(peer) }
        _ = world.run(for: .microseconds(100))
        try #require(world.now < .seconds(20))
      }
      #expect(world.second.statistics.duplicates == 0)
      return world.first.statistics.datagramsSent - before
    }
    #expect(try sent(flushes: true) == sent(flushes: false))
  }

  /// A connection that ends with a flush in its way leaves nothing of it to the next one in its memory.
  @Test func theNextConnectionIsNotFlushed() throws {
    var world = try Self.openWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    world.first.offer(peer, upTo: 8 << 20)
    _ = world.run(for: .milliseconds(1))
    world.first.flush(peer)
    world.first.close(peer, code: 0)
    #expect(world.run(for: .seconds(400)) { $0.first.statistics.peers == 0 })
    world.secondHandler.bytesToSend = nil
    let next = try world.first.connect(to: World<StreamHandler>.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.peers[next] != nil })
    _ = world.run(for: .milliseconds(20))
    world.secondHandler.bytesToSend = 0
    #expect(Self.time(&world, next, more: 1000) { _ in } > Self.soon)
  }
}

import LRP2PCore
import LRP2PSimulation
import Testing

/// When silence is probed.
@Suite struct ProbeTests {
  typealias StreamWorld = World<StreamHandler>

  /// A short path on which megabytes have gone, so that the sender knows how long ACKs are delayed there.
  private static func busyWorld() throws -> StreamWorld {
    var link = Link()
    link.delay = .microseconds(50)
    var world = try LifecycleTests.openWorld(link: link)
    let peer = try LifecycleTests.only(world.firstHandler)
    world.first.offer(peer, upTo: 4 << 20)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[peer]?.acknowledged == 4 << 20 })
    return world
  }

  /// Offers ten packets whose ACK is lost, and says how long it takes until they are acknowledged.
  private static func loseTheAck(_ world: inout StreamWorld, _ peer: Peer, until total: UInt64) -> Nanoseconds {
    let start = world.now
    world.back.isDown = true
    world.first.offer(peer, upTo: total)
    _ = world.run(for: .milliseconds(1))
    world.back.isDown = false
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[peer]?.acknowledged == total })
    return world.now - start
  }

  /// Not after the 25 ms that the peer might take, as it never does.
  @Test func aLostAckIsProbedForSoon() throws {
    var world = try Self.busyWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let before = world.first.statistics.probeTimeouts
    let time = Self.loseTheAck(&world, peer, until: 4 << 20 + 14_000)
    #expect(time > .milliseconds(1) && time < .milliseconds(4))
    #expect(world.first.statistics.probeTimeouts == before + 1)
    // The next silence is another one.
    let again = Self.loseTheAck(&world, peer, until: 4 << 20 + 28_000)
    #expect(again < .milliseconds(4))
    #expect(world.first.statistics.probeTimeouts == before + 2)
  }

  /// Before any ACK has told how long it was delayed, or when one has just told of the longest time.
  @Test func whatThePeerMayTakeIsWaitedFor() throws {
    var link = Link()
    link.delay = .microseconds(50)
    var world = try LifecycleTests.openWorld(link: link)
    let peer = try LifecycleTests.only(world.firstHandler)
    _ = world.run(for: .milliseconds(500))
    let time = Self.loseTheAck(&world, peer, until: 14_000)
    #expect(time >= .milliseconds(25) && time < .milliseconds(30))
  }

  /// The early probe is one beside the others: what three probe timeouts mean takes as long as ever.
  @Test func anEarlyProbeDoesNotCount() throws {
    var world = try Self.busyWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let before = world.first.statistics.probeTimeouts
    world.back.isDown = true
    world.first.offer(peer, upTo: 4 << 20 + 14_000)
    _ = world.run(for: .milliseconds(10))
    #expect(world.first.statistics.probeTimeouts == before + 1 && world.first.peers.flows[peer.slot].probeCount == 0)
    // Then one after each of 26, 52 and 105 ms.
    var times: [Nanoseconds] = []
    for expected in 1...3 {
      let start = world.now
      #expect(world.run(for: .seconds(1)) { $0.first.peers.flows[peer.slot].probeCount == expected })
      times.append(world.now - start)
    }
    #expect(times[0] < .milliseconds(27) && times[1] > .milliseconds(50) && times[2] > .milliseconds(100))
    #expect(world.first.statistics.probeTimeouts == before + 4)
    world.back.isDown = false
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[peer]?.acknowledged == 4 << 20 + 14_000 })
    #expect(world.first.peers.flows[peer.slot].probeCount == 0)
  }
}

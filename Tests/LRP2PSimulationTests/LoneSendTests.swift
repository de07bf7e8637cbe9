import LRP2PCore
import LRP2PSimulation
import Testing

/// A batch of one segment leaves before its flow is told of it.
@Suite struct LoneSendTests {
  private struct Step {
    /// Segments in flight when the batch leaves, and when it has left.
    var leaving = 0
    var left = 0
    var datagrams = 0
  }

  /// Has `bytes` more offered and the batch lost; all of it arrives in the end.
  private static func offer(
    _ world: inout World<StreamHandler>, _ peer: Peer, more bytes: Int, _ change: (inout Engine) -> Void = { _ in }
  ) -> Step {
    let total = world.first.peers.flows[peer.slot].send.acknowledgedOffset + UInt64(bytes)
    var batch = DatagramBatch(messages: 8, messageCapacity: 65_000)
    world.first.offer(peer, upTo: total)
    change(&world.first)
    let now = world.now
    var handler = world.firstHandler
    world.first.compose(&batch, now: now, handler: &handler)
    let leaving = world.first.peers.flows[peer.slot].send.packetsInFlight
    world.first.composed(&handler)
    world.firstHandler = handler
    let left = world.first.peers.flows[peer.slot].send.packetsInFlight
    let datagrams = (0..<batch.count).reduce(0) { sum, index in
      let message = batch.messages[index]
      return sum + (message.length + message.segmentSize - 1) / message.segmentSize
    }
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[peer]?.acknowledged == total })
    _ = world.run(for: .milliseconds(100))
    return Step(leaving: leaving, left: left, datagrams: datagrams)
  }

  private static func openWorld() throws -> World<StreamHandler> {
    var world = try LifecycleTests.openWorld(link: Link())
    world.secondHandler.bytesToSend = 0
    _ = world.run(for: .milliseconds(100))
    return world
  }

  @Test func theFlowIsToldBehindTheSend() throws {
    var world = try Self.openWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let capacity = world.first.peers.flows[peer.slot].capacity
    for bytes in [1, 1000, capacity] {
      let step = Self.offer(&world, peer, more: bytes)
      #expect(step.leaving == 0 && step.left == 1 && step.datagrams == 1)
    }
  }

  /// Whoever sends more than one segment, or the last of a stream, has each noted as it is written.
  @Test func othersAreToldAtOnce() throws {
    var world = try Self.openWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let capacity = world.first.peers.flows[peer.slot].capacity
    let two = Self.offer(&world, peer, more: capacity + 1)
    #expect(two.leaving == 2 && two.left == 2 && two.datagrams == 2)
    let last = Self.offer(&world, peer, more: 10) { $0.finish(peer) }
    #expect(last.leaving == 1 && last.left == 1)
  }

  /// A dial that is not confirmed yet repeats message 3 beside its first data, so it is ready again at once; and an entry of the
  /// ready queue whose connection is gone takes nobody's turn in the batch.
  @Test func oneThatIsServedAgainIsToldFirst() throws {
    var link = Link()
    link.delay = .milliseconds(20)
    var world = LifecycleTests.world(seed: 1, link: link, sends: nil)
    let dial = try world.first.connect(to: World<StreamHandler>.secondAddress)
    #expect(world.run(for: .seconds(5)) { !$0.firstHandler.peers.isEmpty })
    _ = world.run(for: .milliseconds(1))
    // It does not send the echo back.
    world.firstHandler.bytesToSend = 0
    let peer = try LifecycleTests.only(world.firstHandler)
    let isConfirmed = world.first.peers.rows[peer.slot].isConfirmed
    #expect(!isConfirmed)
    let gone = try world.first.connect(to: Address(ipv4: 0x0A00_0009, port: 9))
    world.first.close(gone, code: 0)
    var handler = world.firstHandler
    var now = world.now
    var batch = DatagramBatch(messages: 8, messageCapacity: 65_000)
    world.first.transmit(into: &batch, now: now, handler: &handler)
    now += .milliseconds(1)
    world.first.expire(now: now, handler: &handler)
    world.first.offer(dial, upTo: 100)
    batch.clear()
    world.first.transmit(into: &batch, now: now, handler: &handler)
    let inFlight = world.first.peers.flows[peer.slot].send.packetsInFlight
    #expect(inFlight == 1)
    world.firstHandler = handler
    world.first.offer(dial, upTo: 200)
    #expect(world.run(for: .seconds(20)) { $0.secondHandler.peers.values.first?.received == 200 })
    #expect(world.secondHandler.mismatches == 0 && world.secondHandler.violations == 0)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// When a connection is judged, and what it waits for then.
@Suite struct SettleTests {
  /// A connection that has more to send is ready again, and its next turn may be far away: it waits for the answer to what has left.
  @Test func whatHasLeftHasItsProbeTimeoutThoughThereIsMore() throws {
    // The start over longer paths is paced.
    var link = Link()
    link.delay = .milliseconds(1)
    var world = try LifecycleTests.openWorld(link: link)
    world.secondHandler.bytesToSend = 0
    _ = world.run(for: .milliseconds(100))
    let peer = try LifecycleTests.only(world.firstHandler)
    let timeout = EngineConfiguration().handshakeTimeout
    let isArmed = world.first.peers.flows[peer.slot].wheelDeadline != .never
    #expect(isArmed)
    world.first.offer(peer, upTo: 3_000_000)
    var batch = DatagramBatch(messages: 1, messageCapacity: 8_000)
    let now = world.now
    var handler = world.firstHandler
    world.first.transmit(into: &batch, now: now, handler: &handler)
    let (isReady, isWaiting) = (
      world.first.peers.rows[peer.slot].isReady, world.first.peers.flows[peer.slot].send.packetsInFlight > 0
    )
    let probe = world.first.peers.flows[peer.slot].probeDeadline(
      world.first.peers.headers[peer.slot], handshakeTimeout: timeout)
    let wheel = world.first.peers.flows[peer.slot].wheelDeadline
    #expect(isReady && isWaiting && batch.count > 0)
    #expect(wheel <= probe && probe < .never)
  }
}

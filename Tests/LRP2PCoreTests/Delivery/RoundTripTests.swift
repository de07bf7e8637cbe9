// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What counts as a sample of the round trip, and what does not.
@Suite struct RoundTripTests {
  typealias StreamWorld = World<StreamHandler>

  /// 5 ms each way; what the first host sends is lost from here on, and it is the test that answers.
  private static func openWorld() throws -> StreamWorld {
    var world = try LifecycleTests.openWorld { $0.restAfter = 0 }
    _ = world.run(for: .milliseconds(500))
    world.forth.isDown = true
    return world
  }

  private static func estimate(_ world: borrowing StreamWorld, _ peer: Peer) -> RoundTripEstimate {
    world.first.peers.flows[peer.slot].roundTrip
  }

  /// The first data that leaves, as many segments: their packet numbers.
  private static func send(_ world: inout StreamWorld, _ peer: Peer, segments: Int) -> [UInt64] {
    let sent = world.sentAtOnce { $0.first.offer(peer, upTo: UInt64(1300 * segments)) }
    return sent.filter { $0.host == 0 && $0.plaintext[17] & 65 == 0 }.map(\.packetNumber)
  }

  // MARK: ACKs

  /// Whose largest packet number is below one heard before: it may have been under way for any time. Also if that was of nothing
  /// that could be measured.
  @Test(arguments: [false, true]) func aLateACKGivesNone(isFirst: Bool) throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    if isFirst { world.first.peers.flows[dialled.slot].roundTrip = RoundTripEstimate() }
    let numbers = Self.send(&world, dialled, segments: 2)
    try #require(numbers.count == 2)
    let before = Self.estimate(world, dialled)
    _ = world.run(for: .milliseconds(8))
    if isFirst {
      // No word of what has arrived.
      world.injectSealed(
        RawSegment.ack(.max, window: 1000, largest: numbers[1]), fromFirst: false, peer: accepted)
    } else {
      let second = RawSegment.Interval(start: 0, isFirstReceived: false, runs: [1, 1])
      world.injectSealed(
        RawSegment.ack(.max, window: 1000, largest: numbers[1], [second]), fromFirst: false, peer: accepted)
      _ = world.run(for: 1)
      #expect(Self.estimate(world, dialled).samples == before.samples + 1)
      _ = world.run(for: .milliseconds(1))
    }
    let samples = isFirst ? 0 : before.samples + 1
    world.injectSealed(RawSegment.ack(1, window: 1000, largest: numbers[0]), fromFirst: false, peer: accepted)
    _ = world.run(for: 1)
    let left = world.first.peers.flows[dialled.slot].send.hasOutstanding
    #expect(!left && Self.estimate(world, dialled).samples == samples)
    // But the next one does.
    let more = world.sentAtOnce { $0.first.offer(dialled, upTo: 3000) }.filter { $0.host == 0 }.map(\.packetNumber)
    try #require(more.count == 1)
    _ = world.run(for: .milliseconds(8))
    world.injectSealed(RawSegment.ack(2, window: 1000, largest: more[0]), fromFirst: false, peer: accepted)
    _ = world.run(for: 1)
    #expect(Self.estimate(world, dialled).samples == samples + 1)
  }

  /// A peer has announced 25 ms, and tells 39: so much less would it have the round trip be.
  @Test func aToldDelayCountsUpToWhatWasAnnounced() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    let announced = world.first.peers.headers[dialled.slot].peerMaximumAckDelay
    #expect(announced == .milliseconds(25))
    // No probe leaves before the answer comes.
    world.first.peers.flows[dialled.slot].roundTrip = RoundTripEstimate()
    for sample in [100, 10] as [UInt64] {
      world.first.peers.flows[dialled.slot].roundTrip.update(sample: .milliseconds(sample), acknowledgementDelay: 0)
    }
    #expect(Self.estimate(world, dialled).smoothed == .microseconds(88_750))
    let numbers = Self.send(&world, dialled, segments: 1)
    try #require(numbers.count == 1 && numbers[0] < 64)
    _ = world.run(for: .milliseconds(40) - 1)
    // 39,000 µs in a varint of four bytes.
    world.injectSealed(
      [9, 1, 0, 0, 0, 0, 0, 4, 0, UInt8(numbers[0]), 0x80, 0, 0x98, 0x58, 0], fromFirst: false, peer: accepted)
    _ = world.run(for: 1)
    let estimate = Self.estimate(world, dialled)
    #expect(estimate.samples == 3 && estimate.latest == .milliseconds(40))
    // (7 · 88,750 + 40,000 − 25,000) / 8.
    #expect(estimate.smoothed == 79_531_250)
  }

  // MARK: The handshake

  /// The path lets the second message 1 through, which is the first again, as there is no slot for an attempt of its own.
  @Test func message1SentTwiceGivesNone() throws {
    var configuration = EngineConfiguration()
    configuration.maximumPeers = 1
    var world = StreamWorld(
      seed: 1, configuration: configuration, link: Link(), firstHandler: StreamHandler(bytesToSend: nil),
      secondHandler: StreamHandler(bytesToSend: nil))
    world.forth.isDown = true
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(500))
    world.forth.isDown = false
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers[dialled] != nil })
    #expect(Self.estimate(world, dialled).samples == 0)
    world.first.offer(dialled, upTo: 1000)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers[dialled]?.acknowledged == 1000 })
    let estimate = Self.estimate(world, dialled)
    #expect(estimate.samples == 1 && estimate.smoothed >= .milliseconds(10) && estimate.smoothed < .milliseconds(40))
  }

  /// Message 2 is lost, and message 1 comes once more 150 ms later.
  @Test(arguments: [false, true]) func message2SentTwiceGivesNone(isLost: Bool) throws {
    var world = LifecycleTests.world(sends: nil)
    world.back.isDown = isLost
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    let message1 = world.handshakeDatagram(ofFirst: dialled)
    _ = world.run(for: .milliseconds(isLost ? 150 : 6))
    world.back.isDown = false
    world.inject(message1, from: StreamWorld.firstAddress)
    #expect(world.run(for: .seconds(1)) { !$0.secondHandler.peers.isEmpty })
    let accepted = try LifecycleTests.only(world.secondHandler)
    #expect(world.second.statistics.handshakesStarted == 1 && world.second.statistics.datagramsSent >= 2)
    let before = world.second.peers.flows[accepted.slot].roundTrip.samples
    #expect(before == 0)
    world.second.offer(accepted, upTo: 1000)
    #expect(world.run(for: .seconds(2)) { $0.secondHandler.peers[accepted]?.acknowledged == 1000 })
    let estimate = world.second.peers.flows[accepted.slot].roundTrip
    #expect(estimate.samples == 1 && estimate.smoothed >= .milliseconds(10) && estimate.smoothed < .milliseconds(40))
  }
}

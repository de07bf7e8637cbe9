// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// When silence is probed.
@Suite struct ProbeTests {
  typealias StreamWorld = World<StreamHandler>

  /// The second host only listens.
  private static func openWorld(
    delay: Nanoseconds = .microseconds(50), configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var link = Link()
    link.delay = delay
    var world = try LifecycleTests.openWorld(link: link, configure: configure)
    world.secondHandler.bytesToSend = 0
    return world
  }

  /// Megabytes have gone, so that the sender knows how long ACKs are delayed there.
  private static func busyWorld(
    delay: Nanoseconds = .microseconds(50), configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var world = try openWorld(delay: delay, configure: configure)
    let peer = try LifecycleTests.only(world.firstHandler)
    send(&world, peer, upTo: 4 << 20)
    return world
  }

  private static func send(_ world: inout StreamWorld, _ peer: Peer, upTo total: UInt64) {
    world.first.offer(peer, upTo: total)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.peers[peer]?.acknowledged == total })
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
    // What came twice may have been late only: another silence is not probed early before more ACKs have come.
    let second = Self.loseTheAck(&world, peer, until: 4 << 20 + 28_000)
    #expect(second > .milliseconds(15))
    for count in 1...20 as ClosedRange<UInt64> { Self.send(&world, peer, upTo: (4 + count) << 20) }
    let third = Self.loseTheAck(&world, peer, until: 24 << 20 + 14_000)
    #expect(third < .milliseconds(4))
    #expect(world.first.statistics.probeTimeouts == before + 3)
  }

  /// A peer that takes the round trip for longer than it is delays ACKs by a quarter of that. Probes for single packets hide it
  /// from the sender, whose probes ask for an answer at once.
  @Test func thePeerThatIsLateIsNotProbedForEver() throws {
    var world = try Self.busyWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let other = try LifecycleTests.only(world.secondHandler)
    world.second.peers.flows[other.slot].roundTrip = RoundTripEstimate()
    world.second.peers.flows[other.slot].roundTrip.update(sample: .milliseconds(40), acknowledgementDelay: 0)
    let before = world.first.statistics.probeTimeouts
    var total: UInt64 = 4 << 20
    for _ in 0..<50 {
      total += 100
      Self.send(&world, peer, upTo: total)
      _ = world.run(for: .milliseconds(30))
    }
    let probes = world.first.statistics.probeTimeouts - before
    #expect(probes >= 1 && probes <= 10)
    #expect(world.second.statistics.duplicates <= 10)
  }

  /// Where nothing was lost no stream's end is repeated: not behind probes of a closed window, and not behind an early one that a
  /// late peer had, though the connection has rested since.
  @Test func probesAreNoLosses() throws {
    var world = try Self.openWorld { ($0.receiveWindow, $0.initialReceiveWindow) = (64, 64) }
    let peer = try LifecycleTests.only(world.firstHandler)
    world.secondHandler.pausesAt = 1
    world.first.offer(peer, upTo: 200_000)
    let before = world.first.statistics.probeTimeouts
    #expect(world.run(for: .seconds(60)) { $0.first.statistics.probeTimeouts > before + 3 })
    world.secondHandler.pausesAt = .max
    world.second.resume(try LifecycleTests.only(world.secondHandler))
    #expect(world.run(for: .seconds(60)) { $0.firstHandler.peers[peer]?.acknowledged == 200_000 })
    Self.finish(&world, peer, at: 400_000)
    #expect(world.second.statistics.duplicates == 0)
  }

  @Test func anEarlyProbeIsNoLoss() throws {
    var world = try Self.busyWorld()
    let peer = try LifecycleTests.only(world.firstHandler)
    let other = try LifecycleTests.only(world.secondHandler)
    world.second.peers.flows[other.slot].roundTrip = RoundTripEstimate()
    world.second.peers.flows[other.slot].roundTrip.update(sample: .milliseconds(40), acknowledgementDelay: 0)
    Self.send(&world, peer, upTo: 4 << 20 + 100)
    #expect(world.second.statistics.duplicates == 1)
    #expect(world.run(for: .seconds(10)) { !$0.first.peers.flows.contains(peer.slot) })
    Self.finish(&world, peer, at: 5 << 20)
    #expect(world.second.statistics.duplicates == 1)
  }

  private static func finish(_ world: inout StreamWorld, _ peer: Peer, at total: UInt64) {
    world.first.offer(peer, upTo: total)
    world.first.finish(peer)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.peers[peer]?.acknowledged == total })
    _ = world.run(for: .seconds(1))
  }

  /// The first probe is never later than it would be without an early one.
  @Test func anEarlyProbeIsNotLate() throws {
    var world = try Self.busyWorld(delay: .milliseconds(45)) { $0.idleTimeout = .seconds(1) }
    let peer = try LifecycleTests.only(world.firstHandler)
    let slot = peer.slot
    world.first.peers.flows[slot].roundTrip = RoundTripEstimate()
    world.first.peers.flows[slot].roundTrip.update(sample: .milliseconds(90), acknowledgementDelay: 0)
    _ = world.run(for: .milliseconds(10))
    world.back.isDown = true
    world.first.offer(peer, upTo: 4 << 20 + 100)
    let before = world.first.statistics.probeTimeouts
    let start = world.now
    #expect(world.run(for: .seconds(1)) { $0.first.statistics.probeTimeouts > before })
    // 9/8 of the round trip and 25 ms; a probe timeout would be 90 + 180 ms and more.
    #expect(world.now - start < .milliseconds(130))
  }

  /// Before any ACK has told how long it was delayed.
  @Test func whatThePeerMayTakeIsWaitedFor() throws {
    var world = try Self.openWorld()
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
    #expect(world.first.statistics.probeTimeouts == before + 1 && world.first.peers.flows[peer.slot].ptoCount == 0)
    // Then one after each of 26, 52 and 105 ms.
    var times: [Nanoseconds] = []
    for expected in 1...3 {
      let start = world.now
      #expect(world.run(for: .seconds(1)) { $0.first.peers.flows[peer.slot].ptoCount == expected })
      times.append(world.now - start)
    }
    #expect(times[0] < .milliseconds(27) && times[1] > .milliseconds(50) && times[2] > .milliseconds(100))
    #expect(world.first.statistics.probeTimeouts == before + 4)
    world.back.isDown = false
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[peer]?.acknowledged == 4 << 20 + 14_000 })
    #expect(world.first.peers.flows[peer.slot].ptoCount == 0)
  }

  /// Nobody answers, and nothing ends the connection: what it asks backs off to once in a minute, and no further. Of a longer
  /// datagram than every path carries it asks, too, whether it arrives.
  @Test(arguments: [1200, 1400]) func withoutAnIdleTimeoutProbesGoOnOnceAMinute(datagram: Int) throws {
    var world = try Self.busyWorld { ($0.idleTimeout, $0.keepAlive, $0.maximumDatagram) = (0, 0, datagram) }
    let peer = try LifecycleTests.only(world.firstHandler)
    world.forth.isDown = true
    world.first.offer(peer, upTo: 4 << 20 + 1000)
    let sent = world.recording { _ = $0.run(for: .seconds(3600)) }.filter { $0.host == 0 }
    let waits = zip(sent, sent.dropFirst()).map { $1.time - $0.time }.filter { $0 > 0 }
    // A tick of the wheel beside.
    #expect(waits.allSatisfy { $0 < .milliseconds(60_010) } && waits.max() ?? 0 >= .seconds(60))
    #expect(waits.count > 60 && waits.count < 150, "\(waits.suffix(10))")
    #expect(world.firstHandler.closedCount == 0)
  }

  /// Persistent congestion (RFC 9002, section 7.6).
  @Test(arguments: [(.cubic, 2), (.bbr, 4)] as [(CongestionAlgorithm, UInt64)]) func theThirdLeavesTheSmallestWindow(
    congestion: CongestionAlgorithm, segments: UInt64
  ) throws {
    var world = try Self.busyWorld { $0.congestion = congestion }
    let peer = try LifecycleTests.only(world.firstHandler)
    world.back.isDown = true
    world.first.offer(peer, upTo: 4 << 20 + 14_000)
    _ = world.run(for: .milliseconds(1))
    let before = world.first.statistics(of: peer)!.congestionWindow
    #expect(before > 20_000)
    for count in 1...2 {
      #expect(world.run(for: .seconds(1)) { $0.first.peers.flows[peer.slot].ptoCount == count })
      #expect(world.first.statistics(of: peer)!.congestionWindow == before, "behind probe \(count)")
    }
    #expect(world.run(for: .seconds(1)) { $0.first.peers.flows[peer.slot].ptoCount == 3 })
    // Of segments as long as they were, or as every path carries.
    let window = world.first.statistics(of: peer)!.congestionWindow
    #expect(window >= segments * 1200 && window <= segments * 1400)
  }
}

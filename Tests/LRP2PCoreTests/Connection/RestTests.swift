// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

private typealias StreamWorld = World<StreamHandler>

/// Connections over which nothing moves, and what wakes them.
@Suite struct RestTests {
  /// Two hosts whose connection has carried `bytes` each way and rests.
  private static func restingWorld(
    bytes: UInt64 = 100_000, seed: UInt64 = 1, configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var world = try LifecycleTests.openWorld(seed: seed, configure: configure)
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    if bytes > 0 {
      world.first.offer(dialled, upTo: bytes)
      #expect(
        world.run(for: .seconds(10)) {
          $0.firstHandler.peers[dialled]?.received == bytes && $0.secondHandler.peers[accepted]?.acknowledged == bytes
        })
    }
    _ = world.run(for: .seconds(3))
    expectRest(world)
    return world
  }

  private static func expectRest(
    _ world: borrowing StreamWorld, _ isResting: Bool = true, location: SourceLocation = #_sourceLocation
  ) {
    let flows = (world.first.peers.flows.inUse, world.second.peers.flows.inUse)
    let expected = isResting ? 0 : 1
    #expect(flows == (expected, expected), sourceLocation: location)
  }

  @Test(arguments: 1...5) func dataWakesBothSides(seed: UInt64) throws {
    var world = try Self.restingWorld(seed: seed)
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    var total: UInt64 = 100_000
    for round in 0..<6 {
      total += UInt64(1 + round * 20_000)
      world.first.offer(dialled, upTo: total)
      let expected = total
      #expect(
        world.run(for: .seconds(10)) {
          $0.firstHandler.peers[dialled]?.received == expected
            && $0.firstHandler.peers[dialled]?.acknowledged == expected
        })
      if round % 2 == 0 {
        _ = world.run(for: .seconds(5))
        Self.expectRest(world)
      }
    }
    world.first.finish(dialled)
    world.second.finish(accepted)
    #expect(world.run(for: .seconds(10)) { $0.firstHandler.closedCount == 1 && $0.secondHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.closed == .finished)
    #expect(world.firstHandler.mismatches + world.secondHandler.mismatches == 0)
    #expect(world.firstHandler.violations + world.secondHandler.violations == 0)
  }

  @Test func figuresAreKept() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.first.offer(dialled, upTo: 5_000_000)
    #expect(world.run(for: .seconds(30)) { $0.firstHandler.peers[dialled]?.acknowledged == 5_000_000 })
    let figures = world.first.statistics(of: dialled)
    let before = try #require(figures)
    let path = world.first.rememberedPath(of: dialled)
    let learnt = try #require(path)
    _ = world.run(for: .seconds(5))
    Self.expectRest(world)
    let resting = world.first.statistics(of: dialled)
    let after = try #require(resting)
    // In whole microseconds.
    #expect(after.smoothedRTT / 1000 == before.smoothedRTT / 1000)
    #expect(after.minimumRTT / 1000 == before.minimumRTT / 1000)
    #expect(after.deliveryRate == before.deliveryRate && after.key == before.key && after.aead == before.aead)
    #expect(after.retransmissions == before.retransmissions && after.datagramBytes == before.datagramBytes)
    #expect(after.congestion == before.congestion && after.bytesInFlight == 0)
    #expect(world.first.rememberedPath(of: dialled)?.bytesPerSecond == learnt.bytesPerSecond)
    // Asking wakes nobody.
    Self.expectRest(world)
  }

  @Test func aPingIsAnsweredAndBothRestAgain() throws {
    var world = try Self.restingWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.first.ping(dialled, token: 5)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.pongs == [5] })
    _ = world.run(for: .seconds(3))
    Self.expectRest(world)
  }

  /// Waking and resting change the wheel over flows; what the slot waits for at rest stays where it is in the other, not later
  /// than it is due.
  @Test func theWheelOverSlotsIsLeftAlone() throws {
    var world = try Self.restingWorld(bytes: 1000) {
      $0.keepAlive = .seconds(20)
      $0.flowsAtLeisure = 0
    }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let before = world.first.peers.rows[dialled.slot].wheelDeadline
    for round in 1...3 as ClosedRange<UInt64> {
      world.first.offer(dialled, upTo: 1000 + round)
      #expect(
        world.run(for: .seconds(1)) {
          $0.first.peers.flows.inUse == 1 && $0.first.peers.rows[dialled.slot].sendPacketNumber > 0
        })
      let rests = world.run(for: .seconds(1)) { $0.first.peers.flows.inUse == 0 }
      #expect(rests)
      #expect(world.first.peers.rows[dialled.slot].wheelDeadline == before)
    }
    #expect(before <= world.first.peers.headers[dialled.slot].keepAliveDeadline(.seconds(20)))
    #expect(world.first.peers.places.inUse == 0 && world.first.peers.places.count == 1)
  }

  /// Who answers at once sends the ACK along: the wheel is not set to when it would have been due alone.
  @Test func whatGoesAlongIsNotWaitedFor() throws {
    var world = try Self.restingWorld(bytes: 1000)
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    for round in 1...3 as ClosedRange<UInt64> {
      world.first.offer(dialled, upTo: 1000 + round * 100)
      let sent = world.second.peers.rows[accepted.slot].sendPacketNumber
      let isAnswered = world.run(for: .seconds(1)) { $0.second.peers.rows[accepted.slot].sendPacketNumber == sent + 1 }
      #expect(isAnswered)
      let waitsFor = world.second.peers.flows[accepted.slot].wheelDeadline
      let roundTrip = world.second.peers.flows[accepted.slot].roundTrip.smoothed
      #expect(waitsFor >= world.now + roundTrip, "round \(round)")
      #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers[dialled]?.received == 1000 + round * 100 })
      _ = world.run(for: .seconds(3))
      Self.expectRest(world)
    }
  }

  @Test func keepAlivesGoOnAndSilenceEndsIt() throws {
    var world = try Self.restingWorld { $0.keepAlive = .seconds(8) }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    _ = world.run(for: .seconds(300))
    #expect(world.firstHandler.closedCount + world.secondHandler.closedCount == 0)
    Self.expectRest(world)
    world.forth.isDown = true
    world.back.isDown = true
    _ = world.run(for: .seconds(40))
    #expect(world.firstHandler.peers[dialled]?.closed == .idleTimeout)
    #expect(world.secondHandler.peers[accepted]?.closed == .idleTimeout)
  }

  @Test func withoutKeepAliveTheClockAloneEndsIt() throws {
    var world = try Self.restingWorld { $0.keepAlive = 0 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    _ = world.run(for: .seconds(40))
    #expect(world.firstHandler.peers[dialled]?.closed == .idleTimeout)
  }

  @Test func replaysAndForgeriesWakeNobody() throws {
    var world = try Self.restingWorld { $0.keepAlive = 0 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    let key = world.first.peers.keys[PeerTable.sealingRow(dialled.slot)]
    let next = world.first.peers.rows[dialled.slot].sendPacketNumber
    let before = world.second.statistics
    func inject(_ packetNumber: UInt64, _ key: TrafficKey) {
      world.inject(
        StreamWorld.sealed([6, 0, 0, 0, 0, 0], id: accepted.connectionID, packetNumber: packetNumber, key: key),
        from: StreamWorld.firstAddress)
    }
    for packetNumber in 0..<next { inject(packetNumber, key) }
    _ = world.run(for: .milliseconds(20))
    #expect(world.second.statistics.replays == before.replays + next)
    var other = key
    other.bytes[0] ^= 1
    inject(next, other)
    // Of an epoch to come, and of one far ahead.
    inject(1 << 24, other)
    inject(9 << 24, other)
    _ = world.run(for: .milliseconds(20))
    #expect(world.second.statistics.authenticationFailures == before.authenticationFailures + 2)
    #expect(world.second.statistics.keyUnavailable == before.keyUnavailable + 1)
    Self.expectRest(world)
  }

  /// An initiator that says nothing behind message 3 costs no more than any other idle peer, and its first word is heard.
  @Test func aSilentInitiatorCostsNoFlow() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    _ = world.run(for: .seconds(3))
    Self.expectRest(world)
    #expect(!world.second.peers.rows[accepted.slot].isConfirmed)
    world.first.offer(dialled, upTo: 50_000)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[dialled]?.received == 50_000 })
    #expect(world.second.peers.rows[accepted.slot].isConfirmed)
  }

  /// The responder rests at once; its answer to message 3 is lost.
  @Test func aRepeatedMessage3WakesTheResponder() throws {
    var world = LifecycleTests.world(sends: nil) { $0.flowsAtLeisure = 0 }
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { $0.first.peers.rows[dialled.slot].phase == .established })
    world.back.isDown = true
    #expect(world.run(for: .seconds(1)) { !$0.secondHandler.peers.isEmpty })
    let accepted = try LifecycleTests.only(world.secondHandler)
    #expect(world.run(for: .milliseconds(100)) { $0.second.peers.flows.inUse == 0 })
    #expect(!world.second.peers.rows[accepted.slot].isConfirmed && world.first.peers.handshakes.inUse == 1)
    world.back.isDown = false
    #expect(world.run(for: .seconds(5)) { $0.first.peers.handshakes.inUse == 0 })
    #expect(world.run(for: .seconds(5)) { $0.second.peers.flows.inUse == 0 })
    #expect(world.second.peers.inUse == 1)
  }

  /// The key changes with the first datagram behind a rest.
  @Test func anEpochBeginsBehindARest() throws {
    var world = try Self.restingWorld { $0.keyEpochBits = 10 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.first.peers.rows[dialled.slot].sendPacketNumber = 1024
    world.first.offer(dialled, upTo: 150_000)
    #expect(world.run(for: .seconds(10)) { $0.firstHandler.peers[dialled]?.received == 150_000 })
    #expect(world.second.peers.headers[accepted.slot].epochs.receiving == 1)
    _ = world.run(for: .seconds(5))
    Self.expectRest(world)
    #expect(world.second.peers.headers[accepted.slot].epochs.receiving == 1)
    #expect(world.first.peers.headers[dialled.slot].epochs.sending == 1)
  }

  /// What is paused, half closed or told beforehand what the path is like has more to keep than a row.
  @Test func whoHasStateStaysAwake() throws {
    var world = try Self.restingWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.second.pause(accepted)
    _ = world.run(for: .seconds(5))
    #expect(world.first.peers.flows.inUse == 0 && world.second.peers.flows.inUse == 1)
    world.second.resume(accepted)
    _ = world.run(for: .seconds(5))
    Self.expectRest(world)
    world.first.useRememberedPath(RememberedPath(roundTrip: .milliseconds(10), bytesPerSecond: 1_000_000), for: dialled)
    _ = world.run(for: .seconds(5))
    #expect(world.first.peers.flows.inUse == 1)
    world.first.finish(dialled)
    _ = world.run(for: .seconds(5))
    Self.expectRest(world, false)
  }

  @Test func closingWakes() throws {
    var world = try Self.restingWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.second.close(accepted, code: 7, reason: "enough")
    _ = world.run(for: .seconds(5))
    #expect(world.firstHandler.peers[dialled]?.closed == .remote(code: 7, reason: "enough"))
    #expect(world.first.peers.inUse == 0 && world.second.peers.inUse == 0)
  }

  @Test func aMoveIsFollowedBehindARest() throws {
    var world = try Self.restingWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    let elsewhere = Address(ipv4: 0x0A00_0009, port: 77)
    world.presentAddress = elsewhere
    world.first.offer(dialled, upTo: 120_000)
    #expect(world.run(for: .seconds(10)) { $0.firstHandler.peers[dialled]?.received == 120_000 })
    _ = world.run(for: .seconds(10))
    #expect(world.second.statistics(of: accepted)?.address == elsewhere)
    Self.expectRest(world)
  }

  @Test func whereManyAreAwakeTheyRestAtOnce() throws {
    var world = try LifecycleTests.openWorld { $0.flowsAtLeisure = 0 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    // The responder holds the handshake until it hears of the initiator.
    world.first.ping(dialled, token: 1)
    _ = world.run(for: .milliseconds(400))
    Self.expectRest(world)
    world.first.offer(dialled, upTo: 3000)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers[dialled]?.received == 3000 })
    _ = world.run(for: .milliseconds(400))
    Self.expectRest(world)
  }

  @Test func zeroNeverRests() throws {
    var world = try LifecycleTests.openWorld { $0.restAfter = 0 }
    _ = world.run(for: .seconds(100))
    Self.expectRest(world, false)
  }

  /// An idle peer is to cost at most 576 bytes, pointers of its slot and place in the wheel included.
  @Test func anIdlePeerIsSmall() {
    let perSlot =
      MemoryLayout<PeerRow>.stride + 2 * MemoryLayout<TrafficKey>.stride + MemoryLayout<ConnectionHeader>.stride
    #expect(MemoryLayout<PeerRow>.stride == 64)
    // The token, and what finds it.
    let reset = MemoryLayout<ResetToken>.stride + 2 * MemoryLayout<Int32>.stride
    #expect(perSlot + 3 * MemoryLayout<Int>.stride + 24 + reset <= 512)
  }
}

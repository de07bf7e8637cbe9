// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Peers that move, others who only seem to, and paths that carry less than they did; in virtual time.
@Suite struct PathTests {
  typealias StreamWorld = World<StreamHandler>

  private static func address(_ host: UInt32, port: UInt16) -> Address {
    Address(ipv4: 0x0A00_0000 + host, port: port)
  }

  private func check(_ world: borrowing StreamWorld, bytes: UInt64, seed: UInt64) {
    for handler in [world.firstHandler, world.secondHandler] {
      #expect(handler.mismatches == 0 && handler.violations == 0, "seed \(seed)")
      for progress in handler.peers.values {
        #expect(
          progress.closed == .finished && progress.received == bytes && progress.acknowledged == bytes,
          "seed \(seed): \(progress)")
      }
    }
    #expect(world.first.statistics.poolBytesInUse == 0 && world.second.statistics.poolBytesInUse == 0)
  }

  private static func isOver(_ world: borrowing StreamWorld) -> Bool {
    TransferTests.isClosed(world.firstHandler) && TransferTests.isClosed(world.secondHandler)
  }

  /// Both send, so the end that moves is heard of.
  @Test(arguments: 1...20) func theAddressChangesThreeTimes(seed: UInt64) throws {
    var link = Link()
    link.rate = 20_000_000
    link.loss = 0.01
    link.jitter = .milliseconds(2)
    let bytes: UInt64 = 4 << 20
    var world = LifecycleTests.world(seed: seed, link: link, sends: bytes)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    // The port, the host, and the host back again.
    for (at, address) in [
      (300, Self.address(1, port: 1001)), (700, Self.address(7, port: 1001)), (1100, Self.address(1, port: 1000)),
    ] {
      _ = world.run(for: .milliseconds(300))
      #expect(world.firstHandler.closedCount == 0, "still under way at \(at) ms")
      world.presentAddress = address
    }
    let isDone = world.run(for: .seconds(120)) { Self.isOver($0) }
    #expect(isDone, "seed \(seed): \(world.firstHandler.peers.values) \(world.secondHandler.peers.values)")
    check(world, bytes: bytes, seed: seed)
    #expect(
      world.secondHandler.moves
        == [Self.address(1, port: 1001), Self.address(7, port: 1001), Self.address(1, port: 1000)], "seed \(seed)")
  }

  /// Everything is repeated under another address, ahead of the original; what is answered there is lost, or reaches
  /// the peer by a detour.
  @Test(arguments: [false, true]) func aSpoofedChangeDoesNotTakeOver(forwards: Bool) throws {
    var link = Link()
    link.rate = 20_000_000
    let bytes: UInt64 = 2 << 20
    var world = LifecycleTests.world(link: link, sends: bytes)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(200))
    world.spoofer = Self.address(66, port: 666)
    world.spooferForwards = forwards
    let isDone = world.run(for: .seconds(60)) { Self.isOver($0) }
    #expect(isDone)
    check(world, bytes: bytes, seed: 1)
    #expect(world.secondHandler.moves.isEmpty && world.second.statistics.pathValidations > 0)
    #expect(world.second.statistics.pathValidations < 20, "a refusal holds off the next validation")
    #expect(world.second.statistics.pathValidationsRefused > 0 && world.second.statistics.pathValidationsPutOff > 0)
    #expect(world.second.statistics.isBalanced)
  }

  /// A peer that only receives is heard of by its keep-alive.
  @Test func aReceiverThatMovesIsFoundAgain() throws {
    var link = Link()
    link.rate = 20_000_000
    var world = LifecycleTests.world(link: link, sends: nil) { $0.keepAlive = .seconds(5) }
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(100))
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.firstHandler.bytesToSend = 0
    world.second.offer(accepted, upTo: 3_000_000)
    _ = world.run(for: .milliseconds(300))
    world.presentAddress = Self.address(9, port: 9)
    #expect(world.run(for: .seconds(30)) { $0.firstHandler.peers.values.first?.received == 3_000_000 })
    #expect(world.secondHandler.moves == [Self.address(9, port: 9)])
  }

  @Test func nothingMovesWithoutAnAuthenticDatagram() throws {
    var world = try LifecycleTests.openWorld()
    let accepted = try LifecycleTests.only(world.secondHandler)
    var forged = [UInt8](repeating: 1, count: 100)
    for index in 0..<8 { forged[index] = UInt8(truncatingIfNeeded: accepted.connectionID >> (56 - 8 * UInt64(index))) }
    world.inject(forged, from: Self.address(5, port: 5))
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.pathValidations == 0)
  }

  /// Full datagrams vanish, silently, while shorter ones arrive.
  @Test(arguments: 1...20) func thePathShrinks(seed: UInt64) throws {
    var link = Link()
    link.rate = 20_000_000
    link.loss = 0.01
    link.jitter = .milliseconds(1)
    let bytes: UInt64 = 3 << 20
    var world = LifecycleTests.world(seed: seed, link: link, sends: bytes)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(400))
    #expect(world.firstHandler.closedCount == 0 && world.first.statistics(of: peer)?.datagramBytes == 1400)
    world.forth.largestDatagram = 1280
    world.back.largestDatagram = 1280
    _ = world.run(for: .milliseconds(1800))
    if let size = world.first.statistics(of: peer)?.datagramBytes { #expect((1200...1280).contains(size)) }
    let isDone = world.run(for: .seconds(120)) { Self.isOver($0) }
    #expect(isDone, "seed \(seed): \(world.firstHandler.peers.values) \(world.secondHandler.peers.values)")
    check(world, bytes: bytes, seed: seed)
  }

  /// One direction shrinks under a sender of short and long segments in turn: short ones are acknowledged all along.
  @Test func shortSegmentsDoNotHideTheBlackHole() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.secondHandler.bytesToSend = 0
    world.forth.largestDatagram = 1280
    var offset: UInt64 = 0
    for _ in 0..<200 {
      offset += 1500
      world.first.offer(dialled, upTo: offset)
      _ = world.run(for: .milliseconds(11))
    }
    #expect(world.run(for: .seconds(10)) { $0.secondHandler.peers[accepted]?.received == offset })
    #expect(world.secondHandler.mismatches == 0 && world.secondHandler.violations == 0)
  }

  /// Larger datagrams than the handshake has shown are found by probing.
  @Test(arguments: [(Int.max, 9000), (4000, 3968), (1400, 1400)]) func theSearchFindsWhatThePathCarries(
    limit: Int, expected: Int
  ) throws {
    var link = Link()
    link.largestDatagram = limit
    var world = try LifecycleTests.openWorld(link: link) { $0.maximumDatagram = 9000 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.secondHandler.bytesToSend = 0
    _ = world.run(for: .seconds(20))
    let size = world.first.statistics(of: dialled)?.datagramBytes ?? 0
    #expect(size <= limit && size >= expected - 32, "\(size)")
    world.first.offer(dialled, upTo: 500_000)
    #expect(world.run(for: .seconds(20)) { $0.secondHandler.peers[accepted]?.received == 500_000 })
    #expect(world.secondHandler.mismatches == 0)
  }

  /// An outage looks like a black hole; afterwards full datagrams come back.
  @Test func anOutageDoesNotKeepDatagramsShort() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.secondHandler.bytesToSend = 0
    world.first.offer(dialled, upTo: 100_000)
    _ = world.run(for: .milliseconds(12))
    world.forth.isDown = true
    world.back.isDown = true
    _ = world.run(for: .seconds(15))
    world.forth.isDown = false
    world.back.isDown = false
    #expect(world.run(for: .seconds(20)) { $0.secondHandler.peers[accepted]?.received == 100_000 })
    _ = world.run(for: .seconds(15))
    #expect(world.first.statistics(of: dialled)?.datagramBytes == 1400)
  }

  /// The size of the old path is asked for when the peer moves: the answer says nothing of the new one.
  @Test func aLateAnswerAboutTheOldPathRaisesNothing() throws {
    var link = Link()
    link.largestDatagram = 1300
    // The first message 1 is too long; datagrams begin with 1200 bytes.
    var world = try LifecycleTests.openWorld(link: link) { $0.maximumDatagram = 9000 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    _ = world.run(for: .milliseconds(20))
    let slot = Peer.slot(of: world.first.peers.rows[dialled.slot].remoteID)
    let (probing, challenge) = (world.first.peers.flows[slot].mtu.probing, world.first.peers.flows[slot].mtu.challenge)
    #expect(probing == 9000 && world.first.statistics(of: dialled)?.datagramBytes == 1200)
    let elsewhere = Self.address(8, port: 8)
    world.secondLeavesFrom(elsewhere)
    world.second.switchPath(accepted)
    #expect(world.run(for: .milliseconds(200)) { $0.firstHandler.moves == [elsewhere] })
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: challenge >> (56 - 8 * UInt64($0))) }
    world.injectSealed(RawSegment.control(Control.response, bytes), fromFirst: false, peer: accepted, from: elsewhere)
    _ = world.run(for: .milliseconds(1))
    #expect(world.first.statistics(of: dialled)?.datagramBytes == 1200)
    // What the old path was found to carry does not bound the search either.
    world.forth.largestDatagram = .max
    world.back.largestDatagram = .max
    _ = world.run(for: .seconds(5))
    #expect(world.first.statistics(of: dialled)?.datagramBytes == 9000)
  }

  /// Behind a move to another host nothing that was known of the path holds; another port is another entry of an address
  /// translator's, on the same path.
  @Test(arguments: [false, true], CongestionAlgorithm.allCases) func whatAMoveForgets(
    isOtherHost: Bool, congestion: CongestionAlgorithm
  ) throws {
    var link = Link()
    link.rate = 100_000_000
    var world = try LifecycleTests.openWorld(link: link) {
      ($0.maximumDatagram, $0.congestion, $0.restAfter) = (9000, congestion, 0)
    }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.firstHandler.bytesToSend = 0
    world.second.offer(accepted, upTo: 8 << 20)
    #expect(world.run(for: .seconds(20)) { $0.secondHandler.peers[accepted]?.acknowledged == 8 << 20 })
    let slot = accepted.slot
    let window = world.second.peers.flows[slot].congestion.window
    let roundTrip = world.second.peers.flows[slot].roundTrip
    let size = world.second.statistics(of: accepted)?.datagramBytes
    #expect(size == 9000 && window > 100_000 && roundTrip.samples > 10 && roundTrip.minimum < .milliseconds(12))

    world.forth.delay = .milliseconds(20)
    world.presentAddress = Self.address(isOtherHost ? 7 : 1, port: 1001)
    world.first.ping(dialled, token: 1)
    #expect(world.run(for: .seconds(5)) { !$0.secondHandler.moves.isEmpty })
    let windowBehind = world.second.peers.flows[slot].congestion.window
    let roundTripBehind = world.second.peers.flows[slot].roundTrip
    let sizeBehind = world.second.statistics(of: accepted)?.datagramBytes
    if isOtherHost {
      let first = CongestionControl(congestion, segment: 1200, initialWindow: 32, seed: 0)
      #expect(sizeBehind == 1200 && windowBehind == first.window)
      // That of the validation.
      #expect(roundTripBehind.samples == 1 && roundTripBehind.minimum >= .milliseconds(25))
    } else {
      #expect(sizeBehind == size && windowBehind == window)
      #expect(roundTripBehind.samples == roundTrip.samples && roundTripBehind.smoothed == roundTrip.smoothed)
    }
  }
}

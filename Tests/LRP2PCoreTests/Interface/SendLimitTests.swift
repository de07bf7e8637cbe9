// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What keeps a connection from sending, as its figures tell.
@Suite struct SendLimitTests {
  typealias StreamWorld = World<StreamHandler>

  private static func limit(_ world: borrowing StreamWorld, _ peer: Peer) -> SendLimit? {
    world.first.statistics(of: peer)?.limitedBy
  }

  @Test func theHandshake() throws {
    var world = LifecycleTests.world(sends: nil)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    world.first.offer(peer, upTo: 1000)
    #expect(Self.limit(world, peer) == .handshake)
    #expect(world.run(for: .seconds(1)) { Self.limit($0, peer) != .handshake })
  }

  /// The original needs a pause behind message 3.
  @Test func thePauseOfTheOriginal() throws {
    var world = LifecycleTests.world(sends: 100_000) { $0.acceptsOriginal = true }
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers[peer] != nil })
    #expect(Self.limit(world, peer) == .handshake)
    #expect(world.run(for: .milliseconds(25)) { Self.limit($0, peer) != .handshake })
  }

  @Test func theProgramAndAConnectionAtRest() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    #expect(Self.limit(world, dialled) == .application)
    world.first.offer(dialled, upTo: 10_000)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers[dialled]?.acknowledged == 10_000 })
    _ = world.run(for: .milliseconds(500))
    #expect(world.first.peers.flows.inUse == 1)
    let before = world.first.statistics(of: dialled)
    _ = world.run(for: .seconds(5))
    #expect(world.first.peers.flows.inUse == 0)
    let figures = world.first.statistics(of: dialled)
    let resting = try #require(figures)
    #expect(resting.limitedBy == .application && resting.bytesWaiting == 0)
    #expect(resting.sendWindowPackets == before?.sendWindowPackets)
    #expect(resting.receiveWindowPackets == before?.receiveWindowPackets && resting.receiveWindowPackets > 0)
    #expect(resting.lastReceived == before?.lastReceived && resting.lastReceived > 0)
    #expect(world.first.peers.flows.inUse == 0, "asking wakes nobody")
  }

  /// Without messages: with them the peer holds its stream back before the window is closed.
  @Test func theReceiversWindow() throws {
    var world = try LifecycleTests.openWorld { ($0.receiveWindow, $0.usesMessages) = (100, false) }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.secondHandler.pausesAt = 1
    world.first.offer(dialled, upTo: 1 << 20)
    _ = world.run(for: .seconds(2))
    let sending = world.first.statistics(of: dialled)
    let sender = try #require(sending)
    #expect(sender.limitedBy == .receiveWindow && sender.sendWindowPackets == 0)
    #expect(sender.bytesWaiting > 0 && sender.bytesInFlight == 0)
    let receiving = world.second.statistics(of: accepted)
    let receiver = try #require(receiving)
    #expect(receiver.isReaderPaused && receiver.packetsUnread == 100 && receiver.receiveWindowPackets == 0)
    #expect(receiver.gaps == 0 && receiver.packetsBehindGaps == 0)
    world.secondHandler.pausesAt = .max
    world.second.resume(accepted)
    #expect(world.run(for: .seconds(10)) { $0.firstHandler.peers[dialled]?.acknowledged == 1 << 20 })
    #expect(Self.limit(world, dialled) == .application)
  }

  /// A sender that has rested in front of a closed window goes on when it opens.
  @Test func theWindowOpensForOneThatHasRested() throws {
    var world = try LifecycleTests.openWorld {
      ($0.receiveWindow, $0.keepAlive, $0.idleTimeout, $0.usesMessages) = (100, 0, 0, false)
    }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.secondHandler.bytesToSend = 0
    world.secondHandler.pausesAt = 1
    // The reader has taken one.
    let window = 101 * UInt64(Segment.capacity(datagram: 1400))
    world.first.offer(dialled, upTo: window)
    _ = world.run(for: .seconds(5))
    #expect(world.first.peers.flows.inUse == 0 && world.first.statistics(of: dialled)?.sendWindowPackets == 0)
    world.first.offer(dialled, upTo: window + 10_000)
    #expect(Self.limit(world, dialled) == .receiveWindow)
    _ = world.run(for: .milliseconds(100))
    world.secondHandler.pausesAt = .max
    world.second.resume(accepted)
    #expect(world.run(for: .seconds(300)) { $0.secondHandler.peers[accepted]?.received == window + 10_000 })
  }

  @Test(arguments: CongestionAlgorithm.allCases) func theCongestionWindowAndThePace(congestion: CongestionAlgorithm)
    throws
  {
    var link = Link()
    link.rate = 10_000_000
    link.delay = .milliseconds(50)
    var world = try LifecycleTests.openWorld(link: link) { $0.congestion = congestion }
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.secondHandler.bytesToSend = 0
    world.first.offer(dialled, upTo: 100 << 20)
    #expect(world.run(for: .seconds(2)) { Self.limit($0, dialled) == .pacing })
    // No answer comes: the window fills.
    world.back.isDown = true
    #expect(world.run(for: .seconds(2)) { Self.limit($0, dialled) == .congestionWindow })
    let figures = world.first.statistics(of: dialled)
    let full = try #require(figures)
    #expect(full.bytesInFlight >= full.congestionWindow && full.bytesWaiting > 0 && full.sendWindowPackets > 0)
  }

  @Test func theSocket() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.first.offer(dialled, upTo: 1000)
    // It has its turn at the end of this one, unless the reactor could not send all of the last.
    #expect(Self.limit(world, dialled) == .nothing)
    world.first.socketIsBehind = true
    #expect(Self.limit(world, dialled) == .socket)
    world.first.socketIsBehind = false
    #expect(world.run(for: .seconds(1)) { Self.limit($0, dialled) == .application })
  }

  @Test func gapsAndMarks() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    // Numbers 2, 3 and 7 of a stream whose 0 is missing.
    for number in [2, 3, 7] as [UInt8] {
      world.injectSealed([6, 0, 0, 0, 0, number, 1], fromFirst: true, peer: dialled)
    }
    _ = world.run(for: .milliseconds(5))
    let figures = world.second.statistics(of: accepted)
    let receiver = try #require(figures)
    #expect(receiver.gaps == 2 && receiver.packetsBehindGaps == 8 && receiver.packetsUnread == 0)
    #expect(receiver.duplicatesReceived == 0 && receiver.congestionMarksReceived == 0)
    #expect(receiver.authenticationFailures == 0 && !receiver.isReaderPaused)
  }

  @Test func marksAreToldToBothSides() throws {
    var link = Link()
    link.rate = 10_000_000
    link.delay = .milliseconds(10)
    link.ecnThreshold = 3000
    var world = try LifecycleTests.openWorld(link: link) { $0.usesECN = true }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.secondHandler.bytesToSend = 0
    world.first.offer(dialled, upTo: 2_000_000)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.peers[dialled]?.acknowledged == 2_000_000 })
    let received = world.second.statistics(of: accepted)?.congestionMarksReceived
    #expect(received ?? 0 > 0 && world.first.statistics(of: dialled)?.congestionMarksReported == received)
  }

  /// What could be sent has a turn, or a clock that gives it one: else it would wait for ever.
  @Test(arguments: 1...20) func whatCouldBeSentHasItsTurn(seed: UInt64) throws {
    var link = Link()
    link.rate = 20_000_000 << (seed % 3)
    (link.loss, link.jitter, link.delay) = (0.02, .milliseconds(3), .milliseconds(10))
    var world = LifecycleTests.world(seed: seed, link: link, sends: 500_000) {
      $0.congestion = seed % 2 == 0 ? .bbr : .cubic
      $0.receiveWindow = seed % 4 == 0 ? 50 : 0xFF_FFFF
    }
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    var seen: Set<SendLimit> = []
    let isDone = world.run(for: .seconds(60)) { world in
      if let limit = Self.limit(world, dialled) {
        seen.insert(limit)
        let row = world.first.peers.rows[dialled.slot]
        if limit == .pacing, !row.isReady {
          let deadline = world.first.peers.flows[dialled.slot].pacingDeadline
          let wheelDeadline = world.first.peers.flows[dialled.slot].wheelDeadline
          #expect(deadline > 0 && wheelDeadline <= deadline, "seed \(seed)")
        }
      }
      return TransferTests.isClosed(world.firstHandler)
    }
    #expect(isDone && seen.contains(.handshake) && seen.contains(.application) && !seen.contains(.socket))
  }
}

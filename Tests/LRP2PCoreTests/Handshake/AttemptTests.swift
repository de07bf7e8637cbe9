// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Dials that need more than one attempt, and data that arrives ahead of the handshake's end.
@Suite struct AttemptTests {
  typealias StreamWorld = World<StreamHandler>

  private func finish(_ world: inout StreamWorld, _ peer: Peer, bytes: UInt64) {
    let isDone = world.run(for: .seconds(60)) {
      TransferTests.isClosed($0.firstHandler) && TransferTests.isClosed($0.secondHandler)
    }
    #expect(isDone)
    // One connection, under the handle that `connect` gave.
    #expect(world.firstHandler.peers.count == 1 && world.secondHandler.peers.count == 1)
    #expect(world.firstHandler.peers[peer]?.closed == .finished)
    #expect(world.firstHandler.peers[peer]?.received == bytes)
    #expect(world.secondHandler.peers.values.first?.received == bytes)
    #expect(world.firstHandler.mismatches + world.firstHandler.violations == 0)
    // Seven probe timeouts of a slow path.
    _ = world.run(for: .seconds(200))
    #expect(world.first.statistics.peers == 0 && world.second.statistics.peers == 0)
    #expect(world.first.statistics.poolBytesInUse == 0 && world.second.statistics.poolBytesInUse == 0)
  }

  /// The first three attempts are lost.
  @Test func aLaterAttemptWins() throws {
    var link = Link()
    link.isDown = true
    var world = LifecycleTests.world(link: link, sends: 100_000)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(4000))
    #expect(world.first.statistics.peers == 4)
    world.forth.isDown = false
    world.back.isDown = false
    _ = world.run(for: .milliseconds(3100))
    #expect(world.first.statistics(of: peer) != nil || world.firstHandler.closedCount == 1)
    finish(&world, peer, bytes: 100_000)
  }

  /// A path of 1280 bytes lets no first attempt through; the connection starts short.
  @Test func aShortPathIsLearnedFromTheHandshake() throws {
    var link = Link()
    link.largestDatagram = 1280
    var world = LifecycleTests.world(link: link, sends: 500_000)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .milliseconds(300)) { !$0.secondHandler.peers.isEmpty })
    #expect((world.first.statistics(of: peer)?.datagramBytes ?? 1200) <= 1280)
    finish(&world, peer, bytes: 500_000)
  }

  /// The answer to the first comes when three more are on their way.
  @Test func aSlowPathKeepsTheFirst() throws {
    var link = Link()
    link.delay = .milliseconds(1800)
    var world = LifecycleTests.world(link: link, sends: 20_000)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    finish(&world, peer, bytes: 20_000)
    #expect(world.second.statistics.handshakesStarted == 4 && world.second.statistics.handshakesCompleted == 1)
  }

  /// When one attempt has become the connection, the responder keeps nothing of the others.
  @Test func attemptsThatLostAreForgottenAtOnce() throws {
    var link = Link()
    link.delay = .milliseconds(1800)
    var world = LifecycleTests.world(link: link, sends: nil)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(5300))
    #expect(world.second.statistics.peers == 4 && world.secondHandler.peers.isEmpty)
    #expect(world.run(for: .milliseconds(200)) { !$0.secondHandler.peers.isEmpty })
    #expect(world.second.statistics.peers == 1)
  }

  /// The engine has slept since its last turn when its user dials.
  @Test func aDialsClockStartsWhenItsFirstMessageLeaves() throws {
    var link = Link()
    link.isDown = true
    var world = LifecycleTests.world(link: link)
    _ = world.run(for: .seconds(100))
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(199))
    #expect(world.carried == 1)
    _ = world.run(for: .milliseconds(800))
    #expect(world.carried == 2 && world.firstHandler.closedCount == 0)
    _ = world.run(for: .milliseconds(2))
    #expect(world.carried == 3)
    #expect(world.run(for: .milliseconds(15_000)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .handshakeTimeout)
  }

  /// An initiator that has nothing to say proves nothing, but what the handshake needed is gone.
  @Test func aSilentInitiatorCostsNoHandshake() throws {
    var world = LifecycleTests.world(sends: nil)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { !$0.secondHandler.peers.isEmpty })
    _ = world.run(for: .milliseconds(100))
    #expect(world.second.peers.handshakes.inUse == 0 && world.first.peers.handshakes.inUse == 0)
    #expect(world.second.peers.initiators.count == 1, "message 3 may come again")
    // Its keep-alive is the first that opens.
    _ = world.run(for: .seconds(25))
    #expect(world.second.peers.initiators.count == 0 && world.second.statistics.peers == 1)
  }

  @Test func closingEndsAllAttempts() throws {
    var link = Link()
    link.isDown = true
    var world = LifecycleTests.world(link: link)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .seconds(8))
    #expect(world.first.statistics.peers == 5)
    world.first.close(peer, code: 1)
    _ = world.run(for: .seconds(1))
    #expect(world.firstHandler.peers[peer]?.closed == .local(code: 1) && world.first.statistics.peers == 0)
  }

  /// Nothing that overtakes message 3 is lost.
  @Test(arguments: 1...30) func earlyDataIsHeld(seed: UInt64) throws {
    var link = Link()
    link.jitter = .milliseconds(50)
    var world = LifecycleTests.world(seed: seed, link: link, sends: 10_000)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.peers.values.first?.received == 10_000 })
    #expect(world.second.statistics.unknownConnection == 0 && world.second.statistics.earlyDataRefused == 0)
    finish(&world, peer, bytes: 10_000)
  }

  /// Forged data for half-open handshakes is bounded, and goes with them.
  @Test func heldDataIsBounded() throws {
    var world = LifecycleTests.world()
    world.back.isDown = true
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(20))
    var id: UInt64 = 0
    for slot in Slot.all(world.second.peers.slots) where world.second.peers.rows[slot].phase == .halfOpen {
      id = world.second.peers.rows[slot].connectionID
    }
    var forged = [UInt8](repeating: 1, count: 200)
    for index in 0..<8 { forged[index] = UInt8(truncatingIfNeeded: id >> (56 - 8 * UInt64(index))) }
    for _ in 0..<50 { world.inject(forged, from: StreamWorld.firstAddress) }
    world.inject(forged, from: Address(ipv4: 0x0A00_0077, port: 7))
    _ = world.run(for: .milliseconds(10))
    #expect(world.second.statistics.poolBytesInUse == 10 * 1408)
    #expect(world.second.statistics.datagramsHeld == 10 && world.second.statistics.earlyDataRefused == 41)
    _ = world.run(for: .seconds(60))
    #expect(world.second.statistics.peers == 0 && world.second.statistics.poolBytesInUse == 0)
    #expect(world.second.statistics.datagramsHeld == 0 && world.second.statistics.earlyDataAbandoned == 10)
    #expect(world.second.statistics.isBalanced)
  }

  // MARK: Somebody who reads along

  /// Message 1 once more, under another id and another ephemeral key.
  private static func forged(_ message: [UInt8], _ number: Int) -> [UInt8] {
    var datagram = message
    for index in 0..<8 {
      datagram[index] = UInt8(truncatingIfNeeded: number >> (8 * (index & 3)) ^ 0x5A)
      datagram[48 + index] = datagram[index]
    }
    for index in 8..<40 { datagram[index] = UInt8(truncatingIfNeeded: number &* 31 &+ index) }
    return datagram
  }

  /// What is dialled by the first host at present: the attempt that has begun last.
  private static func newestMessage1(_ world: borrowing StreamWorld) -> [UInt8] {
    var newest = Peer(connectionID: 0)
    var started: Instant = 0
    for slot in Slot.all(world.first.peers.slots) where world.first.peers.rows[slot].phase == .dialling {
      let at = world.first.peers.handshakes[slot].started
      if at != .never, at >= started {
        (started, newest) = (at, Peer(connectionID: world.first.peers.rows[slot].connectionID))
      }
    }
    return world.handshakeDatagram(ofFirst: newest)
  }

  /// The token can be read: forged attempts of the same dial, from the same address, end nothing.
  @Test(arguments: [false, true]) func forgedAttemptsDoNotEndADial(asksForCookies: Bool) throws {
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link, sends: 10_000) { if asksForCookies { $0.halfOpenMark = 0 } }
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(asksForCookies ? 151 : 51))
    #expect(world.second.statistics.peers == 1)
    let message = Self.newestMessage1(world)
    for number in 1...60 { world.inject(Self.forged(message, number), from: StreamWorld.firstAddress) }
    #expect(world.run(for: .milliseconds(101)) { !$0.secondHandler.peers.isEmpty })
    finish(&world, peer, bytes: 10_000)
  }

  /// Nor when the dial shows a cookie from an earlier one, which nobody has asked for, and its first answer is lost.
  @Test func whatACookieProvesBelowTheMarkEndsNoDial() throws {
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link, sends: nil)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .seconds(1))
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    world.back.isDown = true
    _ = world.run(for: .milliseconds(51))
    #expect(world.second.statistics.cookiesAccepted == 1)
    let message = Self.newestMessage1(world)
    for round in 0..<5 {
      for number in 1...60 { world.inject(Self.forged(message, round * 100 + number), from: StreamWorld.firstAddress) }
      _ = world.run(for: .milliseconds(100))
    }
    world.back.isDown = false
    #expect(world.run(for: .milliseconds(1000)) { $0.secondHandler.peers.count == 2 })
    #expect(world.second.statistics.attemptsRefused == 0)
  }

  /// The first answer is lost: a later attempt is answered whatever was forged meanwhile.
  @Test(arguments: [false, true]) func aLaterAttemptIsAnsweredAllTheSame(asksForCookies: Bool) throws {
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link, sends: 10_000) { if asksForCookies { $0.halfOpenMark = 0 } }
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(asksForCookies ? 149 : 49))
    world.back.isDown = true
    _ = world.run(for: .milliseconds(2))
    let message = Self.newestMessage1(world)
    for number in 1...60 { world.inject(Self.forged(message, number), from: StreamWorld.firstAddress) }
    _ = world.run(for: .milliseconds(500))
    world.back.isDown = false
    // The attempts after 1 and 3 s; those of a dial with a cookie have to wait for room.
    #expect(world.run(for: .milliseconds(asksForCookies ? 3000 : 1000)) { !$0.secondHandler.peers.isEmpty })
    finish(&world, peer, bytes: 10_000)
  }

  /// Forged cookie replies ahead of the true ones do not use up the attempts.
  @Test func forgedCookieRepliesDoNotEndADial() throws {
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link, sends: 10_000) { $0.halfOpenMark = 0 }
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    for _ in 0..<30 {
      _ = world.run(for: .milliseconds(1))
      for slot in Slot.all(world.first.peers.slots) where world.first.peers.rows[slot].phase == .dialling {
        let message = world.handshakeDatagram(ofFirst: Peer(connectionID: world.first.peers.rows[slot].connectionID))
        world.inject(
          message[0..<8] + [UInt8](repeating: 0xC0, count: 24) + message[8..<24], from: StreamWorld.secondAddress,
          toSecond: false)
      }
    }
    #expect(world.run(for: .milliseconds(1300)) { !$0.secondHandler.peers.isEmpty })
    finish(&world, peer, bytes: 10_000)
  }

  /// Whoever reads message 1 can answer it under a key of his own, ahead of the true answer.
  @Test(arguments: [false, true]) func aForgedAnswerDoesNotEndADial(asOriginal: Bool) throws {
    var link = Link()
    link.delay = .milliseconds(150)
    var world = LifecycleTests.world(link: link, sends: 10_000)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .key(world.second.publicKey))
    _ = world.run(for: .milliseconds(10))
    var impostor = LifecycleTests.world(seed: 2) { $0.acceptsOriginal = true }
    var message = world.handshakeDatagram(ofFirst: peer)
    if asOriginal { message = Array(message[0..<40]) }
    impostor.inject(message, from: StreamWorld.firstAddress)
    _ = impostor.run(for: .milliseconds(1))
    let answers = Array(Slot.all(impostor.second.peers.slots)).filter {
      impostor.second.peers.rows[$0].phase == .halfOpen
    }
    for _ in 0..<2 {
      let answer = impostor.handshakeDatagram(ofSecond: answers[0])
      world.inject(answer, from: StreamWorld.secondAddress, toSecond: false)
      _ = world.run(for: .milliseconds(1))
    }
    #expect(world.first.statistics.datagramsRefused == 2 && world.firstHandler.closedCount == 0)
    finish(&world, peer, bytes: 10_000)
  }

  /// When nothing else comes, it is told soon.
  @Test func aKeyThatDiffersIsToldSoon() throws {
    var link = Link()
    link.delay = .milliseconds(150)
    var world = LifecycleTests.world(link: link)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .key(PublicKey()))
    #expect(world.run(for: .milliseconds(1000)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .keyRefused)
    _ = world.run(for: .seconds(60))
    #expect(world.first.statistics.peers == 0 && world.second.statistics.peers == 0)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A host that has lost its connections tells whoever still sends, and whoever is told ends the connection at once.
@Suite struct ResetTests {
  typealias StreamWorld = World<StreamHandler>

  /// Link and hosts, and connections of the first host with the second over which something has moved both ways.
  private static func openWorld(
    connections: Int = 1, delay: Nanoseconds = .milliseconds(20), seed: UInt64 = 1,
    configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var link = Link()
    link.delay = delay
    var world = LifecycleTests.world(seed: seed, link: link, sends: nil, configure: configure)
    for _ in 0..<connections {
      let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
      world.first.offer(peer, upTo: 10_000)
    }
    let isOpen = world.run(for: .seconds(20)) { world in
      world.firstHandler.peers.count == connections
        && world.firstHandler.peers.values.allSatisfy { $0.received == 10_000 && $0.acknowledged == 10_000 }
    }
    #expect(isOpen)
    // The last ACK.
    _ = world.run(for: .milliseconds(200))
    return world
  }

  /// The second host's process is gone, and another is there.
  private static func restart(_ world: inout StreamWorld) {
    world.network.restart(1, StreamHandler(bytesToSend: nil))
  }

  /// What a datagram of a connection of the first host looks like to who cannot open it.
  private static func sealed(_ id: UInt64, length: Int = 100, packetNumber: UInt64 = 77) -> [UInt8] {
    header(id, packetNumber) + [UInt8](repeating: 9, count: length - 16)
  }

  private static func header(_ id: UInt64, _ packetNumber: UInt64) -> [UInt8] {
    [id, packetNumber].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * UInt64($0))) } }
  }

  /// The reset of the second host for a connection of the first.
  private static func reset(_ world: borrowing StreamWorld, _ dialled: Peer, length: Int = 38) -> [UInt8] {
    let id = world.first.peers.rows[dialled.slot].remoteID
    let token = world.first.peers.resetTokens[dialled.slot]
    var bytes = [UInt8](repeating: 0, count: 38)
    var elements = bytes.mutableSpan
    var target = unsafe elements.mutableBytes
    Reset(id: id, to: StreamWorld.firstAddress).write(token, into: &target)
    return length < 38 ? Array(bytes[..<length]) : bytes + [UInt8](repeating: 0, count: length - 38)
  }

  private static func toFirst(
    _ world: inout StreamWorld, _ bytes: [UInt8], from address: Address = StreamWorld.secondAddress
  ) {
    world.inject(bytes, from: address, toSecond: false)
    _ = world.run(for: .microseconds(1))
  }

  // MARK: A restart

  /// Connections that are busy know of it a round trip after their next datagram has arrived there.
  @Test(arguments: 1...5) func whoSendsIsToldWithinARoundTrip(seed: UInt64) throws {
    let delay: Nanoseconds = .milliseconds(20)
    var world = try Self.openWorld(connections: 20, delay: delay, seed: seed)
    for peer in world.firstHandler.peers.keys { world.first.offer(peer, upTo: 2_000_000) }
    _ = world.run(for: .milliseconds(300))
    Self.restart(&world)
    let restarted = world.now
    let isOver = world.run(for: .seconds(5)) { $0.firstHandler.closedCount == 20 }
    #expect(isOver)
    // What was under way then arrives within a delay, its answer another one later.
    #expect(world.now - restarted <= 2 * delay + .milliseconds(10))
    #expect(world.firstHandler.peers.values.allSatisfy { $0.closed == .reset })
    #expect(world.first.statistics.resetsReceived == 20 && world.first.statistics.isBalanced)
    let sent = (world.first.statistics.datagramsSent, world.second.statistics)
    // One for each burst that was under way, and the pacer lets none follow another in less than a millisecond.
    let bursts = 20 * UInt64(delay / .milliseconds(1))
    #expect(sent.1.resetsSent >= 20 && sent.1.resetsSent <= bursts && sent.1.isBalanced)
    // Nobody says anything more, and all is given back.
    _ = world.run(for: .seconds(30))
    #expect(world.first.statistics.datagramsSent == sent.0 && world.first.statistics.peers == 0)
    #expect(world.second.statistics.peers == 0 && world.secondHandler.peers.isEmpty)
    #expect(world.first.peers.resetTokens.count == 0)
  }

  /// One that rests is told at its next PING, and a forgotten one costs one datagram each way.
  @Test func whoRestsIsToldAtItsNextPing() throws {
    var world = try Self.openWorld(connections: 3) { $0.keepAlive = .seconds(12) }
    _ = world.run(for: .seconds(5))
    #expect(world.first.peers.flows.inUse == 0)
    Self.restart(&world)
    let before = world.first.statistics.datagramsSent
    let restarted = world.now
    let isOver = world.run(for: .seconds(60)) { $0.firstHandler.closedCount == 3 }
    #expect(isOver && world.now - restarted <= .seconds(12) + .milliseconds(50))
    #expect(world.firstHandler.peers.values.allSatisfy { $0.closed == .reset })
    #expect(world.first.statistics.datagramsSent == before + 3 && world.second.statistics.resetsSent == 3)
  }

  /// The side that was dialled is told by the one that dials, too, if that comes back to its port.
  @Test func theResponderIsToldToo() throws {
    var world = try Self.openWorld()
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.network.restart(0, StreamHandler(bytesToSend: nil))
    world.second.offer(accepted, upTo: 20_000)
    #expect(world.run(for: .milliseconds(60)) { $0.secondHandler.closedCount == 1 })
    #expect(world.secondHandler.peers[accepted]?.closed == .reset)
  }

  /// Both have lost everything: what was under way is answered, and the answers are not.
  @Test func twoThatWereRestartedHaveNoEndlessTalk() throws {
    var world = try Self.openWorld(connections: 5)
    for peer in world.firstHandler.peers.keys { world.first.offer(peer, upTo: 1_000_000) }
    _ = world.run(for: .milliseconds(100))
    world.network.restart(0, StreamHandler(bytesToSend: nil))
    Self.restart(&world)
    _ = world.run(for: .milliseconds(200))
    let sent = (world.first.statistics.datagramsSent, world.second.statistics.datagramsSent)
    #expect(sent.0 + sent.1 <= 40)
    let refused = world.first.statistics.resetsRefused + world.second.statistics.resetsRefused
    #expect(refused == sent.0 + sent.1)
    _ = world.run(for: .seconds(60))
    #expect(world.first.statistics.datagramsSent == sent.0 && world.second.statistics.datagramsSent == sent.1)
  }

  /// After a restart the dial goes at once, and the new connection is not disturbed by what was sent for the old one.
  @Test func whoIsToldMayDialAgain() throws {
    var world = try Self.openWorld()
    let old = try LifecycleTests.only(world.firstHandler)
    let reset = Self.reset(world, old)
    Self.restart(&world)
    world.first.ping(old, token: 1)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.closedCount == 1 })
    let new = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    world.first.offer(new, upTo: 5000)
    let refused = world.first.statistics.resetsRefused + world.first.statistics.late
    for _ in 0..<3 {
      Self.toFirst(&world, reset)
      _ = world.run(for: .milliseconds(50))
    }
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[new]?.received == 5000 })
    #expect(world.first.statistics.resetsRefused + world.first.statistics.late >= refused + 3)
    #expect(world.firstHandler.peers[new]?.closed == nil)
  }

  /// What was acknowledged is read first.
  @Test func whatWasAcknowledgedIsDelivered() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.first.pause(dialled)
    // Echoed, and kept.
    world.first.offer(dialled, upTo: 110_000)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[dialled]?.acknowledged == 110_000 })
    _ = world.run(for: .seconds(1))
    #expect(world.firstHandler.peers[dialled]?.received == 10_000)
    Self.restart(&world)
    world.first.ping(dialled, token: 1)
    #expect(world.run(for: .seconds(1)) { !$0.firstHandler.drainings.isEmpty })
    #expect(world.firstHandler.drainings == [.reset] && world.firstHandler.closedCount == 0)
    // One more changes nothing, and it says nothing itself.
    let before = world.first.statistics
    Self.toFirst(&world, Self.reset(world, dialled))
    _ = world.run(for: .seconds(40))
    #expect(world.first.statistics.late == before.late + 1)
    #expect(world.first.statistics.datagramsSent == before.datagramsSent && world.firstHandler.closedCount == 0)
    world.first.resume(dialled)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.received == 110_000)
    #expect(world.firstHandler.peers[dialled]?.closed == .reset && world.firstHandler.mismatches == 0)
    _ = world.run(for: .seconds(20))
    #expect(world.first.statistics.poolBytesInUse == 0 && world.first.statistics.peers == 0)
    #expect(world.first.statistics.datagramsSent == before.datagramsSent)
  }

  /// A CLOSE that was lost, of a connection whose slot is free by now.
  @Test func whoHasMissedTheEndIsTold() throws {
    var world = try Self.openWorld { $0.keepAlive = .seconds(8) }
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.back.isDown = true
    world.second.close(try LifecycleTests.only(world.secondHandler), code: 3)
    _ = world.run(for: .seconds(5))
    world.back.isDown = false
    #expect(world.second.statistics.peers == 0)
    #expect(world.run(for: .seconds(8)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.closed == .reset)
  }

  // MARK: What is answered

  /// One for each id within a moment, however much comes.
  @Test func oneAnswerIsEnough() throws {
    var world = try Self.openWorld()
    let id = try LifecycleTests.only(world.secondHandler).connectionID
    Self.restart(&world)
    for _ in 0..<10 {
      for number in 0..<200 as Range<UInt64> {
        world.inject(Self.sealed(id, packetNumber: number), from: StreamWorld.firstAddress)
      }
      _ = world.run(for: .milliseconds(1))
    }
    #expect(world.second.statistics.resetsSent == 1 && world.second.statistics.unknownConnection == 2000)
    _ = world.run(for: .milliseconds(30))
    world.inject(Self.sealed(id), from: StreamWorld.firstAddress)
    // Somebody else does not take the answer away.
    world.inject(Self.sealed(id), from: Address(ipv4: 9, port: 9))
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.resetsSent == 3)
  }

  /// Of all ids, as many as are paid for.
  @Test func answersAreBounded() throws {
    var world = try Self.openWorld { $0.resetsPerSecond = 100 }
    let ids = try (0..<2000).map { _ in
      try world.second.connect(to: StreamWorld.firstAddress, expecting: .anyone).connectionID
    }
    Self.restart(&world)
    let before = world.second.statistics.datagramsSent
    for step in 0..<10 {
      for id in ids[200 * step..<200 * step + 200] { world.inject(Self.sealed(id), from: StreamWorld.firstAddress) }
      _ = world.run(for: .milliseconds(100))
    }
    let answers = world.second.statistics.resetsSent
    // A quarter of a second's worth, and a second.
    #expect((100...126).contains(answers) && world.second.statistics.datagramsSent - before == answers)
    #expect(world.second.statistics.unknownConnection == 2000 && world.second.statistics.isBalanced)
  }

  @Test func whatIsNotSealedIsNotAnswered() throws {
    var world = try Self.openWorld()
    let id = try LifecycleTests.only(world.secondHandler).connectionID
    Self.restart(&world)
    func inject(_ bytes: [UInt8]) {
      world.inject(bytes, from: StreamWorld.firstAddress)
      _ = world.run(for: .milliseconds(30))
    }
    // Handshake messages, a reset among them, of all kinds.
    for kind in [0, 1, 2, 3, 4, 5, 255] as [UInt64] { inject(Self.sealed(id, packetNumber: ~0xFF | kind)) }
    // Too short, too long.
    inject(Self.sealed(id, length: 37))
    inject(Self.sealed(id, length: 16_385))
    // An id that cannot have been given out.
    inject(Self.sealed(id ^ 1 << 30))
    #expect(world.second.statistics.resetsSent == 0 && world.second.statistics.datagramsSent == 0)
    inject(Self.sealed(id, length: 38, packetNumber: ~0xFF - 1))
    #expect(world.second.statistics.resetsSent == 1 && world.second.statistics.bytesSent == 38)
  }

  /// A first message has the shape of one under whatever id, and is none where no connections are taken.
  @Test func message1IsNotAnswered() throws {
    var world = try Self.openWorld()
    let id = try LifecycleTests.only(world.secondHandler).connectionID
    var configuration = EngineConfiguration()
    configuration.accepting = .nobody
    var deaf = StreamWorld(
      seed: 1, configuration: configuration, link: Link(), firstHandler: StreamHandler(bytesToSend: nil),
      secondHandler: StreamHandler(bytesToSend: nil))
    let own = try deaf.second.connect(to: StreamWorld.firstAddress, expecting: .anyone).connectionID
    deaf.network.restart(1, StreamHandler(bytesToSend: nil))
    var message1 = Self.sealed(own, length: 1200)
    message1.replaceSubrange(40..<48, with: [0x4C, 0x52, 0x50, 0x32, 0, 1, 0, 8])
    message1.replaceSubrange(48..<56, with: message1[..<8])
    deaf.inject(message1, from: StreamWorld.firstAddress)
    _ = deaf.run(for: .milliseconds(1))
    #expect(deaf.second.statistics.unknownConnection == 1 && deaf.second.statistics.resetsSent == 0)
    deaf.inject(Self.sealed(own, length: 1200), from: StreamWorld.firstAddress)
    _ = deaf.run(for: .milliseconds(1))
    #expect(deaf.second.statistics.resetsSent == 1)
    // A connection that lives: what is repeated of it is a replay, from wherever it comes.
    for address in [StreamWorld.firstAddress, Address(ipv4: 9, port: 9)] {
      world.inject(Self.sealed(id, packetNumber: 0), from: address)
    }
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.resetsSent == 0 && world.second.statistics.replays == 2)
  }

  @Test func whoTellsNoTokenAnswersNobody() throws {
    var world = try Self.openWorld { $0.resetsPerSecond = 0 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    #expect(world.first.peers.resetTokens.count == 0 && world.second.peers.resetTokens.count == 0)
    Self.restart(&world)
    world.first.ping(dialled, token: 1)
    // Not even zeros are a token then.
    Self.toFirst(&world, Self.reset(world, dialled))
    #expect(world.first.statistics.resetsRefused == 1)
    #expect(world.run(for: .seconds(60)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.closed == .idleTimeout && world.second.statistics.resetsSent == 0)
  }

  // MARK: What is believed

  @Test func aForgedTokenWakesNobody() throws {
    var world = try Self.openWorld { $0.keepAlive = 0 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    _ = world.run(for: .seconds(5))
    let right = Self.reset(world, dialled)
    for index in 16..<32 {
      var wrong = right
      wrong[index] ^= 1
      Self.toFirst(&world, wrong)
    }
    Self.toFirst(&world, Array(right[..<16]) + [UInt8](repeating: 0, count: 22))
    #expect(world.first.statistics.resetsRefused == 17 && world.first.peers.flows.inUse == 0)
    // The right one from elsewhere, and under another id.
    for address in [Address(ipv4: 0x0A00_0002, port: 2001), Address(ipv4: 9, port: 2000)] {
      Self.toFirst(&world, right, from: address)
    }
    var other = right
    other[7] ^= 1
    Self.toFirst(&world, other)
    // A wrong kind.
    for kind in [1, 2, 3, 5] as [UInt8] {
      other = right
      other[15] = kind
      Self.toFirst(&world, other)
    }
    #expect(world.first.statistics.resetsRefused == 20 && world.firstHandler.closedCount == 0)
    #expect(world.first.statistics.isBalanced && world.first.peers.flows.inUse == 0)
    world.first.offer(dialled, upTo: 20_000)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers[dialled]?.received == 20_000 })
  }

  @Test(arguments: [37, 38, 39, 1400]) func whatIsBehindTheTokenDoesNotCount(length: Int) throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    Self.toFirst(&world, Self.reset(world, dialled, length: length))
    #expect(world.firstHandler.peers[dialled]?.closed == (length < 38 ? nil : .reset))
    #expect(world.first.statistics.wrongLength == (length < 38 ? 1 : 0))
  }

  /// Of a connection that is over for its user already.
  @Test func whatIsOverIsNotReset() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let reset = Self.reset(world, dialled)
    world.first.close(dialled, code: 4)
    Self.toFirst(&world, reset)
    _ = world.run(for: .milliseconds(10))
    #expect(world.firstHandler.peers[dialled]?.closed == .local(code: 4))
    let before = world.first.statistics.late
    // It lingers.
    Self.toFirst(&world, reset)
    #expect(world.first.statistics.late == before + 1 && world.first.statistics.resetsReceived == 0)
    _ = world.run(for: .seconds(30))
    #expect(world.first.statistics.peers == 0)
    Self.toFirst(&world, reset)
    #expect(world.first.statistics.resetsRefused == 1 && world.firstHandler.closedCount == 1)
  }

  /// All connections are about to be closed, this one at rest among them.
  @Test func whatIsClosedWithAllOthersIsNotReset() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    _ = world.run(for: .seconds(5))
    #expect(world.first.peers.flows.inUse == 0)
    let reset = Self.reset(world, dialled)
    world.first.closeAll(code: 9)
    world.inject(reset, from: StreamWorld.secondAddress, toSecond: false)
    _ = world.run(for: .seconds(1))
    #expect(world.firstHandler.peers[dialled]?.closed == .local(code: 9))
  }

  /// The token goes along with a peer that has moved, and does not stay behind.
  @Test func aTokenFollowsItsPeer() throws {
    var world = try Self.openWorld()
    let elsewhere = Address(ipv4: 0x0A00_0009, port: 77)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.presentAddress = elsewhere
    world.first.offer(try LifecycleTests.only(world.firstHandler), upTo: 30_000)
    #expect(world.run(for: .seconds(10)) { $0.second.peers.rows[accepted.slot].address == elsewhere })
    let id = world.second.peers.rows[accepted.slot].remoteID
    let (old, new) = (
      world.second.peers.resetTokens.find(id, StreamWorld.firstAddress, world.second.peers.rows),
      world.second.peers.resetTokens.find(id, elsewhere, world.second.peers.rows)
    )
    #expect(old == nil && new == accepted.slot && world.second.peers.resetTokens.count == 1)
  }

  /// What a host answers at once to a datagram from `address`.
  private static func answer(_ engine: inout Engine, to datagram: [UInt8], from address: Address) -> [UInt8] {
    var batch = DatagramBatch(messages: 8, messageCapacity: 2000)
    var handler = StreamHandler(bytesToSend: nil)
    var message = Message()
    (message.address, message.length, message.segmentSize) = (address, datagram.count, datagram.count)
    batch.messages[0] = message
    batch.count = 1
    var target = batch.arena.mutableBytes(0, datagram.count)
    for index in datagram.indices { target.setByte(index, datagram[index]) }
    let now = engine.now
    engine.receive(&batch, now: now, handler: &handler)
    batch.clear()
    engine.transmit(into: &batch, now: now, handler: &handler)
    let isToAsker = batch.count == 1 && batch.messages[0].address == address && batch.messages[0].isUnproved
    #expect(isToAsker)
    let bytes = batch.arena.bytes(0, batch.used)
    return (0..<batch.used).map { bytes.byte($0) }
  }

  /// Somebody who has seen an id asks the host that has lost it: what he is told is the token of nobody else's address.
  @Test func whatAnotherIsToldIsOfNoUse() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let id = try LifecycleTests.only(world.secondHandler).connectionID
    let reset = Self.reset(world, dialled)
    Self.restart(&world)
    let told = Self.answer(&world.second, to: Self.sealed(id), from: Address(ipv4: 9, port: 1000))
    #expect(told.count == 38 && told[..<16] == reset[..<16] && told[16..<32] != reset[16..<32])
    Self.toFirst(&world, told)
    #expect(world.first.statistics.resetsRefused == 1 && world.firstHandler.closedCount == 0)
    // A NAT has given the peer another port: it is told all the same.
    let moved = Address(ipv4: 0x0A00_0001, port: 4444)
    #expect(Self.answer(&world.second, to: Self.sealed(id), from: moved) == reset)
    Self.toFirst(&world, reset)
    #expect(world.firstHandler.peers[dialled]?.closed == .reset)
  }

  // MARK: Handshakes

  /// Message 3 is on its way when the process ends: what comes for the half-open handshake is not answered, and the dial waits for
  /// its time, as with one that is refused in silence.
  @Test func aDialWithoutAnAnswerIsNotReset() throws {
    var link = Link()
    link.delay = .milliseconds(20)
    var world = LifecycleTests.world(link: link, sends: nil)
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    world.first.offer(dialled, upTo: 1000)
    #expect(world.run(for: .seconds(1)) { $0.first.peers.rows[dialled.slot].phase == .established })
    Self.restart(&world)
    #expect(world.run(for: .seconds(1)) { $0.first.statistics.resetsRefused > 0 })
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.closed == .handshakeTimeout)
  }

  /// Message 3 has come again, so that an ACK is owed, and in the same moment the reset.
  @Test func nothingThatIsOwedIsSentBehindAReset() throws {
    var world = LifecycleTests.world(sends: nil)
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { !$0.secondHandler.peers.isEmpty })
    let accepted = try LifecycleTests.only(world.secondHandler)
    _ = world.run(for: .microseconds(1))
    let sent = world.second.statistics.datagramsSent
    var reset = [UInt8](repeating: 0, count: Reset.length)
    var elements = reset.mutableSpan
    var target = unsafe elements.mutableBytes
    Reset(id: world.second.peers.rows[accepted.slot].remoteID, to: StreamWorld.secondAddress)
      .write(world.second.peers.resetTokens[accepted.slot], into: &target)
    world.inject(world.handshakeDatagram(ofFirst: dialled), from: StreamWorld.firstAddress)
    world.inject(reset, from: StreamWorld.firstAddress)
    world.forth.isDown = true
    _ = world.run(for: .seconds(5))
    #expect(world.secondHandler.peers[accepted]?.closed == .reset)
    #expect(world.second.statistics.datagramsSent == sent)
  }

  /// Of several attempts of a dial, the one counts that has become the connection.
  @Test func theAttemptThatWinsHasTheToken() throws {
    var world = LifecycleTests.world(sends: nil)
    world.back.isDown = true
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(2500))
    world.back.isDown = false
    #expect(world.run(for: .seconds(5)) { !$0.firstHandler.peers.isEmpty })
    world.first.offer(dialled, upTo: 1000)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[dialled]?.received == 1000 })
    #expect(world.first.peers.resetTokens.count == 1 && world.second.peers.resetTokens.count == 1)
    Self.restart(&world)
    world.first.ping(dialled, token: 1)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.closed == .reset)
  }

  /// Connections with the original peer have none, and never get one.
  @Test func theOriginalHasNoToken() throws {
    var world = LifecycleTests.world(sends: nil) { $0.acceptsOriginal = true }
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    world.first.offer(dialled, upTo: 1000)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[dialled]?.received == 1000 })
    #expect(world.first.peers.resetTokens.count == 0 && world.second.peers.resetTokens.count == 0)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// The original peer's version of the protocol, spoken by both engines in virtual time.
@Suite struct OriginalTests {
  typealias StreamWorld = World<StreamHandler>

  private static func world(
    seed: UInt64 = 1, link: Link = Link(), firstSends: UInt64? = 0, secondSends: UInt64? = 0,
    configure: (inout EngineConfiguration) -> Void = { _ in }
  ) -> StreamWorld {
    var configuration = EngineConfiguration()
    configuration.acceptsOriginal = true
    configure(&configuration)
    return StreamWorld(
      seed: seed, configuration: configuration, link: link, firstHandler: StreamHandler(bytesToSend: firstSends),
      secondHandler: StreamHandler(bytesToSend: secondSends))
  }

  /// FIN is ours: a segment that the original acknowledges and ignores. Between two of us it ends the connection.
  private func transfer(bytes: UInt64, seed: UInt64, link: Link) throws {
    var world = Self.world(seed: seed, link: link, firstSends: bytes, secondSends: bytes)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    let isDone = world.run(for: .seconds(600)) {
      TransferTests.isClosed($0.firstHandler) && TransferTests.isClosed($0.secondHandler)
    }
    #expect(isDone, "seed \(seed): \(world.firstHandler.peers.values) \(world.secondHandler.peers.values)")
    for handler in [world.firstHandler, world.secondHandler] {
      #expect(handler.mismatches == 0 && handler.violations == 0, "seed \(seed)")
      for progress in handler.peers.values {
        #expect(progress.closed == .finished && progress.received == bytes, "seed \(seed)")
      }
    }
    #expect(world.first.statistics(of: peer) == nil)
    _ = world.run(for: .seconds(60))
    #expect(world.first.statistics.peers == 0 && world.second.statistics.peers == 0)
    #expect(world.second.peers.initiators.count == 0 && world.second.peers.originals.inUse == 0)
  }

  @Test func cleanPath() throws { try transfer(bytes: 1 << 20, seed: 1, link: Link()) }

  @Test(arguments: 1...20) func lossAndReordering(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.03
    // Little enough that message 3 goes first.
    link.jitter = .milliseconds(3)
    link.duplication = 0.01
    try transfer(bytes: 500_000, seed: seed, link: link)
  }

  @Test func aListenerThatDoesNotWantItIsSilent() throws {
    var world = Self.world { $0.acceptsOriginal = false }
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .handshakeTimeout)
    #expect(world.second.statistics.datagramsSent == 0 && world.second.statistics.unknownConnection == 5)
  }

  @Test func aPinnedKeyRefusesIt() throws {
    var world = Self.world()
    #expect(throws: EngineError.originalHasNoIdentity) {
      try world.first.connect(to: StreamWorld.secondAddress, expecting: .key(PublicKey()), versions: .original)
    }
  }

  @Test func eitherFindsVersion1() throws {
    var world = Self.world(firstSends: nil, secondSends: nil)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .either)
    _ = world.run(for: .milliseconds(50))
    #expect(world.first.statistics(of: peer)?.version == 1)
  }

  /// 40 bytes earn 104, once.
  @Test func anUnprovenAddressGetsNoMoreThanThreeTimesWhatCame() throws {
    var world = Self.world()
    world.network.checksAmplification = true
    var datagram = [UInt8](repeating: 7, count: 40)
    datagram[8] = 1
    world.inject(datagram, from: Address(ipv4: 0x0A00_0009, port: 9))
    _ = world.run(for: .seconds(60))
    #expect(world.second.statistics.datagramsSent == 1 && world.second.statistics.peers == 0)
    // The same once more is answered once more.
    for _ in 0..<2 {
      world.inject(datagram, from: Address(ipv4: 0x0A00_0009, port: 9))
      _ = world.run(for: .milliseconds(10))
    }
    #expect(world.second.statistics.datagramsSent == 3)
    _ = world.run(for: .seconds(60))
    datagram[8] = 0
    datagram[9] = 0
    datagram[10] = 0
    world.inject(datagram, from: Address(ipv4: 0x0A00_0009, port: 9))
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.datagramsSent == 3, "a packet number begins with zeros, a key does not")
    #expect(world.network.amplifications == 0)
  }

  /// Silence with nothing outstanding says nothing of a peer that answers no keep-alive.
  @Test func idleConnectionsAreKept() throws {
    var world = Self.world(firstSends: nil, secondSends: nil)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    _ = world.run(for: .seconds(600))
    #expect(world.firstHandler.closedCount == 0 && world.secondHandler.closedCount == 0)
    #expect(world.first.statistics(of: peer)?.version == 0)
    _ = world.run(for: .seconds(3600))
    #expect(world.secondHandler.closedCount == 1, "but not for ever")
  }

  @Test func aPeerThatVanishesIsGivenUp() throws {
    var world = Self.world(firstSends: nil, secondSends: nil)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    _ = world.run(for: .seconds(100))
    world.forth.isDown = true
    world.first.offer(peer, upTo: 5000)
    #expect(world.run(for: .seconds(32)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .idleTimeout)
  }

  /// What the original sends as ACKs, and what breaks it: no CONTROL, nothing shorter than an empty segment.
  @Test func nothingGoesOutThatItCannotTake() throws {
    var world = Self.world(firstSends: 300_000, secondSends: nil)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    #expect(world.run(for: .seconds(20)) { $0.secondHandler.peers.values.first?.received == 300_000 })
    let peer = try LifecycleTests.only(world.secondHandler)
    world.second.close(peer, code: 3, reason: "not told")
    _ = world.run(for: .seconds(100))
    #expect(world.secondHandler.peers[peer]?.closed == .local(code: 3))
    #expect(world.first.statistics.malformed == 0)
    #expect(world.firstHandler.peers.values.first?.closed != .remote(code: 3, reason: "not told"))
  }

  /// 40 bytes, as the original's message 1 has: nothing is answered by an answer.
  @Test func aReplyOfVersion1IsNoMessage1() {
    for kind in [2, 3] as [UInt8] {
      let head: [UInt8] = [4, 1, 2, 3, 4, 5, 6, 7] + [UInt8](repeating: 0xFF, count: 7) + [kind]
      let reply = head + [UInt8](repeating: 9, count: 24)
      #expect(!OriginalPeer.isMessage1(unsafe reply.span.bytes))
    }
    let message = [UInt8](repeating: 9, count: 40)
    #expect(OriginalPeer.isMessage1(unsafe message.span.bytes))
  }

  // MARK: By hand

  private static var elsewhere: Address { Address(ipv4: 0x0A00_0042, port: 4242) }
  /// Header, tag, and no segment between them.
  private static var nudgeLength: Int { 32 }

  /// A connection on which nothing has been sent, and the second host answers nothing by itself.
  private static func openWorld(configure: (inout EngineConfiguration) -> Void = { _ in }) throws -> StreamWorld {
    var world = world(firstSends: nil, secondSends: nil, configure: configure)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    #expect(world.run(for: .seconds(1)) { !$0.secondHandler.peers.isEmpty })
    world.secondHandler.bytesToSend = 0
    _ = world.run(for: .milliseconds(100))
    return world
  }

  private static func bytes(_ number: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
  }

  /// As the original writes it, whose last in-order number is one behind.
  private static func ack(_ lastInOrder: UInt32, answering number: UInt32) -> [UInt8] {
    [10, 1] + bytes(lastInOrder) + [0, 0, 0xFF, 0xFF] + bytes(number)
  }

  /// Sequence numbers of the data that a host has sent.
  private static func numbers(_ sent: [RecordedDatagram], from host: Int) -> [UInt32] {
    sent.compactMap {
      guard $0.host == host, $0.bytes.count > nudgeLength, $0.plaintext[17] & SegmentFlag.ack == 0 else { return nil }
      return $0.plaintext[18..<22].reduce(0) { $0 << 8 | UInt32($1) }
    }
  }

  // MARK: The handshake

  /// It knows no cookies. What it sends costs a key agreement all the same.
  @Test func beyondTheMark64AreAnsweredInASecond() {
    var world = Self.world { $0.halfOpenMark = 0 }
    var message = [UInt8](repeating: 7, count: 40)
    for second in 1...3 as ClosedRange<UInt64> {
      for host in 0..<200 as Range<UInt32> {
        message[20] = UInt8(host)
        world.inject(message, from: Address(ipv4: 0x0B00_0000 + host << 12, port: UInt16(second)))
      }
      _ = world.run(for: .seconds(1))
      #expect(world.second.statistics.datagramsSent == 64 * second)
      #expect(world.second.statistics.handshakesWithoutCookie == 136 * second)
    }
  }

  /// The original sends and takes each message once, and ends the connection when data comes ahead of message 3 or right behind.
  @Test func message3LeavesThreeTimesAndDataLater() throws {
    var world = Self.world(firstSends: 100_000)
    let sent = try world.recording { world in
      _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
      _ = world.run(for: .milliseconds(100))
    }
    let messages3 = sent.filter { $0.host == 0 && $0.bytes.count == 72 }.map(\.time)
    let data = sent.filter { $0.host == 0 && $0.bytes.count > 1000 }.map(\.time)
    try #require(messages3.count == 3 && !data.isEmpty)
    #expect(messages3[0] < messages3[1] && messages3[1] < messages3[2])
    #expect(messages3[2] - messages3[0] <= .milliseconds(8))
    #expect(data[0] - messages3[0] >= .milliseconds(20) && data[0] - messages3[0] < .milliseconds(25))
  }

  // MARK: Data

  @Test func segmentsAreAsLongAsTheOriginalTakes() throws {
    var world = try Self.openWorld { $0.maximumDatagram = 9000 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    let sent = world.recording { world in
      world.first.offer(dialled, upTo: 100_000)
      _ = world.run(for: .seconds(20))
    }
    #expect(world.secondHandler.peers[accepted]?.received == 100_000)
    #expect(sent.filter { $0.host == 0 }.map { $0.plaintext.count - 6 }.max() == 1330)
    // One that is as long as the original's may be.
    let number = world.second.peers.flows[accepted.slot].receive.next
    let long = (0..<1362).map { StreamHandler.byte(at: 100_000 + $0) }
    world.injectSealed(RawSegment.data(number, long), fromFirst: true, peer: dialled)
    _ = world.run(for: .milliseconds(1))
    #expect(world.secondHandler.peers[accepted]?.received == 101_362 && world.secondHandler.mismatches == 0)
  }

  /// Beyond its last number the original acknowledges, and delivers nothing.
  @Test func itEndsBeforeItsNumbersDo() throws {
    let last: UInt32 = 4_294_901_761
    var world = try Self.openWorld { $0.initialSequence = last - 3 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.first.peers.originals[dialled.slot].heardInOrder = last - 4
    let sent = world.recording { world in
      for count in 1...6 as ClosedRange<UInt64> {
        world.first.offer(dialled, upTo: 1000 * count)
        _ = world.run(for: .milliseconds(200))
      }
    }
    #expect(Set(Self.numbers(sent, from: 0)) == [last - 3, last - 2, last - 1, last])
    #expect(world.firstHandler.peers[dialled]?.closed == .sequenceExhausted)
    #expect(world.firstHandler.peers[dialled]?.acknowledged == 4000)
    #expect(world.secondHandler.peers[accepted]?.received == 4000)
  }

  /// It answers what lies further, and throws it away. What it has acknowledged one by one does not move its window.
  @Test func noMoreThan65534BeyondWhatItHasInOrder() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.forth.isDown = true
    world.first.peers.flows[dialled.slot].capacity = 2
    var highest: UInt32?
    /// Answers all that comes, by ACKs that tell `lastInOrder`, until nothing more comes.
    func answer(_ world: inout StreamWorld, _ lastInOrder: UInt32, offering bytes: UInt64) {
      world.first.offer(dialled, upTo: bytes)
      if let highest {
        world.injectSealed(Self.ack(lastInOrder, answering: highest), fromFirst: false, peer: accepted)
      }
      var isQuiet = false
      while !isQuiet {
        let sent = world.recording { _ = $0.run(for: .milliseconds(2)) }
        let numbers = Self.numbers(sent, from: 0)
        isQuiet = numbers.isEmpty
        for number in numbers {
          highest = max(highest ?? 0, number)
          world.injectSealed(Self.ack(lastInOrder, answering: number), fromFirst: false, peer: accepted)
        }
      }
    }
    // 0 stands for "none", too.
    answer(&world, 0, offering: 1 << 20)
    #expect(highest == 65_533)
    answer(&world, 10, offering: 1 << 20)
    #expect(highest == 65_544)
    answer(&world, 9, offering: 1 << 20)
    #expect(highest == 65_544 && world.first.statistics.acksOfUnsent == 0)
  }

  @Test func eachSegmentHasAnAnswerOfItsOwn() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    func answers(_ world: inout StreamWorld, to numbers: [UInt32]) -> [[UInt8]] {
      world.sentAtOnce {
        for number in numbers {
          $0.injectSealed(
            RawSegment.data(number, [StreamHandler.byte(at: UInt64(number))]), fromFirst: true, peer: dialled)
        }
      }.filter { $0.host == 1 }.map { Array($0.plaintext) }
    }
    // Segments, and the last in-order number that each answer tells.
    let steps: [[(number: UInt32, inOrder: UInt32)]] = [
      [(0, 0)], [(2, 0)], [(2, 0)], [(5, 0), (6, 0)], [(1, 2)], [(0, 2), (2, 2), (0, 2)], [(3, 3), (4, 6)], [(6, 6)],
    ]
    for step in steps {
      let found = answers(&world, to: step.map(\.number))
      try #require(found.count == step.count, "\(step)")
      for (answer, expected) in zip(found, step) {
        try #require(answer.count == 13)
        #expect(Array(answer[..<6]) == [9, 1] + Self.bytes(expected.inOrder), "\(step)")
        #expect(answer[6..<9].contains { $0 > 0 } && Array(answer[9...]) == Self.bytes(expected.number), "\(step)")
      }
    }
    #expect(world.secondHandler.mismatches == 0)
  }

  /// The original repeats what is not acknowledged, and forgets what is.
  @Test func whatIsNotKeptIsNotAnswered() throws {
    var world = try Self.openWorld { ($0.receivePoolBytes, $0.receiveWindow) = (1 << 16, 1000) }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let long = [UInt8](repeating: 1, count: 1000)
    let sent = world.recording { world in
      for number in 1...50 as ClosedRange<UInt32> {
        world.injectSealed(RawSegment.data(number, long), fromFirst: true, peer: dialled)
      }
      // Beyond the window.
      world.injectSealed(RawSegment.data(1000, [1]), fromFirst: true, peer: dialled)
      _ = world.run(for: .seconds(1))
    }
    let answered = sent.filter { $0.host == 1 }.map { $0.plaintext[25..<29].reduce(0) { $0 << 8 | UInt32($1) } }
    let refused = Int(world.second.statistics.poolExhausted)
    #expect(refused > 0 && refused < 50 && world.second.statistics.beyondWindow == 1)
    #expect(answered == Array(1...UInt32(50 - refused)))
  }

  // MARK: The nudge

  /// All is acknowledged, but the last in-order number lags by more than the one that it always does.
  @Test(arguments: [true, false]) func aDeliveryThatLagsIsNudged(lags: Bool) throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.forth.isDown = true
    world.first.offer(dialled, upTo: 5 * 1330)
    _ = world.run(for: .milliseconds(5))
    for number in 0..<5 as Range<UInt32> {
      world.injectSealed(
        Self.ack(number == 0 || lags ? 0 : number - 1, answering: number), fromFirst: false, peer: accepted)
    }
    let sent = world.recording { _ = $0.run(for: .milliseconds(20)) }.filter { $0.host == 0 }
    #expect(world.firstHandler.peers[dialled]?.acknowledged == 5 * 1330)
    #expect(sent.map(\.bytes.count) == (lags ? [Self.nudgeLength] : []))
  }

  /// The original's delivery stops at the end of its ring, and what it tells, one number behind as ever, does not show that.
  @Test(arguments: [true, false]) func theEndOfTheRingIsNudged(isBehind: Bool) throws {
    var world = try Self.openWorld { $0.initialSequence = 65_531 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.first.peers.originals[dialled.slot].heardInOrder = 65_530
    world.forth.isDown = true
    var nudged: [UInt32] = []
    for number in 65_531...65_537 as ClosedRange<UInt32> {
      let sent = world.recording { world in
        world.first.offer(dialled, upTo: 10 * UInt64(number - 65_530))
        _ = world.run(for: .milliseconds(5))
        world.injectSealed(
          Self.ack(isBehind ? number - 1 : number, answering: number), fromFirst: false, peer: accepted)
        _ = world.run(for: .milliseconds(5))
      }.filter { $0.host == 0 }
      #expect(Self.numbers(sent, from: 0) == [number])
      if sent.count > 1, sent[1].bytes.count == Self.nudgeLength { nudged.append(number) }
    }
    #expect(nudged == [65_534, 65_535] && world.first.statistics.acksOfUnsent == 0)
  }

  // MARK: Addresses

  /// Nothing in its protocol could prove a move.
  @Test func aNewAddressIsNotFollowed() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    func sealed(_ segment: [UInt8], by row: PeerRow, _ key: TrafficKey) -> [UInt8] {
      StreamWorld.sealed(segment, id: row.remoteID, packetNumber: row.sendPacketNumber + 7, key: key)
    }
    let data = RawSegment.data(0, [StreamHandler.byte(at: 0)])
    let forth = sealed(
      data, by: world.first.peers.rows[dialled.slot], world.first.peers.keys[PeerTable.sealingRow(dialled.slot)])
    let back = sealed(
      data, by: world.second.peers.rows[accepted.slot], world.second.peers.keys[PeerTable.sealingRow(accepted.slot)])
    let sent = world.recording { world in
      world.inject(forth, from: Self.elsewhere)
      world.inject(back, from: Self.elsewhere, toSecond: false)
      _ = world.run(for: .seconds(10))
    }
    #expect(world.first.statistics.datagramsAccepted > 0 && sent.allSatisfy { $0.destination != Self.elsewhere })
    #expect(world.firstHandler.moves.isEmpty && world.secondHandler.moves.isEmpty)
    #expect(world.first.statistics(of: dialled)?.address == StreamWorld.secondAddress)
    #expect(world.second.statistics(of: accepted)?.address == StreamWorld.firstAddress)
    // And it goes on where it was.
    world.first.offer(dialled, upTo: 5000)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[dialled]?.acknowledged == 5000 })
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// How connections begin and end, in virtual time.
@Suite struct LifecycleTests {
  typealias StreamWorld = World<StreamHandler>

  static func world(
    seed: UInt64 = 1, link: Link = Link(), sends: UInt64? = 0, echoes: Bool = false,
    configure: (inout EngineConfiguration) -> Void = { _ in }
  ) -> StreamWorld {
    var configuration = EngineConfiguration()
    configure(&configuration)
    return StreamWorld(
      seed: seed, configuration: configuration, link: link, firstHandler: StreamHandler(bytesToSend: sends),
      secondHandler: StreamHandler(bytesToSend: echoes ? nil : sends))
  }

  /// A connection on which nobody has finished.
  static func openWorld(
    seed: UInt64 = 1, link: Link = Link(), configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var world = world(seed: seed, link: link, sends: nil, configure: configure)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    let isOpen = world.run(for: .seconds(20)) { !$0.secondHandler.peers.isEmpty }
    #expect(isOpen)
    return world
  }

  static func only(_ handler: StreamHandler) throws -> Peer { try #require(handler.peers.keys.first) }

  /// Connections to one address share the kernel's messages if the other side has one socket for all of them, and only then.
  @Test(arguments: [true, false]) func connectionsShareMessages(takesMerged: Bool) throws {
    var world = try Self.openWorld()
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    let isOpen = world.run(for: .seconds(20)) { $0.secondHandler.peers.count == 2 }
    #expect(isOpen)
    _ = world.run(for: .seconds(1))
    for peer in world.firstHandler.peers.keys {
      // What the second host has said in the handshake.
      #expect(world.first.peers.rows[peer.slot].takesMerged)
      world.first.peers.rows[peer.slot].takesMerged = takesMerged
      world.first.offer(peer, upTo: 100)
    }
    var batch = DatagramBatch(messages: 4, messageCapacity: 65_000)
    var handler = world.firstHandler
    world.first.transmit(into: &batch, now: 0, handler: &handler)
    #expect(batch.count == (takesMerged ? 1 : 2))
    let first = batch.messages[0]
    let ids = stride(from: 0, to: batch.used, by: first.segmentSize).map { batch.arena.bytes($0, 8).bigEndian64(0) }
    #expect(Set(ids).count == 2 && ids.count == 2)
  }

  private static let close: [UInt8] = RawSegment.control(Control.close, [0, 0, 0, 3])

  /// A whole connection in one batch: message 3, and CLOSE.
  @Test func whoIsToldOfTheEndAtOnceIsSilent() throws {
    var world = Self.world(sends: nil)
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { !$0.firstHandler.peers.isEmpty })
    world.forth.isDown = true
    let sent = world.second.statistics.datagramsSent
    world.inject(world.handshakeDatagram(ofFirst: dialled), from: StreamWorld.firstAddress)
    world.injectSealed(Self.close, fromFirst: true, peer: dialled)
    _ = world.run(for: .seconds(5))
    #expect(world.secondHandler.peers.values.first?.closed == .remote(code: 3, reason: ""))
    #expect(world.second.statistics.datagramsSent == sent)
  }

  /// An ACK is owed when CLOSE comes: at once, or by the clock, and the reader may be late.
  @Test(arguments: [0, SegmentFlag.ackNow], [false, true])
  func whoIsToldOfTheEndAcknowledgesNothingMore(flags: UInt8, pauses: Bool) throws {
    var world = try Self.openWorld()
    _ = world.run(for: .milliseconds(200))
    let dialled = try Self.only(world.firstHandler)
    let accepted = try Self.only(world.secondHandler)
    if pauses { world.second.pause(accepted) }
    let sent = world.second.statistics.datagramsSent
    world.injectSealed(
      RawSegment.data(0, flags: flags, [StreamHandler.byte(at: 0)]), fromFirst: true, peer: dialled)
    world.injectSealed(Self.close, fromFirst: true, peer: dialled)
    _ = world.run(for: .seconds(1))
    world.second.resume(accepted)
    _ = world.run(for: .seconds(1))
    #expect(world.secondHandler.peers[accepted]?.closed == .remote(code: 3, reason: ""))
    #expect(world.secondHandler.peers[accepted]?.received == 1 && world.secondHandler.mismatches == 0)
    #expect(world.second.statistics.datagramsSent == sent)
  }

  @Test func theHandshakeTellsBothSides() throws {
    let world = try Self.openWorld()
    let dialled = try Self.only(world.firstHandler)
    let accepted = try Self.only(world.secondHandler)
    #expect(world.firstHandler.peers[dialled]?.isIncoming == false)
    #expect(world.secondHandler.peers[accepted]?.isIncoming == true)
    #expect(world.first.statistics(of: dialled)?.key == world.second.publicKey)
    #expect(world.second.statistics(of: accepted)?.key == world.first.publicKey)
    #expect(world.second.statistics(of: accepted)?.address == StreamWorld.firstAddress)
  }

  @Test(arguments: 1...200) func theHandshakeSurvivesLoss(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.3
    link.duplication = 0.3
    link.jitter = .milliseconds(20)
    var world = Self.world(seed: seed, link: link, sends: 1000)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    let isDone = world.run(for: .seconds(120)) {
      TransferTests.isClosed($0.firstHandler) && $0.secondHandler.peers.values.allSatisfy { $0.closed != nil }
    }
    #expect(isDone)
    // One in thirty loses message 1 or 2 five times over.
    let closed = world.firstHandler.peers.values.first?.closed
    #expect(closed == .finished || closed == .handshakeTimeout)
    if closed == .finished { #expect(world.secondHandler.peers.values.first?.received == 1000) }
    #expect(world.secondHandler.peers.count <= 1 && world.firstHandler.violations == 0)
  }

  @Test func nobodyAnswers() throws {
    var link = Link()
    link.isDown = true
    var world = Self.world(link: link)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(17)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .handshakeTimeout)
    #expect(world.carried == 6, "five attempts, and a short one")
  }

  @Test func aPinnedKeyThatDiffersIsRefused() throws {
    var world = Self.world()
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .key(PublicKey()))
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .keyRefused)
    // The other side never hears of it, and forgets.
    _ = world.run(for: .seconds(60))
    #expect(world.secondHandler.peers.isEmpty && world.second.statistics.peers == 0)
  }

  @Test func aListenerThatRefusesMayBeSilent() throws {
    var world = Self.world { $0.reportsRefusals = false }
    world.secondHandler.refusesKeys = true
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .handshakeTimeout)
    #expect(world.secondHandler.peers.isEmpty && world.second.statistics.peers == 0)
  }

  @Test func closeCarriesCodeAndReason() throws {
    var world = try Self.openWorld()
    let dialled = try Self.only(world.firstHandler)
    let accepted = try Self.only(world.secondHandler)
    world.first.offer(dialled, upTo: 1 << 20)
    world.first.close(dialled, code: 42, reason: "enough — schluß")
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.closed == .local(code: 42))
    #expect(world.secondHandler.peers[accepted]?.closed == .remote(code: 42, reason: "enough — schluß"))
    // The handle is void: nothing happens.
    world.first.offer(dialled, upTo: 2 << 20)
    world.first.close(dialled, code: 1)
    _ = world.run(for: .seconds(60))
    #expect(world.first.statistics.peers == 0 && world.second.statistics.peers == 0)
    #expect(world.firstHandler.violations + world.secondHandler.violations == 0)
  }

  @Test func aLostCloseIsRepeatedWhenThePeerGoesOn() throws {
    var world = try Self.openWorld()
    let dialled = try Self.only(world.firstHandler)
    let accepted = try Self.only(world.secondHandler)
    world.second.offer(accepted, upTo: 1 << 20)
    world.forth.isDown = true
    world.first.close(dialled, code: 9)
    _ = world.run(for: .milliseconds(2))
    world.forth.isDown = false
    #expect(world.run(for: .seconds(5)) { $0.secondHandler.closedCount == 1 })
    #expect(world.secondHandler.peers[accepted]?.closed == .remote(code: 9, reason: ""))
  }

  @Test func halfCloseLeavesTheOtherDirectionOpen() throws {
    var world = try Self.openWorld()
    let dialled = try Self.only(world.firstHandler)
    let accepted = try Self.only(world.secondHandler)
    world.firstHandler.bytesToSend = 0
    world.secondHandler.bytesToSend = 0
    world.first.offer(dialled, upTo: 1000)
    world.first.finish(dialled)
    #expect(world.run(for: .seconds(5)) { $0.secondHandler.peers[accepted]?.isFinished == true })
    #expect(world.secondHandler.closedCount == 0)
    world.second.offer(accepted, upTo: 300_000)
    _ = world.run(for: .seconds(5))
    #expect(world.firstHandler.peers[dialled]?.received == 300_000)
    #expect(world.firstHandler.closedCount == 0)
    world.second.finish(accepted)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.closedCount == 1 && $0.secondHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.closed == .finished)
    #expect(world.secondHandler.peers[accepted]?.closed == .finished)
  }

  @Test func aSilentPeerTimesOut() throws {
    var world = try Self.openWorld()
    let dialled = try Self.only(world.firstHandler)
    world.first.offer(dialled, upTo: 1 << 20)
    _ = world.run(for: .milliseconds(30))
    world.forth.isDown = true
    world.back.isDown = true
    let before = world.now
    #expect(world.run(for: .seconds(40)) { $0.firstHandler.closedCount == 1 && $0.secondHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.closed == .idleTimeout)
    #expect(world.now - before > .seconds(29) && world.now - before < .seconds(31))
  }

  @Test func keepAliveHoldsAnIdleConnectionOpen() throws {
    var world = try Self.openWorld()
    _ = world.run(for: .seconds(3600))
    #expect(world.firstHandler.closedCount == 0 && world.secondHandler.closedCount == 0)
    // A PING and its ACK each way, each 20 s.
    #expect(world.carried < 1000)
  }

  @Test func withoutKeepAliveAnIdleConnectionEnds() throws {
    var world = try Self.openWorld { $0.keepAlive = 0 }
    let dialled = try Self.only(world.firstHandler)
    #expect(world.run(for: .seconds(40)) { $0.firstHandler.closedCount == 1 && $0.secondHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[dialled]?.closed == .idleTimeout)
  }

  @Test(arguments: 1...5) func aReaderThatStopsClosesTheWindow(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.02
    link.jitter = .milliseconds(3)
    var world = try Self.openWorld(seed: seed, link: link) { $0.receiveWindow = 100 }
    let dialled = try Self.only(world.firstHandler)
    let accepted = try Self.only(world.secondHandler)
    world.secondHandler.bytesToSend = 0
    world.secondHandler.pausesAt = 50_000
    let bytes: UInt64 = 1 << 20
    world.first.offer(dialled, upTo: bytes)
    world.first.finish(dialled)
    _ = world.run(for: .seconds(300))
    let stopped = try #require(world.secondHandler.peers[accepted]).received
    #expect(stopped >= 50_000 && stopped < 60_000)
    // What was promised was sent, no more; the rest waits for as long as it takes.
    let acknowledged = try #require(world.firstHandler.peers[dialled]).acknowledged
    #expect(acknowledged > stopped && acknowledged < stopped + 110 * 1400)
    #expect(world.second.statistics.poolBytesInUse > 0 && world.secondHandler.closedCount == 0)
    let probes = world.first.statistics.datagramsSent
    _ = world.run(for: .seconds(300))
    #expect(world.first.statistics.datagramsSent - probes < 40, "the closed window is probed with backoff")

    world.second.resume(accepted)
    #expect(world.run(for: .seconds(60)) { $0.secondHandler.peers[accepted]?.isFinished == true })
    #expect(world.secondHandler.peers[accepted]?.received == bytes)
    #expect(world.secondHandler.mismatches == 0 && world.secondHandler.violations == 0)
    // What finds stored segments is kept while the connection is awake.
    #expect(world.second.statistics.poolBytesInUse < 1408)
  }

  /// Probes of the closed window are all that passes: they keep the connection.
  @Test func aReaderThatStopsIsWaitedForWithoutKeepAlive() throws {
    var world = try Self.openWorld { ($0.receiveWindow, $0.keepAlive) = (100, 0) }
    let dialled = try Self.only(world.firstHandler)
    world.secondHandler.pausesAt = 50_000
    world.first.offer(dialled, upTo: 1 << 20)
    _ = world.run(for: .seconds(300))
    #expect(world.firstHandler.closedCount == 0 && world.secondHandler.closedCount == 0)
  }

  /// It is answered some times, and forgotten in minutes.
  @Test(arguments: [.milliseconds(100), .seconds(5)] as [Nanoseconds])
  func aFinRepeatedForEverDoesNotHoldTheSlot(interval: Nanoseconds) throws {
    var world = Self.world(sends: 1000)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.closedCount == 1 && $0.secondHandler.closedCount == 1 })
    let accepted = try Self.only(world.secondHandler)
    let row = world.second.peers.rows[accepted.slot]
    let key = world.second.peers.keys[PeerTable.openingRow(accepted.slot)]
    let sent = world.second.statistics
    let end = world.now + .seconds(250)
    var number: UInt64 = 1000
    while world.now < end {
      number += 1
      world.inject(
        StreamWorld.sealed([6, 4, 0, 0, 0, 0], id: row.connectionID, packetNumber: number, key: key),
        from: StreamWorld.firstAddress)
      _ = world.run(for: interval)
    }
    #expect(world.second.statistics.peers == 0)
    let answers = world.second.statistics.datagramsSent - sent.datagramsSent
    // Once it is forgotten, it is told so.
    let resets = world.second.statistics.resetsSent
    #expect(answers - resets <= 100 && resets > 0)
  }

  @Test func replayedDatagramsHaveNoEffect() throws {
    var link = Link()
    link.duplication = 1
    var world = Self.world(link: link, sends: 500_000)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(
      world.run(for: .seconds(60)) {
        TransferTests.isClosed($0.firstHandler) && TransferTests.isClosed($0.secondHandler)
      })
    #expect(world.second.statistics.replays > 300 && world.second.statistics.duplicates == 0)
    #expect(world.secondHandler.violations == 0)
  }

  @Test func anAckForWhatWasNeverSentEndsTheConnection() throws {
    var world = try Self.openWorld()
    let dialled = try Self.only(world.firstHandler)
    let accepted = try Self.only(world.secondHandler)
    // Last in-order number 100, a window, and an empty block.
    world.injectSealed(
      [9, 1, 0, 0, 0, 100, 0, 1, 0] + [0, 0, 0], fromFirst: true, peer: dialled)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.closedCount == 1 && $0.firstHandler.closedCount == 1 })
    #expect(world.secondHandler.peers[accepted]?.closed == .protocolViolation)
    #expect(
      world.firstHandler.peers[dialled]?.closed == .remote(code: CloseCode.violation, reason: ""))
  }

  @Test func malformedSegmentsAreCountedAndDropped() throws {
    var world = try Self.openWorld()
    let dialled = try Self.only(world.firstHandler)
    for plaintext: [UInt8] in [
      [5, 0, 0, 0, 0, 0], [255, 0, 0, 0, 0, 0], [9, 1, 0, 0, 0, 0], [8, 0, 0, 0, 0, 0, 1, 1],
    ] {
      world.injectSealed(plaintext, fromFirst: true, peer: dialled)
    }
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.malformed == 4 && world.secondHandler.closedCount == 0)
  }

  /// A message 1 of an engine that never goes on.
  static func strayMessage1(_ seed: Int) -> [UInt8] {
    var datagram = [UInt8](repeating: 0, count: 1400)
    for index in 0..<8 { datagram[index] = UInt8(seed) }
    for index in 8..<40 { datagram[index] = UInt8(truncatingIfNeeded: seed * 31 + index) }
    for (index, byte) in [0x4C, 0x52, 0x50, 0x32, 0, 1, 0, 8].enumerated() { datagram[40 + index] = UInt8(byte) }
    for index in 0..<8 { datagram[48 + index] = UInt8(seed) }
    // Version 1, and ChaCha20-Poly1305; the rest is a parameter of padding.
    for (index, byte) in [0, 2, 0, 1, 1, 0, 5, 0, 1, 1, 0, 8, 0x05, 0x2C].enumerated() {
      datagram[56 + index] = UInt8(byte)
    }
    datagram[68] = UInt8((1400 - 70) >> 8)
    datagram[69] = UInt8((1400 - 70) & 255)
    return datagram
  }

  @Test func halfOpenHandshakesAreBounded() throws {
    var world = Self.world { $0.maximumHalfOpen = 10 }
    for seed in 1...50 {
      world.inject(Self.strayMessage1(seed), from: Address(ipv4: 0x0A00_0100 + UInt32(seed), port: 9))
    }
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.handshakesStarted == 50)
    #expect(world.second.statistics.halfOpenEvicted == 40 && world.second.statistics.peers == 10)
    // To an unverified address never more than three times what came from it.
    #expect(world.second.statistics.bytesSent < 3 * world.second.statistics.bytesReceived)
    _ = world.run(for: .seconds(60))
    #expect(world.second.statistics.peers == 0)
  }

  @Test func oneNetworkCannotUseUpTheHalfOpen() throws {
    var world = Self.world { $0.maximumHalfOpenPerPrefix = 10 }
    for seed in 1...50 {
      world.inject(Self.strayMessage1(seed), from: Address(ipv4: 0x0B00_0100 + UInt32(seed), port: 9))
    }
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.handshakesWithoutCookie == 40 && world.second.statistics.peers == 10)
    // Another network is served.
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers[peer] != nil })
    _ = world.run(for: .seconds(60))
    // The counter goes back with the handshakes.
    world.inject(Self.strayMessage1(77), from: Address(ipv4: 0x0B00_0101, port: 9))
    _ = world.run(for: .milliseconds(100))
    #expect(world.second.statistics.handshakesWithoutCookie == 40 && world.second.statistics.peers == 1)
  }

  /// But for sealed ones under an id that may have been given out (`ResetTests`).
  @Test func unknownDatagramsAreNeverAnswered() throws {
    var world = try Self.openWorld()
    _ = world.run(for: .seconds(1))
    let sent = world.second.statistics.datagramsSent
    var random = SeededRandom(seed: 5)
    for _ in 0..<2000 {
      let length = Int(random.below(1500))
      world.inject(
        (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }, from: Address(ipv4: 1, port: 2))
    }
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.datagramsSent == sent)
    #expect(world.second.statistics.peers == 1)
  }

  @Test func tooManyPeersIsAnError() throws {
    var world = Self.world { $0.maximumPeers = 3 }
    for _ in 0..<3 { _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone) }
    #expect(throws: EngineError.tooManyPeers) {
      try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    }
  }

  @Test func closeCodesHaveTexts() {
    let codes = [
      CloseCode.violation, CloseCode.keyRefused, CloseCode.noCommonProtocol, CloseCode.unknownCritical,
      CloseCode.goingAway, CloseCode.resources, CloseCode.exhausted, CloseCode.abandoned, CloseCode.endpointClosed,
      CloseCode.backlogFull,
    ]
    #expect(Set(codes.map(\.description)).count == codes.count)
    #expect(CloseCode(rawValue: .max).description == "code 4294967295")
    #expect("\(CloseReason.remote(code: CloseCode.goingAway, reason: "bye"))" == "by the peer, going away, bye")
    #expect("\(CloseReason.local(code: 7))" == "by this side, code 7")
  }

  /// Prints the whole table of phases and events.
  @Test func phases() {
    var table = ""
    for phase in Phase.allCases {
      for event in Phase.Event.allCases {
        if let next = phase.after(event) { table += "\(phase) \(event) → \(next)\n" }
      }
    }
    #expect(
      table == """
        free dial → dialling
        free message1 → halfOpen
        dialling message2 → established
        dialling refused → lingering
        dialling abandoned → lingering
        dialling closed → lingering
        dialling overtaken → superseded
        halfOpen message3 → established
        halfOpen refused → free
        halfOpen abandoned → free
        halfOpen closed → free
        established abandoned → lingering
        established close → closing
        established endedUnread → draining
        established closed → lingering
        superseded lingered → free
        closing abandoned → lingering
        closing closed → lingering
        draining abandoned → lingering
        draining close → closing
        draining closed → lingering
        lingering lingered → free

        """)
  }

  @Test func hotRowIsOneCacheLine() {
    #expect(MemoryLayout<PeerRow>.stride <= 64)
  }

  /// It answers a FIN whose ACK was lost, for as long as its peer's probes may take.
  @Test(arguments: [.milliseconds(5), .milliseconds(800)] as [Nanoseconds])
  func theSlotOfAFinishedConnectionIsKept(delay: Nanoseconds) throws {
    var link = Link()
    link.delay = delay
    var world = Self.world(link: link, sends: 100_000)
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(60)) { $0.firstHandler.closedCount == 1 })
    let wait = max(
      7 * world.first.peers.flows[dialled.slot].probeTimeout(world.first.peers.headers[dialled.slot]), .seconds(7))
    #expect(world.firstHandler.peers[dialled]?.closed == .finished)
    #expect((wait > .seconds(7)) == (delay > .milliseconds(5)))
    // Nothing more comes, which would make it wait longer.
    world.back.isDown = true
    _ = world.run(for: wait - 1)
    let isKept = world.first.peers.inUse == 1
    _ = world.run(for: .milliseconds(20))
    #expect(isKept && world.first.peers.inUse == 0)
  }

  /// Whatever the responder would rather have, and whatever it is that the initiator would.
  @Test(arguments: AEAD.allCases, AEAD.allCases) func theInitiatorsFirstAEADIsTaken(first: AEAD, second: AEAD) throws {
    func prefers(_ aead: AEAD) -> EngineConfiguration {
      var configuration = EngineConfiguration()
      configuration.aeads = [aead] + AEAD.allCases.filter { $0 != aead }
      return configuration
    }
    var world = StreamWorld(
      seed: 1, configuration: prefers(first), second: prefers(second), link: Link(),
      firstHandler: StreamHandler(bytesToSend: nil), secondHandler: StreamHandler(bytesToSend: nil))
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { !$0.secondHandler.peers.isEmpty })
    #expect(world.first.statistics(of: dialled)?.aead == first)
    #expect(world.second.statistics(of: try Self.only(world.secondHandler))?.aead == first)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What is refused: each reason has a counter of its own, and every datagram is in one of them or accepted.
@Suite struct RefusalTests {
  typealias StreamWorld = World<StreamHandler>
  typealias Counter = KeyPath<EngineStatistics, UInt64>

  private static var elsewhere: Address { Address(ipv4: 0x0A00_0042, port: 4242) }

  /// `act` on a world with an open connection adds `count` to one counter of the second host.
  private func expect(
    _ counter: Counter, _ count: UInt64 = 1, limit: Nanoseconds = .milliseconds(50),
    location: SourceLocation = #_sourceLocation, configure: (inout EngineConfiguration) -> Void = { _ in },
    act: (inout StreamWorld, _ dialled: Peer, _ accepted: Peer) -> Void
  ) throws {
    var world = try LifecycleTests.openWorld(configure: configure)
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    _ = world.run(for: .milliseconds(50))
    let before = world.second.statistics
    act(&world, dialled, accepted)
    _ = world.run(for: limit)
    let after = world.second.statistics
    #expect(after[keyPath: counter] == before[keyPath: counter] + count, sourceLocation: location)
    #expect(after.isBalanced && world.first.statistics.isBalanced, sourceLocation: location)
  }

  /// The same for handshake messages of strangers.
  private func expectOfStrangers(
    _ counter: Counter, _ count: UInt64 = 1, location: SourceLocation = #_sourceLocation,
    configure: (inout EngineConfiguration) -> Void = { _ in }, act: (inout StreamWorld) -> Void
  ) {
    var world = LifecycleTests.world(configure: configure)
    act(&world)
    _ = world.run(for: .milliseconds(50))
    #expect(world.second.statistics[keyPath: counter] == count, sourceLocation: location)
    #expect(world.second.statistics.isBalanced, sourceLocation: location)
    _ = world.run(for: .seconds(60))
    #expect(world.second.statistics.isBalanced, sourceLocation: location)
  }

  /// A datagram that the first host seals, but which comes from somewhere else.
  private static func sendFromElsewhere(_ world: inout StreamWorld, _ plaintext: [UInt8], _ dialled: Peer) {
    let row = world.first.peers.rows[dialled.slot]
    world.first.peers.rows[dialled.slot].sendPacketNumber += 1
    let datagram = StreamWorld.sealed(
      plaintext, id: row.remoteID, packetNumber: row.sendPacketNumber,
      key: world.first.peers.keys[PeerTable.sealingRow(dialled.slot)])
    world.inject(datagram, from: elsewhere)
  }

  private static let ping: [UInt8] = [6, 64, 0, 1, 0, 0]

  // MARK: Datagrams

  @Test func ofNoUse() throws {
    try expect(\.wrongLength, 2) { world, _, accepted in
      world.inject([1, 2, 3], from: Self.elsewhere)
      world.inject([UInt8](repeating: 1, count: Datagram.minimumLength - 1), from: Self.elsewhere)
    }
    try expect(\.unknownConnection) { world, _, _ in
      world.inject([UInt8](repeating: 9, count: 100), from: Self.elsewhere)
    }
  }

  @Test func behindTheEnd() throws {
    try expect(\.late, 2) { world, dialled, accepted in
      world.second.close(accepted, code: 1)
      // Close first, and keep the first host from learning of it.
      world.back.isDown = true
      _ = world.run(for: .milliseconds(5))
      world.injectSealed(Self.ping, fromFirst: true, peer: dialled)
      world.injectSealed([6, 0, 0, 0, 0, 0, 1], fromFirst: true, peer: dialled)
    }
  }

  @Test func twice() throws {
    try expect(\.duplicates) { world, dialled, _ in
      world.back.isDown = true
      for _ in 0..<2 { world.injectSealed([6, 0, 0, 0, 0, 0, 1], fromFirst: true, peer: dialled) }
    }
    try expect(\.replays) { world, dialled, accepted in
      let key = world.first.peers.keys[PeerTable.sealingRow(dialled.slot)]
      let number = world.first.peers.rows[dialled.slot].sendPacketNumber
      let datagram = StreamWorld.sealed(Self.ping, id: accepted.connectionID, packetNumber: number, key: key)
      world.first.peers.rows[dialled.slot].sendPacketNumber += 1
      // In one batch, so both are opened before either is known to be.
      for _ in 0..<2 { world.inject(datagram, from: StreamWorld.firstAddress) }
    }
  }

  /// Whoever knows an id can make up a packet number that has been there: the peer is told nothing of it.
  @Test(arguments: [false, true]) func aForgedReplayIsNotReported(isAtRest: Bool) throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.injectSealed(Self.ping, fromFirst: true, peer: dialled)
    _ = world.run(for: isAtRest ? .seconds(5) : .milliseconds(50))
    #expect(world.second.peers.flows.contains(accepted.slot) != isAtRest)
    let highest = world.first.peers.rows[dialled.slot].sendPacketNumber - 1
    var forged = [UInt8](repeating: 7, count: 60)
    forged.replaceSubrange(
      0..<8, with: (0..<8).map { UInt8(truncatingIfNeeded: accepted.connectionID >> (56 - 8 * $0)) })
    forged.replaceSubrange(8..<16, with: (0..<8).map { UInt8(truncatingIfNeeded: highest >> (56 - 8 * $0)) })
    for source in [StreamWorld.firstAddress, Self.elsewhere] { world.inject(forged, from: source) }
    _ = world.run(for: .milliseconds(20))
    #expect(world.second.statistics.replays == 2)
    #expect(world.second.statistics(of: accepted)?.duplicatesReceived == 0)
    #expect(world.second.peers.flows.contains(accepted.slot) != isAtRest, "nobody has been woken")
    // A segment that was received before is told of.
    world.back.isDown = true
    for _ in 0..<2 { world.injectSealed([6, 0, 0, 0, 0, 0, 1], fromFirst: true, peer: dialled) }
    _ = world.run(for: .milliseconds(20))
    #expect(world.second.statistics(of: accepted)?.duplicatesReceived == 1)
  }

  /// RFC 9001, 6.6 counts what an AEAD has refused. What costs no such work is free to send, too.
  @Test(arguments: [false, true]) func onlyWhatAnAEADHasRefusedSpendsItsLimit(isAtRest: Bool) throws {
    var world = try LifecycleTests.openWorld()
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.injectSealed(Self.ping, fromFirst: true, peer: try LifecycleTests.only(world.firstHandler))
    _ = world.run(for: isAtRest ? .seconds(5) : .milliseconds(50))
    let aead = world.second.statistics(of: accepted)?.aead
    let limit: UInt64 = aead == .aes256GCM ? 1 << 52 : 1 << 36
    world.second.peers.headers[accepted.slot].authenticationFailures = limit
    var forged = [UInt8](repeating: 7, count: 60)
    forged.replaceSubrange(
      0..<8, with: (0..<8).map { UInt8(truncatingIfNeeded: accepted.connectionID >> (56 - 8 * $0)) })
    // An epoch far ahead.
    world.inject(forged, from: Self.elsewhere)
    _ = world.run(for: .milliseconds(20))
    #expect(world.second.statistics.keyUnavailable == 1 && world.secondHandler.closedCount == 0)
    #expect(world.second.statistics(of: accepted)?.authenticationFailures == limit)
    forged.replaceSubrange(8..<16, with: [0, 0, 0, 0, 0, 0, 3, 0])
    world.inject(forged, from: Self.elsewhere)
    _ = world.run(for: .milliseconds(20))
    #expect(world.second.statistics.authenticationFailures == 1)
    #expect(world.secondHandler.peers[accepted]?.closed == .keyExhausted)
  }

  /// The other side learns why its connection is over.
  @Test(arguments: [false, true]) func thePeerIsToldOfTooManyForgeries(isAtRest: Bool) throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.injectSealed(Self.ping, fromFirst: true, peer: dialled)
    _ = world.run(for: isAtRest ? .seconds(5) : .milliseconds(50))
    let limit: UInt64 = world.second.statistics(of: accepted)?.aead == .aes256GCM ? 1 << 52 : 1 << 36
    // One less.
    world.second.peers.headers[accepted.slot].authenticationFailures = limit - 1
    var forged = [UInt8](repeating: 7, count: 60)
    forged.replaceSubrange(
      0..<8, with: (0..<8).map { UInt8(truncatingIfNeeded: accepted.connectionID >> (56 - 8 * $0)) })
    forged.replaceSubrange(8..<16, with: [0, 0, 0, 0, 0, 0, 3, 0])
    world.inject(forged, from: Self.elsewhere)
    _ = world.run(for: .milliseconds(20))
    #expect(world.firstHandler.closedCount == 0 && world.secondHandler.closedCount == 0)
    world.inject(forged, from: Self.elsewhere)
    _ = world.run(for: .milliseconds(20))
    #expect(world.firstHandler.peers[dialled]?.closed == .remote(code: 0xFFFF_FF07, reason: ""))
    #expect(world.secondHandler.peers[accepted]?.closed == .keyExhausted)
  }

  // MARK: Segments

  @Test func malformed() throws {
    try expect(\.acksMalformed, 2) { world, dialled, _ in
      // Nine intervals, and a block that ends too early.
      world.injectSealed([9, 1, 255, 255, 255, 255, 0, 1, 0, 0, 0, 0x40, 9 << 3], fromFirst: true, peer: dialled)
      world.injectSealed([9, 1, 255, 255, 255, 255, 0, 1, 0, 0], fromFirst: true, peer: dialled)
    }
    try expect(\.unknownControl) { world, dialled, _ in
      world.injectSealed([6, 64, 0, 99, 0, 0], fromFirst: true, peer: dialled)
    }
  }

  @Test func ofWhatWasNeverSent() throws {
    // A sequence number, then a packet number.
    try expect(\.acksOfUnsent) { world, dialled, _ in
      world.injectSealed([9, 1, 0, 0, 0, 100, 0, 1, 0, 0, 0, 0], fromFirst: true, peer: dialled)
    }
    try expect(\.acksOfUnsent) { world, dialled, _ in
      world.injectSealed(
        [9, 1, 255, 255, 255, 255, 0, 1, 0, 0x7F, 0xFF, 0, 0], fromFirst: true, peer: dialled)
    }
  }

  /// Nothing is refused here, and nothing above the window was sent; but no more will be.
  @Test func aWindowThatShrinks() throws {
    try expect(\.windowsShrunk) { world, dialled, accepted in
      // Something new is acknowledged, with a window of one packet.
      world.back.isDown = true
      world.second.offer(accepted, upTo: 100)
      _ = world.run(for: .milliseconds(5))
      let newest = world.second.peers.rows[accepted.slot].sendPacketNumber - 1
      #expect(newest < 64 && newest > world.second.peers.headers[accepted.slot].highestAcknowledged)
      world.injectSealed(
        [9, 1, 255, 255, 255, 255, 0, 0, 1, UInt8(newest), 0, 0], fromFirst: true, peer: dialled)
      _ = world.run(for: .milliseconds(5))
      #expect(world.second.statistics(of: accepted)?.sendWindowPackets == 0)
    }
  }

  @Test func beyondBounds() throws {
    try expect(\.beyondWindow) { world, dialled, _ in
      world.injectSealed([6, 0, 0, 0xFF, 0xFF, 0xFF, 1], fromFirst: true, peer: dialled)
    }
    try expect(\.beyondFin) { world, dialled, _ in
      world.injectSealed([6, 4, 0, 0, 0, 0], fromFirst: true, peer: dialled)
      world.injectSealed([6, 0, 0, 0, 0, 1, 7], fromFirst: true, peer: dialled)
    }
    // 46 cells, of which one is kept; a peer may have twice what it leaves: 30.
    try expect(
      \.poolExhausted, 20, configure: { $0.receivePoolBytes = 1 << 16 },
      act: { world, dialled, _ in
        for number in 1...50 as ClosedRange<UInt8> {
          world.injectSealed([6, 0, 0, 0, 0, number] + Self.long, fromFirst: true, peer: dialled)
        }
      })
    try expect(\.piecesEvicted, 1) { world, dialled, _ in
      for number in 1...17 as ClosedRange<UInt8> {
        let piece: [UInt8] = [12, 0, 0, 0, 0, number, 3, 4, 0, 0, 0, 128] + [UInt8](repeating: number, count: 64)
        world.injectSealed(piece, fromFirst: true, peer: dialled)
      }
    }
  }

  /// A payload that has a cell for itself.
  private static let long = [UInt8](repeating: 1, count: 1000)

  /// The user is told of a full pool once, however much is refused, and once when there is room again.
  @Test func aFullPoolIsTold() throws {
    var world = try LifecycleTests.openWorld(configure: { $0.receivePoolBytes = 1 << 16 })
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    // The first host has sent none of this.
    world.back.isDown = true
    func inject(_ numbers: ClosedRange<UInt8>) {
      for number in numbers { world.injectSealed([6, 0, 0, 0, 0, number] + Self.long, fromFirst: true, peer: dialled) }
      _ = world.run(for: .milliseconds(5))
    }
    inject(1...20)
    #expect(world.secondHandler.poolPressures == [])
    inject(21...50)
    inject(36...50)
    #expect(world.second.statistics.poolExhausted > 15)
    #expect(world.secondHandler.poolPressures == [.full])
    // What was missing: all that is stored is read.
    inject(0...0)
    #expect(world.second.statistics.poolBytesInUse < 1000)
    inject(60...60)
    #expect(world.secondHandler.poolPressures == [.full, .relieved])
    #expect(world.second.statistics(of: accepted) != nil)
  }

  // MARK: Paths

  @Test func questionsAboutThePath() throws {
    try expect(\.challengesOverLimit) { world, dialled, _ in
      for value in 1...3 as ClosedRange<UInt8> {
        world.injectSealed([6, 64, 0, 3, 0, 0] + [UInt8](repeating: value, count: 8), fromFirst: true, peer: dialled)
      }
    }
    try expect(\.responsesUnasked) { world, dialled, _ in
      world.injectSealed([6, 64, 0, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], fromFirst: true, peer: dialled)
    }
  }

  @Test func movesThatAreNone() throws {
    // The old address answers.
    try expect(\.pathValidationsRefused, limit: .seconds(2)) { world, dialled, _ in
      Self.sendFromElsewhere(&world, Self.ping, dialled)
    }
    // And soon after that, nothing is begun.
    try expect(\.pathValidationsPutOff, limit: .seconds(2)) { world, dialled, _ in
      Self.sendFromElsewhere(&world, Self.ping, dialled)
      _ = world.run(for: .milliseconds(200))
      Self.sendFromElsewhere(&world, Self.ping, dialled)
    }
    try expect(\.pathValidationsUnanswered, limit: .seconds(15)) { world, dialled, _ in
      world.forth.isDown = true
      Self.sendFromElsewhere(&world, Self.ping, dialled)
    }
  }

  // MARK: Handshakes

  private static func stranger(_ number: UInt32) -> Address { Address(ipv4: 0x0A00_0100 + number, port: 9) }

  @Test func messagesOfStrangers() {
    var broken = LifecycleTests.strayMessage1(1)
    broken[68] = 0xFF
    expectOfStrangers(\.handshakesMalformed) { $0.inject(broken, from: Self.stranger(1)) }
    // No AEAD that we know.
    var foreign = LifecycleTests.strayMessage1(1)
    foreign[65] = 99
    expectOfStrangers(\.handshakesIncompatible) { $0.inject(foreign, from: Self.stranger(1)) }
    // Under the id of another, with another key.
    var other = LifecycleTests.strayMessage1(1)
    other[20] ^= 1
    expectOfStrangers(\.handshakesOutOfPlace) {
      $0.inject(LifecycleTests.strayMessage1(1), from: Self.stranger(1))
      $0.inject(other, from: Self.stranger(1))
    }
    expectOfStrangers(
      \.handshakesOverPeerLimit, 5, configure: { $0.maximumPeers = 3 },
      act: {
        // Own dials have all slots, and cannot give way.
        for _ in 0..<3 { _ = try? $0.second.connect(to: Self.elsewhere, expecting: .anyone) }
        for number in 1...5 { $0.inject(LifecycleTests.strayMessage1(number), from: Self.stranger(UInt32(number))) }
      })
    // The same message again is answered again.
    expectOfStrangers(\.datagramsAccepted, 2) {
      for _ in 0..<2 { $0.inject(LifecycleTests.strayMessage1(1), from: Self.stranger(1)) }
    }
  }

  @Test(arguments: [false, true]) func keysThatNobodyWants(byDialler: Bool) throws {
    var world = LifecycleTests.world()
    world.secondHandler.refusesKeys = !byDialler
    let expected = byDialler ? PeerKeys.matching { _, _ in false } : .anyone
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: expected)
    _ = world.run(for: .milliseconds(600))
    let refusing = byDialler ? world.first.statistics : world.second.statistics
    #expect(refusing.keysRefused == 1 && refusing.handshakesFailed == 1 && refusing.handshakesCompleted == 0)
    #expect(world.first.statistics.isBalanced && world.second.statistics.isBalanced)
  }

  /// Of an original peer: no ending for any of it, as its ACKs mean less.
  @Test func theOriginalPeersHandshake() {
    expectOfStrangers(
      \.handshakesOutOfPlace, configure: { $0.acceptsOriginal = true },
      act: {
        var datagram = [UInt8](repeating: 7, count: 40)
        datagram[8] = 1
        $0.inject(datagram, from: Self.stranger(1))
        datagram[20] ^= 1
        $0.inject(datagram, from: Self.stranger(1))
      })
  }

  /// Noise of every kind, on a path of every fault.
  @Test(arguments: 1...30) func everyDatagramIsCountedOnce(seed: UInt64) throws {
    var link = Link()
    link.rate = 20_000_000
    (link.loss, link.duplication, link.corruption, link.jitter) = (0.02, 0.1, 0.05, .milliseconds(20))
    var world = LifecycleTests.world(seed: seed, link: link, sends: 200_000) { $0.keyEpochBits = 6 }
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    var random = SeededRandom(seed: seed)
    for _ in 0..<300 {
      _ = world.run(for: .milliseconds(random.below(40)))
      let bytes = (0..<Int(random.below(60))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      switch random.below(4) {
      case 0: world.inject(bytes, from: Self.elsewhere)
      case 1: world.inject(LifecycleTests.strayMessage1(Int(random.below(5))), from: Self.elsewhere)
      case 2: world.spoofer = random.happens(0.2) ? Self.elsewhere : nil
      default: if random.happens(0.1) { world.injectSealed(bytes, fromFirst: true, peer: dialled) }
      }
      #expect(world.first.statistics.isBalanced && world.second.statistics.isBalanced, "seed \(seed)")
    }
    _ = world.run(for: .seconds(200))
    #expect(world.first.statistics.isBalanced && world.second.statistics.isBalanced, "seed \(seed)")
    #expect(world.second.statistics.datagramsRefused > 0 && world.second.statistics.datagramsHeld == 0)
  }
}

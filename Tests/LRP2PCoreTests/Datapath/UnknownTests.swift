// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Synchronization
import Testing

/// What a later version may send: what is critical is told within a round trip, what is not is skipped.
@Suite struct UnknownTests {
  typealias StreamWorld = World<StreamHandler>

  private static func open() throws -> (StreamWorld) {
    var link = Link()
    link.delay = .milliseconds(20)
    // Flag 16 is critical without them.
    var world = try LifecycleTests.openWorld(link: link) { $0.usesMessages = false }
    _ = world.run(for: .milliseconds(100))
    return world
  }

  @Test(
    arguments: [
      ([6, 16, 0, 0, 0, 0, 1], "flag 16"), ([9, 17, 255, 255, 255, 255, 0, 1, 0], "flag 16"),
      ([9, 0, 0, 0, 0, 0, 5, 1, 7, 1], "option 5"), ([10, 64, 0, 1, 0, 0, 10, 0, 251, 0], "option 251"),
      ([6, 64, 0x80, 1, 0, 0], "control 0x8001"),
    ] as [([UInt8], String)]) func whatIsCriticalEndsTheConnection(segment: [UInt8], reason: String) throws
  {
    var world = try Self.open()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.injectSealed(segment, fromFirst: true, peer: dialled)
    _ = world.run(for: .milliseconds(21))
    #expect(world.secondHandler.peers[accepted]?.closed == .unsupported)
    #expect(world.secondHandler.peers[accepted]?.received == 0 && world.second.statistics.unknownCritical == 1)
    let told = CloseReason.remote(code: CloseCode.unknownCritical, reason: reason)
    #expect(world.firstHandler.peers[dialled]?.closed == told)
    #expect(world.second.statistics.isBalanced)
  }

  @Test(
    arguments: [
      // Data with flag 128, and with options: one of no length, one of 0x0A and three bytes, padding.
      [6, 128, 0, 0, 0, 0, 9], [14, 0, 0, 0, 0, 0, 0x4C, 0, 0x0A, 3, 1, 2, 3, 0, 9],
    ] as [[UInt8]]) func whatIsNotIsSkipped(segment: [UInt8]) throws
  {
    var world = try Self.open()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.back.isDown = true
    world.injectSealed([8, 64 + 128, 0x0A, 0x0A, 0, 7, 0xFA, 0, 1, 2, 3], fromFirst: true, peer: dialled)
    world.injectSealed(segment, fromFirst: true, peer: dialled)
    _ = world.run(for: .milliseconds(1))
    #expect(world.secondHandler.peers.values.first?.received == 1 && world.secondHandler.closedCount == 0)
    #expect(world.second.statistics.unknownControl == 1 && world.second.statistics.malformed == 0)
  }

  /// What was acknowledged before is delivered all the same, and the peer is told at once.
  @Test func whatWasAcknowledgedIsDelivered() throws {
    var world = try Self.open()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.second.pause(accepted)
    world.first.offer(dialled, upTo: 5000)
    _ = world.run(for: .milliseconds(200))
    #expect(world.firstHandler.peers[dialled]?.acknowledged == 5000)
    world.injectSealed([6, 16, 0, 0, 0, 0, 1], fromFirst: true, peer: dialled)
    _ = world.run(for: .milliseconds(25))
    let told = CloseReason.remote(code: CloseCode.unknownCritical, reason: "flag 16")
    #expect(world.firstHandler.peers[dialled]?.closed == told && world.secondHandler.drainings == [.unsupported])
    world.second.resume(accepted)
    _ = world.run(for: .milliseconds(1))
    #expect(world.secondHandler.peers[accepted]?.received == 5000)
    #expect(world.secondHandler.peers[accepted]?.closed == .unsupported)
    let sent = world.second.statistics.datagramsSent
    _ = world.run(for: .seconds(5))
    #expect(world.second.statistics.datagramsSent == sent, "told once")
  }

  /// The CLOSE is lost while the reader stands still: the peer is told as soon as it says something.
  @Test func whoWaitsForItsReaderRepeatsCLOSE() throws {
    var world = try Self.open()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.second.pause(accepted)
    world.first.offer(dialled, upTo: 5000)
    _ = world.run(for: .milliseconds(200))
    world.back.isDown = true
    world.injectSealed([6, 16, 0, 0, 0, 0, 1], fromFirst: true, peer: dialled)
    _ = world.run(for: .milliseconds(25))
    world.back.isDown = false
    #expect(world.secondHandler.drainings == [.unsupported] && world.firstHandler.closedCount == 0)
    world.first.ping(dialled, token: 3)
    _ = world.run(for: .milliseconds(100))
    let told = CloseReason.remote(code: CloseCode.unknownCritical, reason: "flag 16")
    #expect(world.firstHandler.peers[dialled]?.closed == told)
    world.second.resume(accepted)
    _ = world.run(for: .milliseconds(1))
    #expect(world.secondHandler.peers[accepted]?.received == 5000)
  }

  /// Two options that are unknown or wrong: the first decides.
  @Test(
    arguments: [
      ([10, 0, 0, 0, 0, 0, 5, 0, 3, 9], .option(5)), ([10, 0, 0, 0, 0, 0, 3, 0, 5, 0], nil),
      ([8, 64, 0x90, 0, 0, 0, 2, 0], .control(0x9000)),
    ] as [([UInt8], UnknownCritical?)])
  func whatStandsBehindACriticalOptionCountsForNothing(bytes: [UInt8], expected: UnknownCritical?) {
    let segment = try? Segment.parse(unsafe bytes.span.bytes)
    #expect(segment?.unknownCritical == expected && (segment == nil) == (expected == nil))
  }

  /// An option that is whole but for its ACK block: nothing of the segment counts.
  @Test func dataWithAMalformedACKIsDropped() throws {
    var world = try Self.open()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.back.isDown = true
    world.injectSealed(
      [6 + 2 + 9, 0, 0, 0, 0, 0, 2, 9, 255, 255, 255, 255, 0, 1, 0, 0, 0, 5], fromFirst: true, peer: dialled)
    _ = world.run(for: .milliseconds(1))
    #expect(world.secondHandler.peers.values.first?.received == 0 && world.second.statistics.acksMalformed == 1)
    world.injectSealed([6, 0, 0, 0, 0, 0, 5], fromFirst: true, peer: dialled)
    _ = world.run(for: .milliseconds(1))
    #expect(world.secondHandler.peers.values.first?.received == 1)
  }

  @Test func eachPINGHasItsPONG() throws {
    var world = try Self.open()
    let dialled = try LifecycleTests.only(world.firstHandler)
    for token in 7...9 as ClosedRange<UInt8> {
      world.injectSealed([6, 64, 0, 1, 0, token], fromFirst: true, peer: dialled)
    }
    _ = world.run(for: .milliseconds(30))
    #expect(world.firstHandler.pongs == [7, 8, 9])
    var pongs = Pongs()
    for token in 1...20 as ClosedRange<UInt16> { pongs.owe(token) }
    var left: [UInt16] = []
    while let token = pongs.first {
      left.append(token)
      pongs.removeFirst()
    }
    #expect(left == [13, 14, 15, 16, 17, 18, 19, 20])
  }

  /// A peer with nothing to send but its keep-alive learns that the connection is closed although CLOSE was lost.
  @Test func aLostCLOSEIsRepeatedToAPING() throws {
    var world = try Self.open()
    let accepted = try LifecycleTests.only(world.secondHandler)
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.back.isDown = true
    world.second.close(accepted, code: 4)
    _ = world.run(for: .milliseconds(5))
    world.back.isDown = false
    world.first.ping(dialled, token: 3)
    _ = world.run(for: .milliseconds(100))
    #expect(world.firstHandler.peers[dialled]?.closed == .remote(code: 4, reason: ""))
  }

  // MARK: Codes

  @Test func theProtocolsCodesAreRefused() throws {
    var world = try Self.open()
    let dialled = try LifecycleTests.only(world.firstHandler)
    #expect(world.first.close(dialled, code: CloseCode.violation) == .refused)
    #expect(world.first.close(dialled, code: CloseCode(rawValue: .max)) == .refused)
    let all = world.first.closeAll(code: 0xFFFF_FF00)
    #expect(all == .refused)
    #expect(world.first.close(dialled, code: 0xFFFF_FEFF) == .done)
  }

  // MARK: Handshake

  /// Told at once, and once more when message 3 comes again.
  @Test func aRefusedKeyIsTold() throws {
    var link = Link()
    link.delay = .milliseconds(20)
    var world = LifecycleTests.world(link: link)
    world.secondHandler.refusesKeys = true
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(50))
    // The first refusal is lost.
    world.back.isDown = true
    _ = world.run(for: .milliseconds(20))
    world.back.isDown = false
    #expect(world.run(for: .seconds(2)) { $0.firstHandler.closedCount == 1 })
    let told = CloseReason.remote(code: CloseCode.keyRefused, reason: "key refused")
    #expect(world.firstHandler.peers[peer]?.closed == told)
    #expect(world.secondHandler.peers.isEmpty && world.second.statistics.isBalanced)
    _ = world.run(for: .seconds(30))
    #expect(world.second.statistics.peers == 0 && world.first.statistics.peers == 0)
    #expect(world.second.peers.initiators.count == 0 && world.second.statistics.handshakesFailed == 1)
  }

  @Test func aLimitIsTold() throws {
    var world = LifecycleTests.world(sends: nil) { $0.maximumConnectionsPerIdentity = 1 }
    for _ in 0..<2 { _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone) }
    _ = world.run(for: .milliseconds(500))
    let told = CloseReason.remote(code: CloseCode.resources, reason: "too many connections")
    #expect(world.firstHandler.peers.values.filter { $0.closed == told }.count == 1)
  }

  /// Who is not wanted is told so, and not to come again later.
  @Test func aRefusedKeyIsNoLimit() throws {
    let asked = Atomic(0)
    var world = LifecycleTests.world(sends: nil) {
      $0.maximumConnectionsPerIdentity = 1
      $0.accepting = .matching { _, _ in asked.add(1, ordering: .relaxed).oldValue == 0 }
    }
    for _ in 0..<2 { _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone) }
    _ = world.run(for: .milliseconds(500))
    let told = CloseReason.remote(code: CloseCode.keyRefused, reason: "key refused")
    #expect(world.firstHandler.peers.values.filter { $0.closed == told }.count == 1)
    #expect(world.second.statistics.keysRefused == 1 && world.second.statistics.connectionsOverIdentityLimit == 0)
  }

  /// Message 1 of a version that we do not speak earns the list of those that we do, which is a small part of it.
  @Test func whoSpeaksAnotherVersionIsToldOurs() throws {
    var world = LifecycleTests.world()
    var datagram = LifecycleTests.strayMessage1(1)
    let at = try #require((56..<200).first { datagram[$0..<$0 + 5] == [0, 2, 0, 1, 1] })
    datagram[at + 4] = 2
    world.inject(datagram, from: StreamWorld.firstAddress)
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.datagramsSent == 1 && world.second.statistics.bytesSent == 40)
    #expect(world.second.statistics.peers == 0 && world.second.statistics.handshakesIncompatible == 1)
  }

  @Test func aDialEndsWhenItIsToldOtherVersions() throws {
    var link = Link()
    link.delay = .milliseconds(20)
    var world = LifecycleTests.world(link: link)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    world.back.isDown = true
    _ = world.run(for: .milliseconds(1))
    let message = world.handshakeDatagram(ofFirst: peer)
    func reply(_ versions: [UInt8], echoes: Bool = true) -> [UInt8] {
      message[0..<8] + [UInt8](repeating: 0xFF, count: 7) + [3] + message[8..<24].map { $0 ^ (echoes ? 0 : 1) }

        + versions + [UInt8](repeating: 0, count: 8 - versions.count)
    }
    // Not ours to hear, and nonsense: it has version 1.
    world.inject(reply([2, 3], echoes: false), from: StreamWorld.secondAddress, toSecond: false)
    world.inject(reply([2, 1]), from: StreamWorld.secondAddress, toSecond: false)
    _ = world.run(for: .milliseconds(900))
    #expect(world.firstHandler.closedCount == 0)
    world.inject(reply([2, 0x1A]), from: StreamWorld.secondAddress, toSecond: false)
    // Should it be forged, the true answer has time to come.
    _ = world.run(for: .seconds(4))
    #expect(world.firstHandler.peers[peer]?.closed == .handshakeFailed)
  }
}

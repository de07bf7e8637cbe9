// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What was acknowledged in order is delivered, however the connection ends and however late its reader is.
@Suite struct DrainTests {
  typealias StreamWorld = World<StreamHandler>

  private static var bytes: UInt64 { 300_000 }

  /// A second host that has stopped reading, and has all that the first one has sent.
  private static func stoppedWorld(
    finishes: Bool, versions: VersionPolicy = .version1, configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var world = LifecycleTests.world(sends: nil) {
      $0.acceptsOriginal = true
      configure(&$0)
    }
    world.firstHandler.bytesToSend = finishes ? bytes : 0
    world.secondHandler.bytesToSend = 0
    if !finishes {
      world.firstHandler.bytesToSend = nil
      world.secondHandler.bytesToSend = nil
    }
    world.secondHandler.pausesAt = 50_000
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: versions)
    let isOpen = world.run(for: .seconds(20)) { $0.firstHandler.peers[dialled] != nil }
    #expect(isOpen)
    if !finishes { world.first.offer(dialled, upTo: bytes) }
    let isAcknowledged = world.run(for: .seconds(20)) { $0.firstHandler.peers[dialled]?.acknowledged == bytes }
    #expect(isAcknowledged)
    return world
  }

  private static func cut(_ world: inout StreamWorld) {
    world.forth.isDown = true
    world.back.isDown = true
  }

  /// The reader goes on, and has everything; then it is told how the connection has ended.
  private func expectAll(
    _ world: inout StreamWorld, isFinished: Bool, reason: CloseReason, location: SourceLocation = #_sourceLocation
  ) throws {
    let accepted = try LifecycleTests.only(world.secondHandler)
    #expect(world.secondHandler.closedCount == 0, sourceLocation: location)
    // Who waits for an acknowledgement knows that there will be none.
    #expect(world.secondHandler.drainings.count == 1, sourceLocation: location)
    world.second.resume(accepted)
    _ = world.run(for: .seconds(1))
    #expect(world.secondHandler.drainings.count == 1, sourceLocation: location)
    let progress = try #require(world.secondHandler.peers[accepted])
    #expect(progress.received == Self.bytes && progress.isFinished == isFinished, sourceLocation: location)
    #expect(progress.closed == reason && world.secondHandler.closedCount == 1, sourceLocation: location)
    #expect(world.secondHandler.mismatches == 0 && world.secondHandler.violations == 0, sourceLocation: location)
    _ = world.run(for: .seconds(300))
    #expect(world.second.statistics.peers == 0, sourceLocation: location)
    #expect(world.second.statistics.poolBytesInUse == 0 && world.second.statistics.isBalanced, sourceLocation: location)
  }

  @Test func aFinishedStreamOutlivesTheIdleTimeout() throws {
    var world = try Self.stoppedWorld(finishes: true)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.closedCount == 1 })
    _ = world.run(for: .seconds(90))
    try expectAll(&world, isFinished: true, reason: .finished)
  }

  @Test func anUnfinishedStreamOutlivesItsSender() throws {
    var world = try Self.stoppedWorld(finishes: false)
    Self.cut(&world)
    _ = world.run(for: .seconds(90))
    try expectAll(&world, isFinished: false, reason: .idleTimeout)
  }

  @Test func whatWasAcknowledgedOutlivesClose() throws {
    var world = try Self.stoppedWorld(finishes: false)
    world.first.close(try LifecycleTests.only(world.firstHandler), code: 7, reason: "done")
    _ = world.run(for: .seconds(5))
    try expectAll(&world, isFinished: false, reason: .remote(code: 7, reason: "done"))
  }

  @Test func aSuspendedMachineLosesNothing() throws {
    var world = try Self.stoppedWorld(finishes: false)
    world.network.setClock(1, ahead: .seconds(3600))
    _ = world.run(for: .milliseconds(1))
    Self.cut(&world)
    _ = world.run(for: .milliseconds(1))
    try expectAll(&world, isFinished: false, reason: .idleTimeout)
  }

  @Test func theLimitOfForgeriesCostsNoByte() throws {
    var world = try Self.stoppedWorld(finishes: false)
    let accepted = try LifecycleTests.only(world.secondHandler)
    let row = world.second.peers.rows[accepted.slot]
    world.second.peers.headers[accepted.slot].authenticationFailures = 1 << 53
    world.inject(
      StreamWorld.sealed(
        [6, 0, 0, 0, 0, 0], id: row.connectionID, packetNumber: 1 << 20, key: TrafficKey()),
      from: StreamWorld.firstAddress)
    _ = world.run(for: .milliseconds(1))
    try expectAll(&world, isFinished: false, reason: .keyExhausted)
  }

  @Test func theOriginalPeersBytesAreKept() throws {
    var world = try Self.stoppedWorld(finishes: false, versions: .original)
    Self.cut(&world)
    // It is taken for gone after an hour.
    _ = world.run(for: .seconds(3600 + 120))
    try expectAll(&world, isFinished: false, reason: .idleTimeout)
  }

  // MARK: While it drains

  /// Reads one segment at a time, and stops again in the callback.
  private static func takeOne(_ world: inout StreamWorld, _ accepted: Peer) {
    let received = world.secondHandler.peers[accepted]?.received ?? 0
    world.secondHandler.pausesAt = received + 1
    world.second.resume(accepted)
    _ = world.run(for: .milliseconds(1))
    #expect(world.secondHandler.peers[accepted]?.received ?? 0 > received)
  }

  /// Each step of the reader begins its time anew, and nothing is told before it has had everything.
  @Test func aSlowReaderHasEverything() throws {
    var world = try Self.stoppedWorld(finishes: true) { $0.unreadTimeout = .seconds(60) }
    let accepted = try LifecycleTests.only(world.secondHandler)
    _ = world.run(for: .seconds(40))
    for _ in 0..<20 {
      Self.takeOne(&world, accepted)
      _ = world.run(for: .seconds(50))
    }
    try expectAll(&world, isFinished: true, reason: .finished)
  }

  @Test func aReaderThatStandsStillIsNotWaitedForForEver() throws {
    var world = try Self.stoppedWorld(finishes: false) { $0.unreadTimeout = .seconds(60) }
    let accepted = try LifecycleTests.only(world.secondHandler)
    let read = try #require(world.secondHandler.peers[accepted]).received
    Self.cut(&world)
    _ = world.run(for: .seconds(29 + 55))
    #expect(world.secondHandler.closedCount == 0 && world.second.statistics.unreadBytesDropped == 0)
    _ = world.run(for: .seconds(10))
    #expect(world.secondHandler.peers[accepted]?.closed == .unreadTimeout && world.secondHandler.closedCount == 1)
    #expect(world.second.statistics.unreadBytesDropped == Self.bytes - read)
    #expect(world.second.statistics.poolBytesInUse == 0)
    _ = world.run(for: .seconds(300))
    #expect(world.second.statistics.peers == 0 && world.second.resume(accepted) == .ended)
  }

  @Test func zeroWaitsForEver() throws {
    var world = try Self.stoppedWorld(finishes: false) { $0.unreadTimeout = 0 }
    Self.cut(&world)
    _ = world.run(for: .seconds(100_000))
    try expectAll(&world, isFinished: false, reason: .idleTimeout)
  }

  /// Time in which the machine was suspended, or the process stopped, is not the reader's.
  @Test func suspendedTimeIsNotTheReaders() throws {
    var world = try Self.stoppedWorld(finishes: false) { $0.unreadTimeout = .seconds(60) }
    Self.cut(&world)
    _ = world.run(for: .seconds(31))
    for hour in 1...6 as ClosedRange<UInt64> {
      world.network.setClock(1, ahead: .seconds(hour * 3600))
      _ = world.run(for: .milliseconds(1))
    }
    try expectAll(&world, isFinished: false, reason: .idleTimeout)
  }

  @Test func theUserMayCloseInsteadOfReading() throws {
    var world = try Self.stoppedWorld(finishes: false)
    let accepted = try LifecycleTests.only(world.secondHandler)
    let read = try #require(world.secondHandler.peers[accepted]).received
    Self.cut(&world)
    _ = world.run(for: .seconds(60))
    let sent = world.second.statistics.datagramsSent
    let resumed = world.second.resume(accepted)
    let closed = world.second.close(accepted, code: 5)
    #expect(resumed == .done && closed == .done && world.second.resume(accepted) == .ended)
    _ = world.run(for: .seconds(1))
    #expect(world.secondHandler.peers[accepted]?.closed == .local(code: 5) && world.secondHandler.closedCount == 1)
    #expect(world.secondHandler.peers[accepted]?.received == read)
    #expect(world.second.statistics.poolBytesInUse == 0 && world.second.statistics.datagramsSent == sent)
    _ = world.run(for: .seconds(300))
    #expect(world.second.statistics.peers == 0)
  }

  @Test func theUserMayCloseAsSoonAsItIsTold() throws {
    var world = try Self.stoppedWorld(finishes: false)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.secondHandler.closesDraining = 6
    world.first.close(try LifecycleTests.only(world.firstHandler), code: 7)
    _ = world.run(for: .seconds(1))
    #expect(world.secondHandler.drainings == [.remote(code: 7, reason: "")])
    #expect(world.secondHandler.peers[accepted]?.closed == .local(code: 6) && world.secondHandler.closedCount == 1)
    #expect(world.second.statistics.poolBytesInUse == 0 && world.secondHandler.violations == 0)
  }

  @Test func itSendsNothingAndTakesNothing() throws {
    var world = try Self.stoppedWorld(finishes: false)
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.back.isDown = true
    world.forth.isDown = true
    _ = world.run(for: .seconds(31))
    let before = world.second.statistics
    #expect(world.second.statistics(of: accepted)?.isDraining == true)
    #expect(world.second.offer(accepted, upTo: 1000) == .ended && world.second.finish(accepted) == .ended)
    #expect(world.second.ping(accepted, token: 1) == .ended && world.second.flush(accepted) == .ended)
    world.second.pause(accepted)
    // PING, the next data segment, CLOSE.
    for plaintext: [UInt8] in [
      [6, 96, 0, 1, 0, 0], [6, 0, 0, 0, 0, 250, 1, 2, 3], [6, 64, 0, 5, 0, 0, 0, 0, 0, 0],
    ] {
      world.injectSealed(plaintext, fromFirst: true, peer: dialled)
    }
    _ = world.run(for: .seconds(10))
    let after = world.second.statistics
    #expect(after.datagramsSent == before.datagramsSent && after.isBalanced)
    #expect(after.poolBytesInUse == before.poolBytesInUse && world.secondHandler.closedCount == 0)
    try expectAll(&world, isFinished: false, reason: .idleTimeout)
  }

  /// Only what is unread is kept: neither what was remembered of what was sent, nor the key that was in use before.
  @Test func nothingElseIsKept() throws {
    var world = try Self.stoppedWorld(finishes: false)
    let slot = try LifecycleTests.only(world.secondHandler).slot
    world.second.peers.flows[slot].replay.grow(toBits: 1 << 20)
    for number in 0..<10_000 as Range<UInt64> {
      world.second.peers.flows[slot].rate.sent(
        packetNumber: number * 200, bytesInFlight: 10_000, bytes: 1000, now: number)
    }
    var previous = TrafficKey()
    previous.aead = 1
    world.second.peers.flows[slot].previousKey.replace(with: previous, until: .never)
    world.first.close(try LifecycleTests.only(world.firstHandler), code: 7)
    _ = world.run(for: .seconds(5))
    #expect(world.secondHandler.drainings.count == 1)
    let isSmall = world.second.peers.flows[slot].replay.isSmall && world.second.peers.flows[slot].rate.isSmall
    #expect(isSmall)
    #expect(world.second.peers.flows[slot].previousKey.key.aead == 0)
    try expectAll(&world, isFinished: false, reason: .remote(code: 7, reason: ""))
  }

  /// Behind a gap that nothing can fill any more.
  @Test func earlyBytesAreGivenBack() throws {
    var world = try Self.stoppedWorld(finishes: false)
    let dialled = try LifecycleTests.only(world.firstHandler)
    let inOrder = world.second.statistics.poolBytesInUse
    // The sender would take its ACK for a violation.
    world.back.isDown = true
    let next = world.first.peers.flows[dialled.slot].send.next
    for ahead: UInt32 in [2, 3, 7] {
      let number = next &+ ahead
      world.injectSealed(
        [6, 0] + (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
          + [UInt8](repeating: 1, count: 1000),
        fromFirst: true, peer: dialled)
    }
    _ = world.run(for: .milliseconds(10))
    #expect(world.second.statistics.poolBytesInUse > inOrder)
    world.first.close(dialled, code: 1)
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.poolBytesInUse == inOrder)
    try expectAll(&world, isFinished: false, reason: .remote(code: 1, reason: ""))
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Once the user has closed a connection, its handler hears of it once more, by `closed`, and of nothing else.
@Suite struct CloseInCallbackTests {
  /// Sends and answers, and closes in one of its callbacks.
  private struct Closing: Handler {
    enum Moment: CaseIterable { case connected, received, finished, acknowledged, pong }

    var sends: UInt64 = 200_000
    var closesIn: Moment?
    var peer: Peer?
    var hasClosed = false
    var reasons: [CloseReason] = []
    var callsBehindClose = 0
    var received: UInt64 = 0

    private mutating func note(_ moment: Moment, _ peer: Peer, _ engine: inout Engine) {
      if hasClosed { callsBehindClose += 1 }
      guard moment == closesIn, moment != .received || received > 50_000, !hasClosed else { return }
      hasClosed = true
      engine.close(peer, code: 3)
    }

    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
      self.peer = peer
      engine.offer(peer, upTo: sends)
      engine.finish(peer)
      engine.ping(peer, token: 9)
      note(.connected, peer, &engine)
    }
    mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
      received += UInt64(bytes.byteCount)
      note(.received, peer, &engine)
    }
    mutating func finished(_ peer: Peer, engine: inout Engine) { note(.finished, peer, &engine) }
    mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
      if hasClosed { callsBehindClose += 1 }
      for index in 0..<bytes.byteCount { bytes.setByte(index, 0) }
    }
    mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
      note(.acknowledged, peer, &engine)
    }
    mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine) { note(.pong, peer, &engine) }
    mutating func moved(_ peer: Peer, to address: Address, engine: inout Engine) {
      if hasClosed { callsBehindClose += 1 }
    }
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { reasons.append(reason) }
  }

  private static func world(_ second: Closing, versions: VersionPolicy = .version1) throws -> World<Closing> {
    var configuration = EngineConfiguration()
    configuration.acceptsOriginal = true
    var link = Link()
    link.delay = .milliseconds(20)
    var world = World(
      seed: 3, configuration: configuration, link: link, firstHandler: Closing(), secondHandler: second)
    // Many datagrams come at once.
    world.network.coalescing = .milliseconds(5)
    _ = try world.first.connect(to: World<Closing>.secondAddress, expecting: .anyone, versions: versions)
    return world
  }

  @Test(arguments: Closing.Moment.allCases, [VersionPolicy.version1, .original])
  private func nothingFollows(moment: Closing.Moment, versions: VersionPolicy) throws {
    if moment == .pong, versions == .original { return }
    var second = Closing()
    second.closesIn = moment
    var world = try Self.world(second, versions: versions)
    #expect(world.run(for: .seconds(60)) { !$0.secondHandler.reasons.isEmpty })
    let hasClosed = world.secondHandler.hasClosed
    #expect(hasClosed && world.secondHandler.callsBehindClose == 0)
    #expect(world.secondHandler.reasons == [.local(code: 3)])
    _ = world.run(for: .seconds(60))
    #expect(world.secondHandler.reasons.count == 1)
    #expect(world.second.statistics.poolBytesInUse == 0 && world.second.statistics.isBalanced)
  }

  /// What was stored is not handed over either when the reader goes on and closes.
  @Test func nothingOfWhatWasStoredFollows() throws {
    var world = try Self.world(Closing())
    #expect(world.run(for: .seconds(60)) { $0.secondHandler.received > 0 })
    let accepted = try #require(world.secondHandler.peer)
    world.second.pause(accepted)
    _ = world.run(for: .milliseconds(200))
    world.secondHandler.closesIn = .received
    world.secondHandler.received = 60_000
    world.second.resume(accepted)
    _ = world.run(for: .seconds(60))
    #expect(world.secondHandler.hasClosed && world.secondHandler.callsBehindClose == 0)
    #expect(world.secondHandler.reasons == [.local(code: 3)])
  }

  /// A dial that its user has given up is no connection any more, even if its answer comes in the same turn.
  @Test func aDialThatWasClosedDoesNotConnect() throws {
    var configuration = EngineConfiguration()
    configuration.keepAlive = 0
    var engine = Engine(
      configuration: configuration, secretKey: SecretKey(repeating: 1), suite: ClearSuite(seed: 1), seed: 1, now: 0)
    var other = Engine(
      configuration: configuration, secretKey: SecretKey(repeating: 2), suite: ClearSuite(seed: 2), seed: 2, now: 0)
    var (handler, otherHandler) = (Closing(), Closing())
    var batch = DatagramBatch(messages: 4, messageCapacity: 65_000)
    let peer = try engine.connect(to: World<Closing>.secondAddress, expecting: .anyone)
    engine.transmit(into: &batch, now: 1000, handler: &handler)
    other.receive(&batch, now: 2000, handler: &otherHandler)
    batch.clear()
    other.transmit(into: &batch, now: 2000, handler: &otherHandler)
    #expect(engine.close(peer, code: 3) == .done && engine.close(peer, code: 4) == .ended)
    handler.hasClosed = true
    engine.receive(&batch, now: 3000, handler: &handler)
    #expect(handler.callsBehindClose == 0 && handler.reasons.isEmpty)
    batch.clear()
    engine.transmit(into: &batch, now: 3000, handler: &handler)
    #expect(handler.callsBehindClose == 0 && handler.reasons == [.local(code: 3)])
    #expect(engine.statistics.late == 1 && engine.statistics.isBalanced)
  }
}

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
    let peer = try world.first.connect(to: StreamWorld.secondAddress, versions: .original)
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
    #expect(world.second.peers.foreign.count == 0 && world.second.peers.originals.inUse == 0)
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
    let peer = try world.first.connect(to: StreamWorld.secondAddress, versions: .original)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .handshakeTimeout)
    #expect(world.second.statistics.datagramsSent == 0 && world.second.statistics.unknownConnection == 5)
  }

  @Test func aPinnedKeyRefusesIt() throws {
    var world = Self.world()
    #expect(throws: EngineError.originalHasNoIdentity) {
      try world.first.connect(to: StreamWorld.secondAddress, pinned: PublicKey(), versions: .original)
    }
  }

  @Test func eitherFindsVersion1() throws {
    var world = Self.world(firstSends: nil, secondSends: nil)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, versions: .either)
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
    let peer = try world.first.connect(to: StreamWorld.secondAddress, versions: .original)
    _ = world.run(for: .seconds(600))
    #expect(world.firstHandler.closedCount == 0 && world.secondHandler.closedCount == 0)
    #expect(world.first.statistics(of: peer)?.version == 0)
    _ = world.run(for: .seconds(3600))
    #expect(world.secondHandler.closedCount == 1, "but not for ever")
  }

  @Test func aPeerThatVanishesIsGivenUp() throws {
    var world = Self.world(firstSends: nil, secondSends: nil)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, versions: .original)
    _ = world.run(for: .seconds(100))
    world.forth.isDown = true
    world.first.offer(peer, upTo: 5000)
    #expect(world.run(for: .seconds(32)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .idleTimeout)
  }

  /// What the original sends as ACKs, and what breaks it: no CONTROL, nothing shorter than an empty segment.
  @Test func nothingGoesOutThatItCannotTake() throws {
    var world = Self.world(firstSends: 300_000, secondSends: nil)
    _ = try world.first.connect(to: StreamWorld.secondAddress, versions: .original)
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
}

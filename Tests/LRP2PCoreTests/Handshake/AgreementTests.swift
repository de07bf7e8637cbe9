// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Synchronization
import Testing

/// What programs agree on in the handshake: an application protocol, and what the dialler's has to say to the listener's.
@Suite struct AgreementTests {
  typealias StreamWorld = World<StreamHandler>

  private static func world(
    _ dialler: [ApplicationProtocol], _ listener: [ApplicationProtocol], seed: UInt64 = 1, link: Link = Link(),
    first: (inout EngineConfiguration) -> Void = { _ in }, second: (inout EngineConfiguration) -> Void = { _ in }
  ) -> StreamWorld {
    var configuration = EngineConfiguration()
    configuration.applicationProtocols = dialler
    first(&configuration)
    var other = EngineConfiguration()
    other.applicationProtocols = listener
    second(&other)
    return StreamWorld(
      seed: seed, configuration: configuration, second: other, link: link,
      firstHandler: StreamHandler(bytesToSend: 1000),
      secondHandler: StreamHandler(bytesToSend: 1000))
  }

  private static func agreed(_ world: borrowing StreamWorld) throws -> [ApplicationProtocol?] {
    [
      world.first.applicationProtocol(of: try LifecycleTests.only(world.firstHandler)),
      world.second.applicationProtocol(of: try LifecycleTests.only(world.secondHandler)),
    ]
  }

  // MARK: Application protocols

  @Test func theDiallersOrderDecides() throws {
    var world = Self.world(["a", "b", "c"], ["c", "b"])
    world.firstHandler.bytesToSend = nil
    world.secondHandler.bytesToSend = nil
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.first.applicationProtocol(of: peer) == nil)
    #expect(world.run(for: .seconds(1)) { !$0.secondHandler.peers.isEmpty })
    #expect(try Self.agreed(world) == ["b", "b"])
    // At rest, too.
    _ = world.run(for: .seconds(10))
    let rests = !world.first.peers.flows.contains(peer.slot)
    #expect(rests)
    #expect(try Self.agreed(world) == ["b", "b"])
    world.first.close(peer, code: 1)
    _ = world.run(for: .seconds(10))
    #expect(world.first.applicationProtocol(of: peer) == nil)
  }

  /// The slot's next connection has its own.
  @Test func nothingIsLeftForTheNext() throws {
    var world = Self.world(["a"], [], second: { $0.acceptsOriginal = true })
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    #expect(world.run(for: .seconds(20)) { !$0.firstHandler.peers.isEmpty })
    #expect(world.first.applicationProtocol(of: peer) == nil && world.firstHandler.payloads.isEmpty)
  }

  @Test func namesMayBeAnyBytes() throws {
    let name = try #require(ApplicationProtocol(bytes: (0..<63).map { UInt8($0 * 4) }))
    var world = Self.world(["x", name], [name, "y"])
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    let isDone = world.run(for: .seconds(5)) { TransferTests.isClosed($0.firstHandler) }
    #expect(isDone && world.firstHandler.peers.values.first?.closed == .finished)
  }

  /// Who has none is not asked, and asks nobody.
  @Test func withoutNamesOnEitherSideAllIsAsBefore() throws {
    var world = Self.world([], [])
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(5)) { TransferTests.isClosed($0.firstHandler) })
    #expect(world.firstHandler.peers.values.first?.closed == .finished)
  }

  /// The dialler finds it out, and sends no message 3.
  @Test(arguments: [["x"], []] as [[ApplicationProtocol]]) func theListenerHasNone(listener: [ApplicationProtocol])
    throws
  {
    var world = Self.world(["a", "b"], listener)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(2)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .noCommonProtocol)
    #expect(world.firstHandler.peers.count == 1 && world.first.statistics.handshakesIncompatible == 1)
    _ = world.run(for: .seconds(60))
    #expect(world.secondHandler.peers.isEmpty && world.second.statistics.peers == 0)
    #expect(world.first.statistics.isBalanced && world.second.statistics.isBalanced)
    #expect(world.second.statistics.handshakesCompleted == 0)
  }

  /// The dialler names none, and is told.
  @Test func theDiallerNamesNone() throws {
    var world = Self.world([], ["a"])
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(2)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .noCommonProtocol)
    #expect(world.secondHandler.peers.isEmpty && world.second.statistics.handshakesIncompatible == 1)
    #expect(world.secondHandler.payloads.isEmpty, "the key is not judged")
    _ = world.run(for: .seconds(60))
    #expect(world.second.statistics.peers == 0 && world.second.statistics.isBalanced)
  }

  @Test func theListenerMayBeSilent() throws {
    var world = Self.world([], ["a"], second: { $0.reportsRefusals = false })
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .handshakeTimeout)
  }

  @Test(arguments: 1...50) func agreementsSurviveLoss(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.3
    link.duplication = 0.3
    link.jitter = .milliseconds(20)
    var world = Self.world(["a", "b"], ["b"], seed: seed, link: link)
    _ = try world.first.connect(
      to: StreamWorld.secondAddress, expecting: .anyone, payload: [UInt8](repeating: 9, count: 512))
    let isDone = world.run(for: .seconds(120)) {
      TransferTests.isClosed($0.firstHandler) && $0.secondHandler.peers.values.allSatisfy { $0.closed != nil }
    }
    #expect(isDone)
    let closed = world.firstHandler.peers.values.first?.closed
    #expect(closed == .finished || closed == .handshakeTimeout)
    if closed == .finished { #expect(world.secondHandler.payloads.last == [UInt8](repeating: 9, count: 512)) }
  }

  // MARK: Payload

  @Test(arguments: [0, 1, 300, 512]) func theListenerSeesThePayload(count: Int) throws {
    let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    var world = Self.world(["a"], ["a"])
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, payload: payload)
    #expect(world.run(for: .seconds(5)) { TransferTests.isClosed($0.firstHandler) })
    #expect(world.firstHandler.peers[peer]?.closed == .finished && world.secondHandler.payloads == [payload])
    #expect(world.firstHandler.payloads.isEmpty, "a dialler is not asked")
  }

  @Test func aPayloadMayBeRefused() throws {
    var world = Self.world([], [])
    world.secondHandler.wantedPayload = [1, 2, 3]
    let refused = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, payload: [1, 2])
    #expect(world.run(for: .seconds(2)) { $0.firstHandler.closedCount == 1 })
    let told = CloseReason.remote(code: CloseCode.keyRefused, reason: "key refused")
    #expect(world.firstHandler.peers[refused]?.closed == told && world.second.statistics.keysRefused == 1)
    let wanted = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, payload: [1, 2, 3])
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.closedCount == 2 })
    #expect(world.firstHandler.peers[wanted]?.closed == .finished)
  }

  /// The listener's program says why, and the dialler's learns it.
  @Test(arguments: [(7, 7), (0, 0), (0xFFFF_FF05, 0xFFFF_FF02), (0xFFFF_FF02, 0xFFFF_FF02)] as [(UInt32, UInt32)])
  func aRefusalHasACodeAndAReason(code: UInt32, arrives: UInt32) throws {
    var world = Self.world([], [])
    world.secondHandler.refusesKeys = true
    world.secondHandler.refusal = .refused(code: CloseCode(rawValue: code), reason: "no such room")
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, payload: [1, 2])
    #expect(world.run(for: .seconds(2)) { $0.firstHandler.closedCount == 1 })
    let told = CloseReason.remote(code: CloseCode(rawValue: arrives), reason: "no such room")
    #expect(world.firstHandler.peers[peer]?.closed == told && world.secondHandler.peers.isEmpty)
  }

  // MARK: Keys

  /// The rule comes first: a program is not asked about a key that it does not accept.
  @Test(arguments: [false, true]) func onlyAcceptedKeysAreJudged(isAccepted: Bool) throws {
    let key = Self.world([], []).first.publicKey
    let other = PublicKey(bytes: [UInt8](repeating: 3, count: 32))!
    var world = Self.world([], [], second: { $0.accepting = isAccepted ? .keys([other, key]) : .key(other) })
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.closedCount == 1 })
    let refused = CloseReason.remote(code: .keyRefused, reason: "key refused")
    #expect(world.firstHandler.peers[peer]?.closed == (isAccepted ? .finished : refused))
    #expect(world.secondHandler.payloads == (isAccepted ? [[]] : []))
    #expect(world.second.statistics.keysRefused == (isAccepted ? 0 : 1))
  }

  /// Each address is asked about only as it answers, and the rule sees it.
  @Test func aDialExpectsKeys() throws {
    var world = Self.world([], [])
    let key = world.second.publicKey
    let seen = SeenKeys()
    let rules: [(PeerKeys, Bool)] = [
      (.key(key), true), (.keys([key]), true), (.anyone, true), (.nobody, false), (.keys([]), false),
      (.matching { key, address in seen.note(key, address) }, true), (.matching { _, _ in false }, false),
    ]
    for (index, (rule, isMet)) in rules.enumerated() {
      let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: rule)
      #expect(world.run(for: .seconds(20)) { $0.firstHandler.closedCount == index + 1 })
      #expect(world.firstHandler.peers[peer]?.closed == (isMet ? .finished : .keyRefused))
    }
    #expect(seen.all.first?.0 == key && seen.all.first?.1 == StreamWorld.secondAddress)
  }

  @Test func aPayloadHasABound() throws {
    var world = Self.world([], [])
    #expect(throws: EngineError.payloadTooLong) {
      try world.first.connect(
        to: StreamWorld.secondAddress, expecting: .anyone, payload: [UInt8](repeating: 0, count: 513))
    }
    #expect(world.first.statistics.peers == 0)
  }

  /// It is the first attempt's, and a later one wins; it is forgotten then.
  @Test func aLaterAttemptTakesItAlong() throws {
    var world = Self.world(["a"], ["a"])
    world.firstHandler.bytesToSend = nil
    world.secondHandler.bytesToSend = nil
    world.forth.isDown = true
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, payload: [7, 7])
    _ = world.run(for: .milliseconds(1500))
    world.forth.isDown = false
    #expect(world.run(for: .seconds(5)) { !$0.firstHandler.peers.isEmpty })
    let kept = Array(Slot.all(world.first.peers.slots)).filter {
      world.first.peers.handshakes.contains($0) && !world.first.peers.handshakes[$0].payload.isEmpty
    }
    #expect(kept.isEmpty && world.first.peers.rows[peer.slot].phase == .superseded)
    #expect(world.run(for: .seconds(5)) { !$0.secondHandler.peers.isEmpty })
    #expect(world.secondHandler.payloads == [[7, 7]] && world.first.applicationProtocol(of: peer) == "a")
  }

  // MARK: Long messages

  /// Message 3 may be as long as a datagram may be; what overtakes it is held as before.
  @Test(arguments: [0, 200, 400, 513, 765, 800, 1000, 1199, 1200, 1399, 1400]) func message3MayBeLong(bytes: Int) throws
  {
    var world = Self.world(
      ["a"], ["a"], first: { $0.message3Bytes = bytes })
    world.network.mergesArrivals = false
    _ = try world.first.connect(
      to: StreamWorld.secondAddress, expecting: .anyone, payload: [UInt8](repeating: 1, count: 100))
    #expect(world.run(for: .seconds(5)) { TransferTests.isClosed($0.firstHandler) })
    #expect(world.firstHandler.peers.values.first?.closed == .finished)
    #expect(world.secondHandler.payloads == [[UInt8](repeating: 1, count: 100)])
    #expect(world.second.statistics.earlyDataRefused == 0 && world.second.statistics.isBalanced)
  }

  @Test func message3IsAsLongAsItSays() throws {
    var world = Self.world([], [], first: { $0.message3Bytes = 1400 })
    world.forth.isDown = true
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    world.forth.isDown = false
    #expect(world.run(for: .seconds(1)) { !$0.firstHandler.peers.isEmpty })
    #expect(world.handshakeDatagram(ofFirst: peer).count == 1400)
  }

  /// An address that has not proved itself gets less than a third of what it has sent.
  @Test func theLongestMessage2IsShort() throws {
    let long = try #require(ApplicationProtocol(name: String(repeating: "a", count: 63)))
    let other = try #require(ApplicationProtocol(name: String(repeating: "b", count: 63)))
    var longest = 0
    // Some have a parameter, a version and a feature that mean nothing.
    for seed in 1...200 as ClosedRange<UInt64> {
      var world = Self.world([], [long, other], seed: seed, second: { $0.features = 0xFF })
      _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
      #expect(world.run(for: .seconds(1)) { $0.second.statistics.peers == 1 })
      longest = max(longest, world.handshakeDatagram(ofSecond: Slot(0)).count)
    }
    // A reset token is 20 bytes.
    #expect(longest > 330 && longest + 20 < 400, "\(longest)")
  }

  // MARK: Features

  @Test func featuresOfBothAreInForce() throws {
    var world = Self.world(
      [], [],
      first: {
        $0.features = 0b110
        $0.usesMessages = false
      }, second: { $0.features = 0b011 })
    world.firstHandler.bytesToSend = nil
    world.secondHandler.bytesToSend = nil
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { !$0.secondHandler.peers.isEmpty })
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    #expect(world.first.peers.headers[dialled.slot].features == 0b010)
    #expect(world.second.peers.headers[accepted.slot].features == 0b010)
  }

  /// A quarter of the messages name one that means nothing, and no other but messages (feature 0).
  @Test func someFeaturesMeanNothing() throws {
    var named = 0
    for seed in 1...200 as ClosedRange<UInt64> {
      var world = Self.world([], [], seed: seed)
      world.firstHandler.bytesToSend = nil
      _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
      #expect(world.run(for: .seconds(1)) { $0.second.statistics.peers == 1 })
      let message = world.handshakeDatagram(ofSecond: Slot(0))
      // The suite of these worlds keeps no secrets: what it seals can be read.
      let start = try #require(
        (16..<message.count - 4).first { Array(message[$0..<$0 + 4]) == [0x4C, 0x52, 0x50, 0x32] })
      let payload = Array(message[start..<message.count - 16])
      let features = try HandshakeParameters.parse(unsafe payload.span.bytes, of: .second).features
      #expect(features.nonzeroBitCount <= 2 && features & 0xFFFF == 1)
      if features != 1 { named += 1 }
    }
    #expect((25...80).contains(named), "\(named) of 200")
  }
}

/// What a rule for keys was asked.
private final class SeenKeys: Sendable {
  private let seen = Mutex<[(PublicKey, Address)]>([])

  var all: [(PublicKey, Address)] { seen.withLock { $0 } }

  func note(_ key: PublicKey, _ address: Address) -> Bool {
    seen.withLock { $0.append((key, address)) }
    return true
  }
}

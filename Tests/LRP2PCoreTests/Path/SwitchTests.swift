// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A side that leaves a path which still carries datagrams, in virtual time: SWITCH.
@Suite struct SwitchTests {
  typealias StreamWorld = World<StreamHandler>

  private static func address(_ host: UInt32, port: UInt16) -> Address {
    Address(ipv4: 0x0A00_0000 + host, port: port)
  }

  /// Two hosts that have found each other by a relay, of twice the delay.
  private static func relayed(
    seed: UInt64 = 1, link: Link = Link(), sends: UInt64? = nil,
    configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var world = LifecycleTests.world(seed: seed, link: link, sends: sends, configure: configure)
    var detour = link
    detour.delay = 2 * link.delay
    _ = world.addRelay(detour)
    _ = try world.first.connect(to: StreamWorld.relayOfSecond, expecting: .anyone)
    let isOpen = world.run(for: .seconds(20)) { !$0.secondHandler.peers.isEmpty && !$0.firstHandler.peers.isEmpty }
    #expect(isOpen)
    _ = world.run(for: .milliseconds(100))
    let accepted = try LifecycleTests.only(world.secondHandler)
    #expect(world.second.statistics(of: accepted)?.address == StreamWorld.relayOfFirst)
    return world
  }

  private static func peers(_ world: borrowing StreamWorld) throws -> (dialled: Peer, accepted: Peer) {
    (try LifecycleTests.only(world.firstHandler), try LifecycleTests.only(world.secondHandler))
  }

  private static func places(_ world: borrowing StreamWorld, _ dialled: Peer, _ accepted: Peer) -> [Address?] {
    [world.first.statistics(of: dialled)?.address, world.second.statistics(of: accepted)?.address]
  }

  private static let direct: [Address?] = [StreamWorld.secondAddress, StreamWorld.firstAddress]
  private static let byRelay: [Address?] = [StreamWorld.relayOfSecond, StreamWorld.relayOfFirst]

  /// What each side offers from now on arrives.
  private static func exchange(
    _ world: inout StreamWorld, _ dialled: Peer, _ accepted: Peer, bytes: UInt64 = 300_000,
    within: Nanoseconds = .seconds(20)
  ) -> Bool {
    world.firstHandler.bytesToSend = 0
    world.secondHandler.bytesToSend = 0
    let (there, back) =
      (
        (world.secondHandler.peers[accepted]?.received ?? 0) + bytes,
        (world.firstHandler.peers[dialled]?.received ?? 0) + bytes
      )
    world.first.offer(dialled, upTo: there)
    world.second.offer(accepted, upTo: back)
    return world.run(for: within) {
      $0.secondHandler.peers[accepted]?.received == there && $0.firstHandler.peers[dialled]?.received == back
    }
  }

  // MARK: Leaving a relay

  /// Being heard of at another address is not enough, as the old one answers.
  @Test func withoutItARelayIsNeverLeft() throws {
    var world = try Self.relayed()
    let (dialled, accepted) = try Self.peers(world)
    for _ in 0..<20 {
      world.injectSealed([6, 64, 0, 1, 0, 0], fromFirst: true, peer: dialled, from: StreamWorld.firstAddress)
      _ = world.run(for: .seconds(2))
    }
    #expect(Self.places(world, dialled, accepted) == Self.byRelay)
    #expect(world.second.statistics.pathValidationsRefused > 10 && world.secondHandler.moves.isEmpty)
  }

  @Test func aRelayIsLeftAlthoughItAnswers() throws {
    var world = try Self.relayed()
    let (dialled, accepted) = try Self.peers(world)
    #expect(world.first.switchPath(dialled, to: StreamWorld.secondAddress) == .done)
    let isDone = world.run(for: .milliseconds(200)) { $0.firstHandler.switches == [true] }
    #expect(isDone && Self.places(world, dialled, accepted) == Self.direct)
    #expect(world.firstHandler.moves == [StreamWorld.secondAddress])
    #expect(world.secondHandler.moves == [StreamWorld.firstAddress])
    _ = world.run(for: .seconds(2))
    let before = world.network.counters(ofLink: 2).datagrams + world.network.counters(ofLink: 3).datagrams
    let isExchanged = Self.exchange(&world, dialled, accepted)
    #expect(isExchanged)
    let after = world.network.counters(ofLink: 2).datagrams + world.network.counters(ofLink: 3).datagrams
    #expect(after == before, "nothing goes by the relay any more")
    #expect(world.first.statistics.pathSwitchesSent == 1 && world.first.statistics.pathSwitchesFailed == 0)
    #expect(world.second.statistics.pathSwitchesReceived == 1 && world.secondHandler.switches.isEmpty)
    #expect(world.first.statistics.isBalanced && world.second.statistics.isBalanced)
  }

  /// The listener may ask for it, too.
  @Test func eitherSideMayLeaveIt() throws {
    var world = try Self.relayed()
    let (dialled, accepted) = try Self.peers(world)
    #expect(world.second.switchPath(accepted, to: StreamWorld.firstAddress) == .done)
    let isDone = world.run(for: .milliseconds(200)) { $0.secondHandler.switches == [true] }
    #expect(isDone && Self.places(world, dialled, accepted) == Self.direct)
  }

  @Test func theWayBackWhenTheDirectPathDies() throws {
    var world = try Self.relayed()
    let (dialled, accepted) = try Self.peers(world)
    world.first.switchPath(dialled, to: StreamWorld.secondAddress)
    _ = world.run(for: .milliseconds(200))
    #expect(Self.places(world, dialled, accepted) == Self.direct)
    world.firstHandler.bytesToSend = 0
    world.secondHandler.bytesToSend = 0
    world.first.offer(dialled, upTo: 100_000)
    _ = world.run(for: .milliseconds(3))
    world.forth.isDown = true
    world.back.isDown = true
    _ = world.run(for: .milliseconds(500))
    world.first.switchPath(dialled, to: StreamWorld.relayOfSecond)
    let isDone = world.run(for: .seconds(3)) { $0.firstHandler.switches == [true, true] }
    #expect(isDone && Self.places(world, dialled, accepted) == Self.byRelay)
    #expect(world.run(for: .seconds(5)) { $0.secondHandler.peers[accepted]?.received == 100_000 })
    let isExchanged = Self.exchange(&world, dialled, accepted)
    #expect(isExchanged)
  }

  /// Each moves the other to the direct address it knows, in the same moment.
  @Test(arguments: 0...20) func bothLeaveItAtOnce(shift: UInt64) throws {
    var world = try Self.relayed()
    let (dialled, accepted) = try Self.peers(world)
    world.first.switchPath(dialled, to: StreamWorld.secondAddress)
    _ = world.run(for: .milliseconds(shift))
    world.second.switchPath(accepted, to: StreamWorld.firstAddress)
    _ = world.run(for: .seconds(5))
    #expect(Self.places(world, dialled, accepted) == Self.direct)
    #expect(world.firstHandler.switches == [true] && world.secondHandler.switches == [true])
    #expect(world.firstHandler.moves.count == 1 && world.secondHandler.moves.count == 1)
    let isExchanged = Self.exchange(&world, dialled, accepted)
    #expect(isExchanged)
  }

  // MARK: Another network of this side's

  @Test func theOldNetworkStillWorks() throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.leaveFrom(Self.address(7, port: 7))
    #expect(world.first.switchPath(dialled) == .done)
    #expect(world.run(for: .milliseconds(200)) { $0.firstHandler.switches == [true] })
    #expect(world.second.statistics(of: accepted)?.address == Self.address(7, port: 7))
    #expect(world.secondHandler.moves == [Self.address(7, port: 7)] && world.firstHandler.moves.isEmpty)
    world.network.relays = [:]
    let isExchanged = Self.exchange(&world, dialled, accepted)
    #expect(isExchanged)
  }

  private static func open(
    seed: UInt64 = 1, link: Link = Link(), configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var world = try LifecycleTests.openWorld(seed: seed, link: link, configure: configure)
    _ = world.run(for: .milliseconds(100))
    return world
  }

  /// The address has not changed for the peer: it answers at once.
  @Test func aSwitchFromWhereThePeerKnowsUsIsAnsweredAtOnce() throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.first.switchPath(dialled)
    _ = world.run(for: .milliseconds(11))
    #expect(world.firstHandler.switches == [true] && world.secondHandler.moves.isEmpty)
    #expect(world.second.statistics.pathValidations == 0)
    #expect(world.second.statistics.pathSwitchesReceived == 1)
    // Whoever gives the address that the peer has means the same.
    world.first.switchPath(dialled, to: StreamWorld.secondAddress)
    _ = world.run(for: .milliseconds(11))
    #expect(world.firstHandler.switches == [true, true] && world.firstHandler.moves.isEmpty)
    #expect(world.second.statistics(of: accepted)?.address == StreamWorld.firstAddress)
  }

  /// Both change to another network at once, and each is still reached at its old one.
  @Test(arguments: 0...12) func bothSwitchAtOnce(shift: UInt64) throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.leaveFrom(Self.address(7, port: 7))
    world.first.switchPath(dialled)
    _ = world.run(for: .milliseconds(shift))
    world.secondLeavesFrom(Self.address(8, port: 8))
    world.second.switchPath(accepted)
    _ = world.run(for: .seconds(5))
    #expect(Self.places(world, dialled, accepted) == [Self.address(8, port: 8), Self.address(7, port: 7)])
    #expect(world.firstHandler.switches == [true] && world.secondHandler.switches == [true])
    world.network.relays = [:]
    let isExchanged = Self.exchange(&world, dialled, accepted)
    #expect(isExchanged)
  }

  /// The NAT of the new network gives another port while the peer is being asked: what it answers to is not there any more.
  @Test(arguments: 0...30) func aNATChangesThePortMeanwhile(shift: UInt64) throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.leaveFrom(Self.address(7, port: 7))
    world.first.switchPath(dialled)
    _ = world.run(for: .milliseconds(shift))
    world.presentAddress = Self.address(7, port: 8)
    _ = world.run(for: .seconds(4))
    #expect(world.firstHandler.switches == [true])
    // Where the port has changed behind all answers the next datagram tells of it.
    world.network.relays = [:]
    let isExchanged = Self.exchange(&world, dialled, accepted)
    #expect(isExchanged && world.second.statistics(of: accepted)?.address == Self.address(7, port: 8))
  }

  /// A late answer to an earlier SWITCH does not take the peer where it no longer wants to be reached.
  @Test func theLaterSwitchCounts() throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    var values = [UInt8](repeating: 1, count: 8)
    world.injectSealed([6, 64, 0, 7, 0, 0] + values, fromFirst: true, peer: dialled, from: Self.address(7, port: 7))
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.peers.flows[accepted.slot].path.isActive)
    values[0] = 2
    world.injectSealed([6, 64, 0, 7, 0, 0] + values, fromFirst: true, peer: dialled)
    _ = world.run(for: .milliseconds(1))
    #expect(!world.second.peers.flows[accepted.slot].path.isActive)
    #expect(world.second.statistics.pathSwitchesReceived == 2 && world.secondHandler.moves.isEmpty)
  }

  // MARK: Loss

  /// The first SWITCH is lost, the CHALLENGE, or the RESPONSE.
  @Test(arguments: [(false, 0), (true, 0), (false, 7), (true, 12), (true, 17)] as [(Bool, UInt64)])
  func whatIsLostIsRepeated(isBack: Bool, after: UInt64) throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.leaveFrom(Self.address(7, port: 7))
    world.first.switchPath(dialled)
    _ = world.run(for: .milliseconds(after))
    if isBack { world.back.isDown = true } else { world.forth.isDown = true }
    _ = world.run(for: .milliseconds(6))
    world.forth.isDown = false
    world.back.isDown = false
    #expect(world.run(for: .seconds(2)) { $0.firstHandler.switches == [true] })
    #expect(world.second.statistics(of: accepted)?.address == Self.address(7, port: 7))
    #expect(world.secondHandler.moves.count == 1)
  }

  /// Half of everything is lost: it fails, and nothing has changed, or it succeeds.
  @Test(arguments: 1...60) func itSurvivesLoss(seed: UInt64) throws {
    var world = try Self.relayed(seed: seed)
    let (dialled, accepted) = try Self.peers(world)
    world.forth.loss = 0.5
    world.back.loss = 0.5
    world.first.switchPath(dialled, to: StreamWorld.secondAddress)
    #expect(world.run(for: .seconds(60)) { $0.firstHandler.switches.count == 1 })
    world.forth.loss = 0
    world.back.loss = 0
    let places = Self.places(world, dialled, accepted)
    if world.firstHandler.switches == [true] {
      #expect(places == Self.direct, "seed \(seed)")
    } else {
      #expect(places[0] == StreamWorld.relayOfSecond, "seed \(seed)")
    }
    let isExchanged = Self.exchange(&world, dialled, accepted)
    #expect(isExchanged, "seed \(seed)")
  }

  /// What the peer sends by the relay until it is answered, and what is late there, does not bring it back, although the question
  /// about that is lost now and then.
  @Test(arguments: 1...40) func whatIsLateDoesNotBringItBack(seed: UInt64) throws {
    var world = try Self.relayed(seed: seed)
    let (dialled, accepted) = try Self.peers(world)
    world.firstHandler.bytesToSend = 0
    world.first.offer(dialled, upTo: 3_000_000)
    _ = world.run(for: .milliseconds(200))
    world.forth.loss = 0.2
    world.back.loss = 0.2
    world.first.switchPath(dialled, to: StreamWorld.secondAddress)
    #expect(world.run(for: .seconds(60)) { $0.firstHandler.switches.count == 1 })
    let isSwitched = world.firstHandler.switches == [true]
    _ = world.run(for: .seconds(5))
    #expect(!isSwitched || Self.places(world, dialled, accepted) == Self.direct, "seed \(seed)")
    #expect(!isSwitched || world.secondHandler.moves.count == 1, "seed \(seed)")
  }

  /// Most succeed.
  @Test func halfOfEverythingMayBeLost() throws {
    var succeeded = 0
    for seed in 1...40 as ClosedRange<UInt64> {
      var world = try Self.open(seed: seed)
      let dialled = try Self.peers(world).dialled
      world.leaveFrom(Self.address(7, port: 7))
      world.forth.loss = 0.5
      world.back.loss = 0.5
      world.first.switchPath(dialled)
      _ = world.run(for: .seconds(60)) { $0.firstHandler.switches.count == 1 }
      if world.firstHandler.switches == [true] { succeeded += 1 }
    }
    #expect(succeeded >= 20, "\(succeeded) of 40")
  }

  @Test func nobodyAnswersThere() throws {
    var world = try Self.relayed()
    let (dialled, accepted) = try Self.peers(world)
    world.forth.isDown = true
    world.back.isDown = true
    let before = world.first.statistics.datagramsSent
    world.first.switchPath(dialled, to: StreamWorld.secondAddress)
    let begun = world.now
    #expect(world.run(for: .seconds(5)) { !$0.firstHandler.switches.isEmpty })
    #expect(world.firstHandler.switches == [false] && world.now - begun >= .seconds(1))
    #expect(world.first.statistics.datagramsSent - before < 12, "it asks a few times only")
    #expect(world.first.statistics.pathSwitchesFailed == 1 && world.firstHandler.moves.isEmpty)
    #expect(Self.places(world, dialled, accepted) == Self.byRelay)
    let isExchanged = Self.exchange(&world, dialled, accepted)
    #expect(isExchanged)
  }

  /// The peer is asked and answers, but nothing comes of it: datagrams reach it only as long as they are no SWITCH.
  @Test func theSwitchIsNeverAnswered() throws {
    var world = try Self.relayed()
    let (dialled, accepted) = try Self.peers(world)
    world.first.switchPath(dialled, to: StreamWorld.secondAddress)
    #expect(world.run(for: .seconds(1)) { $0.first.peers.flows[dialled.slot].pathSwitch.step == .tells })
    world.forth.isDown = true
    let begun = world.now
    #expect(world.run(for: .seconds(20)) { !$0.firstHandler.switches.isEmpty })
    #expect(world.firstHandler.switches == [false] && world.now - begun >= .seconds(2))
    #expect(Self.places(world, dialled, accepted) == Self.byRelay && world.secondHandler.moves.isEmpty)
  }

  /// Data of both directions is under way all the time, on lossy links, while the path changes to and fro.
  @Test(arguments: 1...6) func nothingUnderWayIsLost(seed: UInt64) throws {
    var link = Link()
    link.rate = 20_000_000
    link.loss = 0.01
    link.jitter = .milliseconds(2)
    let bytes: UInt64 = 2 << 20
    var world = try Self.relayed(seed: seed, link: link, sends: bytes)
    let (dialled, accepted) = try Self.peers(world)
    for (round, target) in [
      StreamWorld.secondAddress, StreamWorld.relayOfSecond, StreamWorld.secondAddress, StreamWorld.relayOfSecond,
    ].enumerated() {
      world.first.switchPath(dialled, to: target)
      let isDone = world.run(for: .seconds(20)) { $0.firstHandler.switches.count == round + 1 }
      #expect(isDone && world.firstHandler.closedCount == 0, "seed \(seed), round \(round)")
      _ = world.run(for: .milliseconds(50))
    }
    #expect(world.firstHandler.switches == [true, true, true, true], "seed \(seed)")
    let isDone = world.run(for: .seconds(120)) {
      TransferTests.isClosed($0.firstHandler) && TransferTests.isClosed($0.secondHandler)
    }
    #expect(isDone, "seed \(seed)")
    for (handler, peer) in [(world.firstHandler, dialled), (world.secondHandler, accepted)] {
      #expect(handler.mismatches == 0 && handler.violations == 0)
      let progress = try #require(handler.peers[peer])
      #expect(progress.closed == .finished && progress.received == bytes && progress.acknowledged == bytes)
    }
  }

  // MARK: Rest, and commands

  @Test(arguments: [0, 1024]) func whoRestsWakesForIt(flowsAtLeisure: Int) throws {
    var world = try Self.open {
      $0.restAfter = .milliseconds(50)
      $0.flowsAtLeisure = flowsAtLeisure
    }
    let (dialled, accepted) = try Self.peers(world)
    _ = world.run(for: .seconds(3))
    let rests = !world.first.peers.flows.contains(dialled.slot) && !world.second.peers.flows.contains(accepted.slot)
    #expect(rests)
    world.leaveFrom(Self.address(7, port: 7))
    #expect(world.first.switchPath(dialled) == .done)
    #expect(world.run(for: .milliseconds(100)) { $0.firstHandler.switches == [true] })
    #expect(world.second.statistics(of: accepted)?.address == Self.address(7, port: 7))
    _ = world.run(for: .seconds(3))
    let restAgain =
      !world.first.peers.flows.contains(dialled.slot) && !world.second.peers.flows.contains(accepted.slot)
    #expect(restAgain)
  }

  @Test func whatCannotBeAsked() throws {
    var world = try Self.open()
    let dialled = try Self.peers(world).dialled
    #expect(world.first.switchPath(dialled, to: Self.address(2, port: 0)) == .refused)
    #expect(world.first.switchPath(Peer(connectionID: 77)) == .ended)
    world.first.close(dialled, code: 1)
    #expect(world.first.switchPath(dialled) == .ended)
    let early = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.first.switchPath(early) == .refused)
    #expect(world.first.statistics.pathSwitchesSent == 0)
    var old = LifecycleTests.world { $0.acceptsOriginal = true }
    let original = try old.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    #expect(old.run(for: .seconds(1)) { !$0.firstHandler.peers.isEmpty })
    #expect(old.first.switchPath(original) == .refused)
  }

  /// Behind an own close nothing comes but `closed`.
  @Test func whoClosesWhenItMovesHearsNoMore() throws {
    var world = try Self.relayed()
    let (dialled, accepted) = try Self.peers(world)
    world.firstHandler.closesMoving = 3
    world.first.switchPath(dialled, to: StreamWorld.secondAddress)
    _ = world.run(for: .seconds(2))
    #expect(world.firstHandler.moves.count == 1 && world.firstHandler.switches.isEmpty)
    #expect(world.firstHandler.peers[dialled]?.closed == .local(code: 3))
    #expect(world.secondHandler.peers[accepted]?.closed == .remote(code: 3, reason: ""))
  }

  /// The connection ends while somebody is asked.
  @Test func anEndEndsTheSwitch() throws {
    var world = try Self.relayed()
    let (dialled, _) = try Self.peers(world)
    world.first.switchPath(dialled, to: Self.address(99, port: 99))
    _ = world.run(for: .milliseconds(10))
    world.first.close(dialled, code: 1)
    _ = world.run(for: .seconds(60))
    #expect(world.firstHandler.switches.isEmpty && world.first.statistics.peers == 0)
  }

  /// Of two in a row the later one is told of.
  @Test func oneSwitchReplacesAnother() throws {
    var world = try Self.relayed()
    let (dialled, accepted) = try Self.peers(world)
    world.first.switchPath(dialled, to: Self.address(99, port: 99))
    _ = world.run(for: .milliseconds(5))
    world.first.switchPath(dialled, to: StreamWorld.secondAddress)
    _ = world.run(for: .seconds(5))
    #expect(world.firstHandler.switches == [true] && Self.places(world, dialled, accepted) == Self.direct)
    #expect(world.first.statistics.pathSwitchesSent == 2 && world.first.statistics.pathSwitchesFailed == 0)
  }
}

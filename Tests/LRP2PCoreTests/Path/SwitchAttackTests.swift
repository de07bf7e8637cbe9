// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// SWITCHes that are repeated by somebody else, and peers that send too many.
@Suite struct SwitchAttackTests {
  typealias StreamWorld = World<StreamHandler>

  private static let new = Address(ipv4: 0x0A00_0007, port: 7)
  private static let attacker = Address(ipv4: 0x0A00_0042, port: 666)

  private static func open(delay: Nanoseconds = .milliseconds(5)) throws -> StreamWorld {
    var link = Link()
    link.delay = delay
    var world = try LifecycleTests.openWorld(link: link)
    _ = world.run(for: .milliseconds(200))
    return world
  }

  private static func peers(_ world: borrowing StreamWorld) throws -> (dialled: Peer, accepted: Peer) {
    (try LifecycleTests.only(world.firstHandler), try LifecycleTests.only(world.secondHandler))
  }

  private static func segment(_ number: UInt64, padding: Int = 0) -> [UInt8] {
    [6, 64, 0, 7, 0, 0] + (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
      + [UInt8](repeating: 0, count: padding)
  }

  /// The attacker's copy comes first; what he is answered is lost.
  @Test func aCopyAheadOfTheOriginalOnlyDelays() throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.leaveFrom(Self.new)
    world.spoofer = Self.attacker
    world.first.switchPath(dialled)
    _ = world.run(for: .milliseconds(20))
    #expect(world.second.peers.flows[accepted.slot].path.candidate == Self.attacker)
    world.spoofer = nil
    #expect(world.run(for: .seconds(2)) { $0.firstHandler.switches == [true] })
    #expect(world.secondHandler.moves == [Self.new])
  }

  /// As long as he copies everything and forwards nothing, the peer stays where it is.
  @Test func whoOnlyCopiesMovesNobody() throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.leaveFrom(Self.new)
    world.spoofer = Self.attacker
    world.first.switchPath(dialled)
    #expect(world.run(for: .seconds(10)) { $0.firstHandler.switches == [false] })
    #expect(world.secondHandler.moves.isEmpty)
    #expect(world.second.statistics(of: accepted)?.address == StreamWorld.firstAddress)
  }

  /// He forwards question and answer, so he is a path; the true peer's repeated SWITCH ends that.
  @Test func whoForwardsIsAPathUntilTheSwitchIsRepeated() throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.leaveFrom(Self.new)
    world.spoofer = Self.attacker
    world.spooferForwards = true
    world.first.switchPath(dialled)
    #expect(world.run(for: .milliseconds(100)) { !$0.secondHandler.moves.isEmpty })
    #expect(world.secondHandler.moves == [Self.attacker])
    // The RESPONSE to the SWITCH gets lost there.
    world.spoofer = nil
    world.spooferForwards = false
    #expect(world.run(for: .seconds(3)) { $0.firstHandler.switches == [true] })
    #expect(world.secondHandler.moves == [Self.attacker, Self.new])
    #expect(world.second.statistics(of: accepted)?.address == Self.new)
  }

  @Test func oneThatAnotherHasOvertakenDoesNothing() throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    // The number before is spent on the SWITCH, and a later one arrives first, from where the peer is.
    let slot = dialled.slot
    let key = world.first.peers.keys[PeerTable.sealingRow(slot)]
    let number = world.first.peers.rows[slot].sendPacketNumber
    let id = world.first.peers.rows[slot].remoteID
    world.first.peers.rows[slot].sendPacketNumber += 1
    world.injectSealed(Self.segment(2), fromFirst: true, peer: dialled)
    let late = StreamWorld.sealed(Self.segment(1), id: id, packetNumber: number, key: key)
    world.inject(late, from: Self.attacker)
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.pathSwitchesIgnored == 1 && world.second.statistics.pathValidations == 0)
    #expect(world.second.statistics(of: accepted)?.address == StreamWorld.firstAddress)
    // Nor once more.
    world.inject(late, from: Self.attacker)
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.replays == 1 && world.second.statistics.isBalanced)
  }

  @Test func oneThatIsTooShortIsCounted() throws {
    var world = try Self.open()
    let (dialled, _) = try Self.peers(world)
    world.injectSealed(Array(Self.segment(1).dropLast()), fromFirst: true, peer: dialled)
    _ = world.run(for: .milliseconds(100))
    #expect(world.second.statistics.malformed == 1 && world.second.statistics.pathSwitchesReceived == 0)
    // It is acknowledged all the same, as every datagram in order is.
    #expect(world.second.peers.flows[world.secondHandler.peers.keys.first!.slot].ack.hasLargest)
  }

  /// From one address and from very many, short ones and long ones: never more goes there than three times what came.
  @Test(arguments: [0, 1154], [1, 5000]) func aFloodCostsLittle(padding: Int, addresses: UInt32) throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.back.isDown = true
    world.network.checksAmplification = true
    let sent = world.second.statistics.datagramsSent
    let begun = world.now
    for number in 0..<5000 as Range<UInt64> {
      let address = Address(ipv4: 0x0C00_0000 + UInt32(number) % addresses, port: 9)
      world.injectSealed(Self.segment(number, padding: padding), fromFirst: true, peer: dialled, from: address)
      if number % 5 == 0 { _ = world.run(for: .milliseconds(1)) }
    }
    _ = world.run(for: .seconds(5))
    #expect(world.network.amplifications == 0)
    let statistics = world.second.statistics
    // Each probe timeout, of 25 ms at least, one validation begins at most.
    #expect(statistics.pathValidations <= (world.now - begun) / .milliseconds(25))
    #expect(statistics.pathSwitchesReceived + statistics.pathSwitchesIgnored == 5000)
    #expect(statistics.datagramsSent - sent < 1500, "beside ACKs \(statistics.datagramsSent - sent)")
    #expect(world.secondHandler.moves.isEmpty)
    #expect(world.second.statistics(of: accepted)?.address == StreamWorld.firstAddress)
    #expect(statistics.isBalanced)
  }

  /// A peer that answers at each address that it names is moved once a probe timeout at most.
  @Test func movesAreSpaced() throws {
    var world = try Self.open(delay: .milliseconds(1))
    let dialled = try Self.peers(world).dialled
    let begun = world.now
    for number in 0..<400 as Range<UInt64> {
      world.leaveFrom(Address(ipv4: 0x0C00_0000 + UInt32(number), port: 9))
      world.injectSealed(
        Self.segment(number), fromFirst: true, peer: dialled, from: world.presentAddress)
      _ = world.run(for: .milliseconds(5))
    }
    #expect(world.secondHandler.moves.count > 5)
    #expect(UInt64(world.secondHandler.moves.count) <= (world.now - begun) / .milliseconds(25))
  }
}

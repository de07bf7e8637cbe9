// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What follows right behind a SWITCH that was answered: what is late on the path that was left, and moves that are none of it.
@Suite struct SwitchPauseTests {
  typealias StreamWorld = World<StreamHandler>

  private static let new = Address(ipv4: 0x0A00_0007, port: 7)
  private static let attacker = Address(ipv4: 0x0A00_0042, port: 666)

  private static func open(
    delay: Nanoseconds, configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var link = Link()
    link.delay = delay
    var world = try LifecycleTests.openWorld(link: link, configure: configure)
    _ = world.run(for: .milliseconds(100) + 2 * delay)
    world.firstHandler.bytesToSend = 0
    world.secondHandler.bytesToSend = 0
    return world
  }

  private static func peers(_ world: borrowing StreamWorld) throws -> (dialled: Peer, accepted: Peer) {
    (try LifecycleTests.only(world.firstHandler), try LifecycleTests.only(world.secondHandler))
  }

  private static func leave(_ world: inout StreamWorld, from address: Address, _ dialled: Peer) {
    let count = world.firstHandler.switches.count
    world.leaveFrom(address)
    world.first.switchPath(dialled)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.switches.count == count + 1 })
    #expect(world.firstHandler.switches.last == true)
  }

  /// Both offer something, and have it within a few round trips and probe timeouts.
  private static func exchange(
    _ world: inout StreamWorld, _ dialled: Peer, _ accepted: Peer, delay: Nanoseconds
  ) -> Bool {
    world.first.offer(dialled, upTo: 3000)
    world.second.offer(accepted, upTo: 3000)
    return world.run(for: .milliseconds(500) + 10 * delay) {
      $0.firstHandler.peers[dialled]?.received == 3000 && $0.secondHandler.peers[accepted]?.received == 3000
    }
  }

  private static func ping(_ world: inout StreamWorld, _ dialled: Peer, from address: Address) {
    world.injectSealed(RawSegment.control(Control.ping), fromFirst: true, peer: dialled, from: address)
    _ = world.run(for: .microseconds(1))
  }

  /// On a long path, too, where a pause of eight probe timeouts is one of many seconds.
  @Test(arguments: [5, 100, 300]) func aNATThatChangesRightBehindItIsFollowed(milliseconds: UInt64) throws {
    let delay: Nanoseconds = .milliseconds(milliseconds)
    var world = try Self.open(delay: delay) { $0.idleTimeout = .seconds(8) }
    let (dialled, accepted) = try Self.peers(world)
    Self.leave(&world, from: Self.new, dialled)
    var changed = Self.new
    changed.port = 8
    world.presentAddress = changed
    world.network.relays = [:]
    let isExchanged = Self.exchange(&world, dialled, accepted, delay: delay)
    #expect(isExchanged && world.secondHandler.moves == [Self.new, changed])
    _ = world.run(for: .seconds(20))
    #expect(world.firstHandler.closedCount == 0 && world.secondHandler.closedCount == 0)
  }

  /// He has been a path, as he was faster than the true one, and forwards nothing any more.
  @Test(arguments: [5, 100, 300]) func whoHasBecomeThePathIsLeftWhenItStops(milliseconds: UInt64) throws {
    let delay: Nanoseconds = .milliseconds(milliseconds)
    var world = try Self.open(delay: delay) { $0.idleTimeout = .seconds(8) }
    let (dialled, accepted) = try Self.peers(world)
    world.spoofer = Self.attacker
    world.spooferForwards = true
    Self.leave(&world, from: Self.new, dialled)
    #expect(world.second.statistics(of: accepted)?.address == Self.attacker)
    world.spoofer = nil
    world.spooferForwards = false
    let isExchanged = Self.exchange(&world, dialled, accepted, delay: delay)
    #expect(isExchanged && world.second.statistics(of: accepted)?.address == Self.new)
  }

  /// The pause is for the address that was left, and ends.
  @Test func whatIsLateFromTheAddressThatWasLeftBeginsNothing() throws {
    var world = try Self.open(delay: .milliseconds(5)) { $0.restAfter = 0 }
    let dialled = try Self.peers(world).dialled
    Self.leave(&world, from: Self.new, dialled)
    let before = world.second.statistics.pathValidations
    for _ in 0..<5 {
      Self.ping(&world, dialled, from: StreamWorld.firstAddress)
      _ = world.run(for: .milliseconds(100))
    }
    #expect(world.second.statistics.pathValidations == before && world.second.statistics.pathValidationsPutOff == 5)
    _ = world.run(for: .seconds(1))
    Self.ping(&world, dialled, from: StreamWorld.firstAddress)
    #expect(world.second.statistics.pathValidations == before + 1)
    _ = world.run(for: .seconds(3))
    #expect(world.secondHandler.moves == [Self.new])
  }

  /// Late ones may come from either.
  @Test func ofTwoAddressesThatWereLeftBothPause() throws {
    var world = try Self.open(delay: .milliseconds(5))
    let dialled = try Self.peers(world).dialled
    let newer = Address(ipv4: 0x0A00_0009, port: 9)
    Self.leave(&world, from: Self.new, dialled)
    _ = world.run(for: .milliseconds(200))
    Self.leave(&world, from: newer, dialled)
    let before = world.second.statistics.pathValidations
    Self.ping(&world, dialled, from: StreamWorld.firstAddress)
    Self.ping(&world, dialled, from: Self.new)
    #expect(world.second.statistics.pathValidations == before && world.secondHandler.moves == [Self.new, newer])
  }

  /// A connection at rest does not know which it was.
  @Test func aRestKeepsThePause() throws {
    var world = try Self.open(delay: .milliseconds(5)) {
      $0.restAfter = .milliseconds(50)
      $0.flowsAtLeisure = 0
    }
    let (dialled, accepted) = try Self.peers(world)
    Self.leave(&world, from: Self.new, dialled)
    _ = world.run(for: .milliseconds(300))
    let rests = !world.second.peers.flows.contains(accepted.slot)
    #expect(rests)
    let before = world.second.statistics.pathValidations
    Self.ping(&world, dialled, from: StreamWorld.firstAddress)
    #expect(world.second.statistics.pathValidations == before)
  }

  /// Message 3 and a SWITCH leave together from another address than message 1 did, in either order.
  @Test(arguments: [false, true]) func theDiallerLeavesBetweenItsMessages(overtakes: Bool) throws {
    var world = LifecycleTests.world(sends: nil)
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { !$0.firstHandler.peers.isEmpty })
    world.leaveFrom(Self.new)
    if overtakes {
      world.injectSealed(
        RawSegment.control(Control.switchPath, [UInt8](repeating: 1, count: 8)), fromFirst: true, peer: dialled,
        from: Self.new)
    }
    #expect(world.first.switchPath(dialled) == .done)
    #expect(world.run(for: .seconds(3)) { $0.firstHandler.switches == [true] })
    let accepted = try LifecycleTests.only(world.secondHandler)
    #expect(world.second.statistics(of: accepted)?.address == Self.new && world.secondHandler.moves == [Self.new])
    let isExchanged = Self.exchange(&world, dialled, accepted, delay: .milliseconds(5))
    #expect(isExchanged && world.second.statistics.isBalanced)
  }

  /// Somebody repeats a datagram meanwhile: where the peer is by now is asked, as ever.
  @Test(arguments: [false, true]) func aSpoofedChangeRightBehindItDoesNotTakeOver(forwards: Bool) throws {
    var world = try Self.open(delay: .milliseconds(5))
    let (dialled, accepted) = try Self.peers(world)
    Self.leave(&world, from: Self.new, dialled)
    world.spoofer = Self.attacker
    world.spooferForwards = forwards
    let isExchanged = Self.exchange(&world, dialled, accepted, delay: .milliseconds(5))
    _ = world.run(for: .seconds(5))
    #expect(isExchanged && world.secondHandler.moves == [Self.new])
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Every command is answered by a value, whatever has become of its connection.
@Suite struct CommandTests {
  typealias StreamWorld = World<StreamHandler>

  private func expectEnded(_ engine: inout Engine, _ peer: Peer, location: SourceLocation = #_sourceLocation) {
    let results = [
      engine.offer(peer, upTo: 1), engine.offer(peer, upTo: .max), engine.finish(peer), engine.flush(peer),
      engine.close(peer, code: 1, reason: "again"), engine.pause(peer), engine.resume(peer),
      engine.ping(peer, token: 1),
      engine.setCongestionControl(.cubic, for: peer),
      engine.useRememberedPath(RememberedPath(roundTrip: .max, bytesPerSecond: .max), for: peer),
    ]
    #expect(results.allSatisfy { $0 == .ended }, "\(results)", sourceLocation: location)
  }

  @Test func nothingComesBehindTheEnd() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.secondHandler.bytesToSend = 0
    #expect(world.first.offer(dialled, upTo: 1000) == .done && world.first.finish(dialled) == .done)
    #expect(world.first.offer(dialled, upTo: 1001) == .finished && world.first.offer(dialled, upTo: 1000) == .done)
    #expect(world.first.offer(dialled, upTo: .max) == .finished && world.first.finish(dialled) == .finished)
    _ = world.run(for: .seconds(2))
    #expect(world.first.offer(dialled, upTo: 2000) == .finished)
    #expect(world.secondHandler.peers.values.first?.received == 1000)
    #expect(world.secondHandler.peers.values.first?.isFinished == true && world.secondHandler.violations == 0)
  }

  @Test func closedBeforeCloseHasLeft() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    #expect(world.first.close(dialled, code: 3) == .done)
    expectEnded(&world.first, dialled)
    _ = world.run(for: .seconds(1))
    expectEnded(&world.first, dialled)
    #expect(world.firstHandler.peers[dialled]?.closed == .local(code: 3) && world.firstHandler.closedCount == 1)
    _ = world.run(for: .seconds(60))
    expectEnded(&world.first, dialled)
    expectEnded(&world.second, Peer(connectionID: 0))
    expectEnded(&world.second, Peer(connectionID: .max))
  }

  @Test func whatCannotBeAskedIsRefused() throws {
    var world = LifecycleTests.world(sends: nil) { $0.acceptsOriginal = true }
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, versions: .original)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.peers[dialled] != nil })
    #expect(world.first.ping(dialled, token: 0) == .refused)
    #expect(world.first.flush(dialled) == .refused && world.first.setCongestionControl(.bbr, for: dialled) == .refused)
    #expect(world.first.offer(dialled, upTo: 3000) == .done)
    _ = world.run(for: .seconds(1))
    #expect(world.first.useRememberedPath(RememberedPath(roundTrip: 1, bytesPerSecond: 1), for: dialled) == .refused)
  }

  /// Values that nobody has measured.
  @Test(arguments: [0, 1, 1 << 32, .max / 2, .max] as [UInt64], [0, 1, 1 << 40, .max / 2, .max] as [UInt64])
  func aPathMayBeAnything(roundTrip: UInt64, bytesPerSecond: UInt64) throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    #expect(
      world.first.useRememberedPath(RememberedPath(roundTrip: roundTrip, bytesPerSecond: bytesPerSecond), for: dialled)
        == .done)
    world.first.offer(dialled, upTo: 100_000)
    #expect(world.run(for: .seconds(60)) { $0.firstHandler.peers[dialled]?.acknowledged == 100_000 })
  }

  @Test func aStreamMayBeOfferedWhole() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    #expect(world.first.offer(dialled, upTo: .max) == .done && world.first.flush(dialled) == .done)
    _ = world.run(for: .milliseconds(100))
    #expect(world.firstHandler.peers[dialled]?.acknowledged ?? 0 > 0 && world.firstHandler.closedCount == 0)
  }
}

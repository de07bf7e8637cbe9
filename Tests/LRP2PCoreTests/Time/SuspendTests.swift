// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Connections over planned outages.
@Suite struct SuspendTests {
  private static func world() throws -> World<StreamHandler> {
    var link = Link()
    link.rate = 20_000_000
    link.delay = .milliseconds(20)
    return try LifecycleTests.openWorld(link: link) { $0.idleTimeout = .seconds(5) }
  }

  /// Ten minutes without a network, of which both ends know, cost a transfer what was on its way.
  @Test func aPlannedOutageIsNoFault() throws {
    var world = try Self.world()
    let peer = try LifecycleTests.only(world.firstHandler)
    world.secondHandler.bytesToSend = 0
    world.first.offer(peer, upTo: 10_000_000)
    _ = world.run(for: .seconds(2))
    let before = world.first.statistics(of: peer)
    let probes = world.first.statistics.probeTimeouts
    for isFirst in [true, false] {
      let now = isFirst ? world.first.now : world.second.now
      let result =
        isFirst ? world.first.suspend(until: now + .seconds(600)) : world.second.suspend(until: now + .seconds(600))
      #expect(result == .done)
    }
    (world.forth.isDown, world.back.isDown) = (true, true)
    let carried = world.carried
    _ = world.run(for: .seconds(590))
    #expect(world.first.isSuspended && !world.first.hasReadyPeers && world.carried == carried)
    (world.forth.isDown, world.back.isDown) = (false, false)
    _ = world.run(for: .seconds(11))
    #expect(world.firstHandler.closedCount == 0 && world.secondHandler.closedCount == 0 && !world.first.isSuspended)
    let after = world.first.statistics(of: peer)
    #expect(after?.minimumRTT == before?.minimumRTT && after?.smoothedRTT ?? .max < .milliseconds(200))
    #expect(world.first.statistics.probeTimeouts - probes <= 2)
    #expect(world.run(for: .seconds(4)) { $0.firstHandler.peers[peer]?.acknowledged == 10_000_000 })
  }

  @Test func timersOfTheUserWait() throws {
    var world = try Self.world()
    let now = world.first.now
    world.first.setTimer(at: now + .seconds(1), token: 7)
    world.first.suspend(until: now + .seconds(30))
    _ = world.run(for: .seconds(30))
    #expect(world.firstHandler.timersFired.isEmpty)
    _ = world.run(for: .milliseconds(1001))
    #expect(world.firstHandler.timersFired == [7])
  }

  @Test func whatIsTooFarIsRefusedAndWhatHasPassedEnds() throws {
    var world = try Self.world()
    let now = world.first.now
    var results = [world.first.suspend(until: .never), world.first.suspend(until: now)]
    #expect(results == [.refused, .done] && !world.first.isSuspended)
    results = [world.first.suspend(until: now + .seconds(60)), world.first.suspend(until: 0)]
    #expect(results == [.done, .done])
    _ = world.run(for: .milliseconds(1))
    #expect(!world.first.isSuspended && world.first.now - now <= .milliseconds(1))
  }
}

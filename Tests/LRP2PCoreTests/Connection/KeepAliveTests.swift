// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Both sides agree on the shorter idle timeout; whoever keeps the connection alive goes by that.
@Suite struct KeepAliveTests {
  typealias StreamWorld = World<StreamHandler>

  /// The first host keeps alive, and offers the default idle timeout; the second offers six seconds and says nothing of itself.
  private static func world(restAfter: Nanoseconds, loss: Double = 0) throws -> StreamWorld {
    var first = EngineConfiguration()
    first.restAfter = restAfter
    var second = first
    second.idleTimeout = .seconds(6)
    second.keepAlive = 0
    var link = Link()
    link.delay = .milliseconds(20)
    link.loss = loss
    var world = StreamWorld(
      seed: 1, configuration: first, second: second, link: link, firstHandler: StreamHandler(bytesToSend: nil),
      secondHandler: StreamHandler(bytesToSend: nil))
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    let isOpen = world.run(for: .seconds(20)) { !$0.secondHandler.peers.isEmpty && !$0.firstHandler.peers.isEmpty }
    #expect(isOpen)
    return world
  }

  @Test(arguments: [0, .seconds(1)] as [Nanoseconds]) func itFollowsTheAgreedIdleTimeout(restAfter: Nanoseconds) throws
  {
    var world = try Self.world(restAfter: restAfter)
    let before = world.carried
    _ = world.run(for: .seconds(600))
    #expect(world.firstHandler.closedCount == 0 && world.secondHandler.closedCount == 0)
    // A PING and its ACK, half an idle timeout after the last.
    #expect(world.carried - before < 500)
  }

  /// The path carries nothing for a second and a half whenever a PING leaves: it is sent again in time.
  @Test(arguments: [0, .seconds(1)] as [Nanoseconds]) func aLostPingDoesNotEndIt(restAfter: Nanoseconds) throws {
    var world = try Self.world(restAfter: restAfter)
    _ = world.run(for: .seconds(1))
    var lost = 0
    for _ in 0..<50 {
      let sent = world.first.statistics.datagramsSent
      world.forth.isDown = true
      guard world.run(for: .seconds(10), until: { $0.first.statistics.datagramsSent > sent }) else { break }
      lost += 1
      _ = world.run(for: .milliseconds(1500))
      world.forth.isDown = false
      let reached = world.second.statistics.datagramsReceived
      _ = world.run(for: .seconds(5)) { $0.second.statistics.datagramsReceived > reached }
    }
    #expect(lost == 50)
    #expect(world.firstHandler.closedCount == 0 && world.secondHandler.closedCount == 0)
  }

  @Test func zeroIsNever() throws {
    var configuration = EngineConfiguration()
    configuration.keepAlive = 0
    configuration.idleTimeout = .seconds(6)
    let flow = Flow(configuration: configuration, seed: 1, now: 0)
    let header = ConnectionHeader(configuration: configuration, now: 0)
    let never = flow.keepAliveDeadline(header, 0)
    let half = flow.keepAliveDeadline(header, .seconds(20))
    #expect(never == .never && half == .seconds(3))
  }
}

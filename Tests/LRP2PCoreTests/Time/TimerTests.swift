// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Timers of the user, as the engine calls them.
@Suite struct TimerTests {
  @Test func timersFireInOrderAndOnce() throws {
    var world = LifecycleTests.world()
    let now = world.now
    for token: UInt64 in [3, 1, 2] { world.first.setTimer(at: now + .milliseconds(token), token: token) }
    _ = world.run(for: .seconds(1))
    #expect(world.firstHandler.timersFired == [1, 2, 3])
  }

  @Test func cancelledTimersDoNotFire() throws {
    var world = LifecycleTests.world()
    let now = world.now
    let timers = (1...5 as ClosedRange<UInt64>).map { world.first.setTimer(at: now + .milliseconds($0), token: $0) }
    #expect(world.first.cancelTimer(timers[1]) == .done && world.first.cancelTimer(timers[4]) == .done)
    #expect(world.first.cancelTimer(timers[1]) == .ended)
    _ = world.run(for: .seconds(1))
    #expect(world.firstHandler.timersFired == [1, 3, 4])
    // Its row may be another's by now.
    world.first.setTimer(at: world.now, token: 6)
    #expect(timers.allSatisfy { world.first.cancelTimer($0) == .ended })
    _ = world.run(for: .seconds(1))
    #expect(world.firstHandler.timersFired == [1, 3, 4, 6])
  }

  /// Sets a timer for now at each call.
  private struct Restless: ReceivingHandler {
    var fired = 0

    mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
    mutating func timerFired(token: UInt64, engine: inout Engine) {
      fired += 1
      if fired < 1000 { engine.setTimer(at: engine.now, token: token) }
    }
    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
  }

  @Test func aTimerThatACallbackSetsForNowIsForTheNextTurn() {
    var world = LifecycleTests.world()
    var handler = Restless()
    world.first.setTimer(at: world.now, token: 1)
    for turn in 1...3 {
      world.first.expire(now: world.now, handler: &handler)
      #expect(handler.fired == turn && world.first.nextDeadline <= world.now)
    }
  }
}

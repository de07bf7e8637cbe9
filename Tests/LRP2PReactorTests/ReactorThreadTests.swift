// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

/// A reactor on a thread of its own, and tasks that reach its handler.
@Suite struct ReactorThreadTests {
  /// Not Sendable, as most handlers.
  private struct Counting: ReceivingHandler {
    final class Box { var value = 0 }
    var count = 0
    var box = Box()

    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
    mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
  }

  @Test(arguments: availableBackends) func tasksReachTheHandler(backend: ReactorBackend) throws {
    let thread = try makeReactor(backend).start(Counting(), name: "counting")
    let counts = Mutex<[Int]>([])
    for _ in 0..<3 {
      thread.remote.submit { handler, _ in
        handler.count += 1
        counts.withLock { $0.append(handler.count) }
      }
    }
    thread.remote.submit { handler, engine in
      engine.setTimer(at: engine.now, token: 1)
      thread.stop()
    }
    try thread.wait()
    try thread.wait()
    #expect(counts.withLock { $0 } == [1, 2, 3])
    // It is gone, and with it whoever would run this.
    thread.remote.submit { _, _ in Issue.record("there is no handler") }
  }

  @Test(arguments: availableBackends) func aTurnReachesTheHandler(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = Counting()
    let remote = reactor.remote(to: Counting.self)
    remote.submit { handler, _ in handler.count += 5 }
    reactor.remote.submit { _ in remote.submit { handler, _ in handler.count *= 2 } }
    for _ in 0..<2 { try reactor.turn(&handler, timeout: nil) }
    #expect(handler.count == 10)
  }

  /// An error, and no end of the process: which handler runs may be decided in generic code.
  @Test(arguments: availableBackends) func aTaskForAnotherHandlerIsAnError(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = NullHandler()
    let runs = Atomic(0)
    reactor.remote(to: Counting.self).submit { _, _ in Issue.record("that is another handler") }
    reactor.remote.submit { _ in _ = runs.add(1, ordering: .relaxed) }
    #expect { try reactor.turn(&handler, timeout: nil) } throws: { ($0 as? SystemError)?.code == EINVAL }
    #expect(runs.load(ordering: .relaxed) == 1)
    try reactor.turn(&handler, timeout: 0)
  }

  @Test(arguments: availableBackends) func descriptorsWithoutAHandlerAreAnError(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = NullHandler()
    let descriptor = lrp2p_eventfd()
    defer { _ = lrp2p_close(descriptor) }
    try reactor.descriptorSet().register(descriptor, for: .readable)
    try reactor.turn(&handler, timeout: 0)
    _ = lrp2p_eventfd_signal(descriptor)
    #expect { try reactor.turn(&handler, timeout: nil) } throws: { ($0 as? SystemError)?.code == EINVAL }
    try reactor.descriptorSet().unregister(descriptor)
    try reactor.turn(&handler, timeout: 0)
  }

  /// A call of the remote that a turn has heard of and not come to is the next one's, which does not wait.
  @Test(arguments: availableBackends) func aCallIsNotForgottenByATurnThatThrows(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = NullHandler()
    let runs = Atomic(0)
    let descriptor = lrp2p_eventfd()
    defer { _ = lrp2p_close(descriptor) }
    try reactor.descriptorSet().register(descriptor, for: .readable)
    try reactor.turn(&handler, timeout: 0)
    _ = lrp2p_eventfd_signal(descriptor)
    reactor.remote.submit { _ in _ = runs.add(1, ordering: .relaxed) }
    #expect { try reactor.turn(&handler, timeout: nil) } throws: { ($0 as? SystemError)?.code == EINVAL }
    try reactor.descriptorSet().unregister(descriptor)
    #expect(reactor.nextTimeout == 0)
    try reactor.turn(&handler, timeout: nil)
    #expect(runs.load(ordering: .relaxed) == 1)
    #expect(reactor.nextTimeout != 0)
  }

  /// Who stops a loop that is about to end has meant that loop, and not the next one.
  @Test(arguments: availableBackends) func aSecondStopEndsNoOtherRun(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = Counting()
    let remote = reactor.remote(to: Counting.self)
    remote.submit { _, _ in
      remote.stop()
      // Runs in the turn that has heard of the stop.
      remote.submit { _, _ in remote.stop() }
    }
    try reactor.run(&handler)
    remote.submit { handler, _ in
      handler.count += 1
      remote.submit { handler, _ in
        handler.count += 1
        remote.stop()
      }
    }
    try reactor.run(&handler)
    #expect(handler.count == 2)
  }

  /// In `run` nobody signals during a turn, as the reactor looks before it waits: also for what is asked in its last turn.
  @Test(arguments: availableBackends) func nothingIsForgottenBetweenRunAndTurn(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = Counting()
    let remote = reactor.remote(to: Counting.self)
    remote.submit { handler, _ in
      handler.count += 1
      remote.submit { handler, _ in
        handler.count += 10
        remote.stop()
        remote.submit { handler, _ in handler.count += 100 }
      }
    }
    try reactor.run(&handler)
    #expect(handler.count >= 11)
    if handler.count == 11 { try reactor.turn(&handler, timeout: nil) }
    #expect(handler.count == 111)
    // Nothing is left over: the next turn waits.
    let before = reactor.engine.now
    try reactor.turn(&handler, timeout: .milliseconds(20))
    #expect(reactor.engine.now >= before)
    remote.wake()
    try reactor.turn(&handler, timeout: nil)
  }

  /// Calls of several threads while the reactor runs: each is served once, and none is lost.
  @Test(arguments: availableBackends) func allCallsOfAllThreadsAreServed(backend: ReactorBackend) throws {
    let thread = try makeReactor(backend).start(Counting())
    let callers = 4
    let each = 2000
    let left = Atomic(callers * each)
    for _ in 0..<callers {
      try Thread.start("caller") {
        for _ in 0..<each {
          thread.remote.submit { handler, _ in
            handler.count += 1
            if left.subtract(1, ordering: .relaxed).newValue == 0, handler.count == callers * each { thread.stop() }
          }
        }
      }
    }
    try thread.wait()
    #expect(left.load(ordering: .relaxed) == 0)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Messages beside a stream whose reader has stopped, and beside a handler that closes.
@Suite struct MessageEndTests {
  @Test(arguments: 1...3) func aReaderThatStopsDoesNotStopMessages(seed: UInt64) throws {
    var exchange = MessageExchange()
    exchange.plan.count = 2000
    exchange.plan.burst = 4
    exchange.plan.interval = .milliseconds(5)
    exchange.plan.streamBytes = 4_000_000
    exchange.pausesAt = 100_000
    exchange.pause = .seconds(20)
    exchange.configuration.receiveWindow = 1024
    let result = try exchange.play(seed: seed)
    #expect(result.faults.isEmpty, "\(result.faults)")
    // All had come long before the reader went on.
    #expect(max(result.first.longestAge, result.second.longestAge) < .seconds(2))
  }

  /// Sends messages in an ordered lane and another, and closes in the callback of one.
  private struct Talker: Handler {
    var messages = 0
    var closesAt = Int.max
    var taken = 0
    var callsAfterClose = 0
    var reason: CloseReason?

    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
      for index in 0..<messages {
        let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 30)
        engine.send(peer, bytes, MessageOptions(lane: Lane(integerLiteral: UInt8(index % 2))))
      }
    }
    mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine) {
      taken += 1
      if taken > closesAt { callsAfterClose += 1 }
      if taken == closesAt { engine.close(peer, code: 3) }
    }
    mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
    mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {}
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { self.reason = reason }
  }

  @Test(arguments: 1...40) func whoClosesInAMessageGivesAllBack(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.2
    link.jitter = .milliseconds(10)
    var (first, second) = (Talker(), Talker())
    first.messages = 600
    second.closesAt = 9 * Int(seed)
    var world = World(
      seed: seed, configuration: EngineConfiguration(), link: link, firstHandler: first, secondHandler: second)
    _ = try world.first.connect(to: World<Talker>.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(60)) { $0.secondHandler.reason != nil })
    _ = world.run(for: .seconds(60))
    #expect(world.secondHandler.reason == .local(code: 3) && world.secondHandler.callsAfterClose == 0)
    #expect(world.second.statistics.poolBytesInUse == 0)
    let left = world.second.tables.filter { $0.inUse != 0 }.map { "\($0.name)" }
    #expect(!left.contains("lanes") && !left.contains("early messages") && !left.contains("messages in part"))
  }
}

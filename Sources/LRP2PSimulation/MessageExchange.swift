// SPDX-License-Identifier: MIT
import LRP2PCore

/// Two hosts that send each other messages, and a stream beside them, until both are done; then all is counted.
package struct MessageExchange {
  package var plan = MessageHandler.Plan()
  package var lanes = Self.fourLanes
  package var link = Link()
  package var configuration = EngineConfiguration()
  package var limit: Nanoseconds = .seconds(600)
  /// The path carries no datagrams longer than this from then on.
  package var shrinksAt: Nanoseconds?
  package var shrinksTo = 1200
  /// Readers of the stream stop after so many bytes, for a while.
  package var pausesAt: UInt64 = .max
  package var pause: Nanoseconds = .seconds(2)

  package init() {}

  package static var fourLanes: [LaneConfiguration] {
    [
      LaneConfiguration(), LaneConfiguration(isOrdered: false), LaneConfiguration(priority: 1, weight: 3),
      LaneConfiguration(isOrdered: false, priority: 5),
    ]
  }

  /// What became of it.
  package struct Result {
    package var faults: [String] = []
    package var first: MessageHandler
    package var second: MessageHandler
    package var statistics: EngineStatistics
    package var seconds = 0.0
    package var traceHash: UInt64 = 0
  }

  package func play(seed: UInt64) throws -> Result {
    var configuration = configuration
    configuration.lanes = lanes
    var world = World<MessageHandler>(
      seed: seed, configuration: configuration, link: link,
      firstHandler: MessageHandler(plan: plan, lanes: lanes, seed: seed),
      secondHandler: MessageHandler(plan: plan, lanes: lanes, seed: seed &+ 1000))
    world.firstHandler.pausesAt = pausesAt
    world.secondHandler.pausesAt = pausesAt
    world.firstHandler.longestPath = longestPath
    world.secondHandler.longestPath = longestPath
    world.firstHandler.pause = pause
    world.secondHandler.pause = pause
    _ = try world.first.connect(to: World<MessageHandler>.secondAddress, expecting: .anyone)
    let start = world.now
    if let shrinksAt {
      _ = world.run(for: shrinksAt)
      world.forth.largestDatagram = shrinksTo
      world.back.largestDatagram = shrinksTo
    }
    let isDone = world.run(for: limit) {
      !$0.firstHandler.peers.isEmpty && !$0.secondHandler.peers.isEmpty
        && $0.firstHandler.peers.values.allSatisfy { $0.closed != nil }
        && $0.secondHandler.peers.values.allSatisfy { $0.closed != nil }
    }
    var result = Result(
      first: world.firstHandler, second: world.secondHandler, statistics: world.first.statistics)
    result.seconds = Double(world.now - start) / 1e9
    if !isDone { result.faults.append("not done: \(Self.state(&world.first)) / \(Self.state(&world.second))") }
    for (sender, receiver) in [(result.first, result.second), (result.second, result.first)] {
      if sender.mismatches > 0 { result.faults.append("\(sender.mismatches) bytes are wrong") }
      result.faults += sender.violations.prefix(3)
      guard let sent = sender.peers.values.first, let received = receiver.peers.values.first else { continue }
      if sent.closed != .finished { result.faults.append("closed: \(sent.closed.map { "\($0)" } ?? "never")") }
      result.faults += MessageHandler.judge(sent, received).prefix(3)
      if received.streamReceived != plan.streamBytes {
        result.faults.append("\(received.streamReceived) bytes of the stream")
      }
    }
    _ = world.run(for: .seconds(300))
    for table in world.first.tables + world.second.tables where table.inUse != 0 {
      result.faults.append("\(table.inUse) \(table.name) in use")
    }
    if world.first.statistics.poolBytesInUse + world.second.statistics.poolBytesInUse > 0 {
      result.faults.append("the receive pool is charged")
    }
    if world.first.messageBytesInUse + world.second.messageBytesInUse > 0 { result.faults.append("messages are left") }
    if world.network.amplifications > 0 { result.faults.append("amplification") }
    result.traceHash = world.network.traceHash
    return result
  }

  /// How long a datagram may take, in the queue and on its way.
  private var longestPath: Nanoseconds {
    let queue = link.rate == 0 ? 0 : Double(link.buffer + 20_000) * 8 / Double(link.rate)
    return link.delay + link.jitter + link.copyDelay + Nanoseconds(queue * 1e9) + .milliseconds(1)
  }

  private static func state(_ engine: inout Engine) -> String {
    var text = "\(engine.statistics.poolBytesInUse) bytes of the pool, \(engine.statistics.poolExhausted) refused"
    for peer in engine.connectedPeers() {
      guard let of = engine.statistics(of: peer) else { continue }
      text +=
        ", \(of.limitedBy), \(of.packetsInFlight) in flight, \(of.bytesWaiting) wait, window \(of.sendWindowPackets), "
        + "unread \(of.packetsUnread), \(of.gaps) gaps, behind \(of.packetsBehindGaps), messages \(engine.messageBytes(of: peer))"
    }
    return text
  }

  /// A world that is drawn from the seed.
  package init(drawnFrom seed: UInt64) {
    var random = SeededRandom(seed: seed ^ 0x3E55_A6E5)
    link.delay = random.below(.milliseconds(random.happens(0.3) ? 150 : 20))
    link.rate = random.happens(0.3) ? 0 : 1_000_000 << random.below(9)
    link.buffer = 20_000 << Int(random.below(6))
    if random.happens(0.6) { link.loss = Double(random.below(100)) / 1000 }
    if random.happens(0.3) { link.burstBegins = Double(random.below(5)) / 1000 }
    if random.happens(0.5) { link.jitter = random.below(.milliseconds(20)) }
    if random.happens(0.3) { link.duplication = 0.02 }
    if random.happens(0.2) { link.corruption = 0.01 }
    lanes = []
    for _ in 0..<1 + random.below(16) {
      var lane = LaneConfiguration(
        isOrdered: random.happens(0.5), priority: Int(random.below(8)), weight: 1 + Int(random.below(10)),
        maximumBytes: 1024 << Int(random.below(12)))
      let policy = random.below(6)
      lane.whenFull = policy == 0 ? .dropOldest : policy == 1 && !lane.isOrdered ? .keepLatest : .refuse
      lanes.append(lane)
    }
    plan.lanes = lanes.count
    plan.count = 100 + Int(random.below(1500))
    plan.burst = 1 + Int(random.below(30))
    plan.interval = random.below(.milliseconds(20))
    plan.longest = 500 << Int(random.below(9))
    plan.long = Int(random.below(random.happens(0.3) ? 100 : 10))
    plan.unreliable = Int(random.below(random.happens(0.5) ? 1 : 100))
    plan.dated = Int(random.below(random.happens(0.5) ? 1 : 100))
    plan.patience = random.below(.milliseconds(300))
    plan.streamBytes = random.happens(0.3) ? 0 : random.below(2_000_000)
    configuration.initialSequence = random.happens(0.4) ? UInt32.max - UInt32(random.below(3000)) : 0
    configuration.receivePoolBytes = random.happens(0.3) ? 1 << (16 + Int(random.below(6))) : 64 << 20
    configuration.receiveWindow = random.happens(0.3) ? 4 + Int(random.below(500)) : 0xFF_FFFF
    configuration.flowsAtLeisure = random.happens(0.5) ? 0 : 1024
    configuration.restAfter = .milliseconds(1) + random.below(.seconds(2))
    configuration.maximumDatagram = random.happens(0.3) ? 1200 + Int(random.below(8000)) : 1400
    configuration.streamPriority = Int(random.below(8))
    configuration.messagePeerBytes = 1 << (17 + Int(random.below(8)))
    configuration.messagePoolBytes = 1 << (18 + Int(random.below(8)))
    configuration.ackRatio = [1, 2, 16, 64, 256][Int(random.below(5))]
    configuration.congestion = random.happens(0.7) ? .bbr : .cubic
    configuration.idleTimeout = .seconds(120)
    // Longer messages than there is room for are no fault of anybody's.
    let room = min(
      configuration.receivePoolBytes / 4, configuration.messagePoolBytes / 2, configuration.messagePeerBytes)
    plan.longest = min(plan.longest, room, lanes.map(\.maximumBytes).min()!)
    if random.happens(0.2) {
      shrinksAt = random.below(.seconds(2))
      link.largestDatagram = 1500
    }
    if random.happens(0.3), plan.streamBytes > 0 {
      pausesAt = random.below(plan.streamBytes)
      pause = random.below(.seconds(10))
    }
    if random.happens(0.3) {
      configuration.initialMessageNumber = MessageFrame.numberMask - UInt32(random.below(500))
    }
    limit = .seconds(3000)
  }
}

// SPDX-License-Identifier: MIT
import CAllocationCount
import CBenchSystem
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Everyone who connects is in the next group that has room.
struct PublishSink: ReceivingHandler {
  private(set) var line = ControlLine()
  let groups: [PeerGroup]
  let members: Int
  private var joined = 0
  private(set) var closed = 0
  private(set) var lastReason: CloseReason?

  init(_ groups: [PeerGroup], of members: Int) {
    self.groups = groups
    self.members = members
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    line.connected(peer)
    guard peer != line.peer, joined < groups.count * members else { return }
    engine.join(peer, groups[joined / members])
    joined += 1
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    _ = line.received(peer, bytes.byteCount)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if line.closed(peer) { return }
    closed += 1
    lastReason = reason
  }
}

/// The process whose cost is measured.
enum Publisher {
  private static var warmUp: Int { 3 }
  /// What one subscriber may be behind.
  private static var bound: Int { 64 << 10 }
  /// Members of a group, and messages that are under way, at most: as many as the socket of the other end has room for. (There one stands for
  /// all subscribers.)
  static var members: Int { 2000 }
  private static var atOnce: Int { 2000 }

  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    var reactor = try Reactor(
      configuration: job.publisherConfiguration(), identity: Identity(), bind: address, accepting: .anyone)
    var sink = PublishSink(groups(job, &reactor.engine), of: members)
    announce(reactor.localAddress)
    while sink.line.signals == 0 { try turn(&reactor, &sink) }
    var bytes = [UInt8](repeating: 0, count: job.messageBytes)
    var target = reactor.engine.statistics.messagesAcknowledged
    var before = Measurement()
    var end: Instant = .never
    var round = 0
    var most = 0
    while currentInstant() < end || round < warmUp {
      if round == warmUp {
        before = counters(reactor)
        end = currentInstant() &+ job.length
      }
      fill(&bytes, UInt64(round))
      try publish(bytes, job, &target, &reactor, &sink)
      round += 1
      most = max(most, reactor.engine.messageBytesInUse)
      let patience = currentInstant() &+ .seconds(20)
      while reactor.engine.statistics.messagesAcknowledged < target {
        try turn(&reactor, &sink)
        if currentInstant() > patience {
          throw Failure("\(target - reactor.engine.statistics.messagesAcknowledged) messages are not acknowledged")
        }
      }
    }
    var result = counters(reactor).difference(since: before)
    result[.rounds] = UInt64(round - warmUp)
    result[.deliveries] = UInt64((round - warmUp) * job.active)
    result[.residentBytes] = ResourceUsage.residentNow()
    result[.messageBytes] = UInt64(most)
    if let peer = sink.line.peer { reactor.engine.close(peer, code: 0) }
    let farewell = currentInstant() &+ .seconds(1)
    while !sink.line.isClosed, currentInstant() < farewell { try turn(&reactor, &sink) }
    return result
  }

  /// Groups for all subscribers.
  static func groups(_ job: Job, _ engine: inout Engine) -> [PeerGroup] {
    (0..<(job.peers + members - 1) / members).map { _ in
      engine.makeGroup(lane: 0, policy: .dropOldest, maximumBytes: bound)
    }
  }

  /// One message to all groups.
  private static func publish(
    _ bytes: [UInt8], _ job: Job, _ target: inout UInt64, _ reactor: inout Reactor, _ sink: inout PublishSink
  ) throws {
    guard let message = unsafe reactor.engine.store(bytes.span.bytes) else {
      throw Failure("there is no room for a message")
    }
    for (index, group) in sink.groups.enumerated() {
      while reactor.engine.statistics.messagesAcknowledged + UInt64(atOnce) < target { try turn(&reactor, &sink) }
      guard case .queued = reactor.engine.publish(message, to: group) else { throw Failure("nothing is published") }
      target += UInt64(max(min(job.active - index * members, members), 0))
    }
    reactor.engine.release(message)
  }

  private static func fill(_ bytes: inout [UInt8], _ number: UInt64) {
    var span = bytes.mutableSpan
    var message = unsafe span.mutableBytes
    Publication.fill(&message, number: number, time: currentInstant())
  }

  private static func turn(_ reactor: inout Reactor, _ sink: inout PublishSink) throws {
    try reactor.turn(&sink, timeout: .milliseconds(100))
    if sink.closed > 0 { throw Failure("a connection ended: \(sink.lastReason.text)") }
  }

  private static func counters(_ reactor: borrowing Reactor) -> Measurement {
    var counters = reactor.counters
    counters[.elapsedNanoseconds] = currentInstant()
    counters[.cpuNanoseconds] = bench_cpu_time()
    counters[.allocations] = allocation_count()
    return counters
  }
}

extension Job {
  func publisherConfiguration() throws -> ReactorConfiguration {
    var configuration = try crowdConfiguration(isResponder: true)
    configuration.engine.lanes = [LaneConfiguration(isOrdered: false)]
    // A message that many rest for wakes all whose ACKs are under way.
    configuration.engine.flowsKept = peers
    return configuration
  }
}

/// Takes messages, and notes how old they are.
struct PublishCaller: CrowdHandler, ReceivingHandler {
  var presence = CrowdPresence()
  let length: Int
  private(set) var wrongPieces: UInt64 = 0
  var ages = Latencies(capacity: 8_000_000)

  init(length: Int) { self.length = length }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    presence.connected(peer)
    engine.ping(peer, token: CrowdSignal.firstPing)
  }

  mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine) { presence.answered(peer) }
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

  mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine) {
    guard Publication.isRight(message, length: length) else {
      wrongPieces += 1
      return
    }
    ages.append(currentInstant() &- message.bigEndian64(0))
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { presence.closed(peer, reason) }
}

/// All subscribers.
enum Subscribers {
  static func run(_ job: Job, to address: Address) throws -> Measurement {
    var crowd = try Crowd(job, to: address)
    var caller = PublishCaller(length: job.messageBytes)
    try crowd.populate(&caller, count: job.peers + 1, atOnce: 256, deadline: job.populationDeadline)
    try crowd.signal(1, &caller)
    let last = job.active
    while !caller.presence.isOver {
      try crowd.turn(
        &caller, timeout: .milliseconds(100),
        sift: { if job.active < job.peers { Self.drop(beyond: last, from: &$0) } })
      try caller.presence.check()
    }
    var result = Measurement()
    let times = caller.ages.percentiles()
    result[.medianNanoseconds] = times?.p50 ?? 0
    result[.slowNanoseconds] = times?.p99 ?? 0
    result[.wrongPieces] = caller.wrongPieces
    return result
  }

  /// Stalled subscribers take nothing.
  private static func drop(beyond last: Int, from batch: inout DatagramBatch) {
    var kept = 0
    for index in 0..<batch.count where Address.number(batch.messages[index].address) <= last {
      batch.messages[kept] = batch.messages[index]
      kept += 1
    }
    batch.count = kept
  }
}

extension Address {
  /// The counterpart of `loopback(_:)`.
  static func number(_ address: Address) -> Int { Int(address.low & 0xFF_FFFF) - 0x1_0000 }
}

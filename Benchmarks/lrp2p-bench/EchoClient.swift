// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Sends a request, waits for the same bytes, sends the next.
struct EchoCaller: Handler {
  private let size: UInt64
  private var recordFrom: Instant = 0
  private var end: Instant = 0
  private let pattern = Pattern(number: 0)
  /// Bytes answered so far, and those that are once the request in flight is.
  private var answered: UInt64 = 0
  private var asked: UInt64 = 0
  private var sentAt: Instant = 0
  var latencies = Latencies(capacity: EchoPlan.sampleCapacity)
  private(set) var wrongPieces: UInt64 = 0
  private(set) var isDone = false
  private(set) var isConnected = false
  private(set) var closeReason: CloseReason?

  init(size: Int) { self.size = UInt64(size) }

  /// Gets ready for another connection.
  mutating func reset(recordFrom: Instant, end: Instant) {
    (self.recordFrom, self.end) = (recordFrom, end)
    (answered, asked) = (0, 0)
    (isDone, isConnected) = (false, false)
    closeReason = nil
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    isConnected = true
    request(peer, at: currentInstant(), &engine)
  }

  private mutating func request(_ peer: Peer, at now: Instant, _ engine: inout Engine) {
    sentAt = now
    asked = answered &+ size
    engine.offer(peer, upTo: asked)
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    pattern.fill(offset: offset, into: &bytes)
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    if !pattern.matches(bytes, offset: answered) { wrongPieces += 1 }
    answered &+= UInt64(bytes.byteCount)
    if answered < asked { return }
    let now = currentInstant()
    if now >= recordFrom { latencies.append(now &- sentAt) }
    if now >= end { isDone = true } else { request(peer, at: now, &engine) }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { closeReason = reason }
}

/// Asks through the protocol and over raw UDP in turn.
struct EchoClient: ~Copyable {
  private let job: Job
  private let plan: EchoPlan
  private let target: Address
  private var reactor: Reactor
  private var raw: RawUDP

  private init(_ job: Job, to address: Address) throws {
    let reactor = try Reactor(
      configuration: job.configuration, identity: Identity(), bind: address.localEnd, accepting: .anyone)
    let raw = try RawUDP(bind: address.localEnd, spin: job.spin)
    self.job = job
    plan = EchoPlan(job)
    target = address
    self.reactor = reactor
    self.raw = raw
  }

  /// One measurement for each size.
  static func run(_ job: Job, to address: Address) throws -> [Measurement] {
    var client = try EchoClient(job, to: address)
    var results: [Measurement] = []
    for size in EchoPlan.sizes { results.append(try client.measure(size)) }
    return results
  }

  private mutating func measure(_ size: Int) throws -> Measurement {
    var caller = EchoCaller(size: size)
    var rawLatencies = Latencies(capacity: EchoPlan.sampleCapacity)
    for _ in 0..<EchoPlan.alternations {
      if !job.baselinesOnly { try askProtocol(&caller) }
      try askRaw(size, &rawLatencies)
    }
    var result = Measurement()
    result[.messageBytes] = UInt64(size)
    result[.rounds] = UInt64(job.baselinesOnly ? rawLatencies.count : caller.latencies.count)
    let (times, rawTimes) = (caller.latencies.percentiles(), rawLatencies.percentiles())
    if (times == nil && !job.baselinesOnly) || rawTimes == nil {
      throw Failure("no round trip of \(size) bytes came to its end in time")
    }
    if let times { (result[.medianNanoseconds], result[.slowNanoseconds]) = times }
    if let rawTimes { (result[.rawMedianNanoseconds], result[.rawSlowNanoseconds]) = rawTimes }
    result[.wrongPieces] = caller.wrongPieces
    result[.aead] = UInt64(job.aead.rawValue)
    result.backend = reactor.statistics.backend
    return result
  }

  private mutating func askProtocol(_ caller: inout EchoCaller) throws {
    let start = currentInstant()
    caller.reset(recordFrom: start &+ plan.warmUp, end: start &+ plan.slice)
    let peer: Peer
    do { peer = try reactor.engine.connect(to: target, expecting: .anyone) } catch {
      throw Failure("connect to \(target): the engine refuses (\(error))")
    }
    let deadline = start &+ plan.slice &+ EchoPlan.silence
    while !caller.isDone {
      try reactor.turn(&caller, timeout: .milliseconds(100))
      if let reason = caller.closeReason { throw Failure("connection to \(target): \(reason)") }
      if currentInstant() > deadline {
        throw Failure("\(target) does not answer \(caller.isConnected ? "a request" : "the handshake")")
      }
    }
    if reactor.engine.statistics(of: peer)?.aead != job.aead {
      throw Failure("the peers did not agree on \(job.aead.name)")
    }
    reactor.engine.close(peer, code: 0)
    // The farewell leaves with the next turns.
    let end = currentInstant() &+ .milliseconds(10)
    while currentInstant() < end { try reactor.turn(&caller, timeout: .milliseconds(5)) }
  }

  private mutating func askRaw(_ size: Int, _ latencies: inout Latencies) throws {
    let address = EchoPlan.rawAddress(target)
    let pattern = Pattern(number: 1)
    let start = currentInstant()
    var offset: UInt64 = 0
    var sentAt = start
    while sentAt < start &+ plan.slice {
      var request = raw.buffer.mutableBytes(0, size)
      pattern.fill(offset: offset, into: &request)
      try raw.send(size, to: address)
      // Whatever else arrives is the late answer to an earlier try.
      var isAnswered = false
      while !isAnswered, let (count, _) = try raw.receive(until: sentAt &+ .milliseconds(200)) {
        isAnswered = count == size && pattern.matches(raw.buffer.bytes(0, count), offset: offset)
      }
      let now = currentInstant()
      if isAnswered, sentAt >= start &+ plan.warmUp { latencies.append(now &- sentAt) }
      sentAt = now
      offset &+= UInt64(size)
    }
    try endRaw(address)
  }

  /// Tells the server, as often as it takes; a server that does not answer has understood and gone on.
  private mutating func endRaw(_ address: Address) throws {
    for _ in 0..<5 {
      try raw.send(1, to: address)
      while let (count, _) = try raw.receive(until: currentInstant() &+ .milliseconds(50)) {
        if count == 1 { return }
      }
    }
  }
}

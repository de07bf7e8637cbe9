// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Holds connections that have nothing to say, and answers their PINGs.
enum IdleResponder {
  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    var reactor = try Reactor(
      configuration: job.crowdConfiguration(isResponder: true), identity: Identity(), bind: address, accepting: .anyone)
    var sink = PresenceSink()
    announce(reactor.localAddress)
    let deadline = job.longestWait == .never ? .never : job.populationDeadline
    // The control line is there before anything is measured, and with it all that the first connection brings up.
    var result = Measurement()
    while sink.line.signals == 0 {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      if !result.has(.residentBefore), sink.connected > 0 { result[.residentBefore] = ResourceUsage.residentNow() }
      try check(sink)
      if currentInstant() > deadline { throw Failure("the crowd does not come") }
    }
    try turn(&reactor, &sink, for: .seconds(1))
    result[.residentAfter] = ResourceUsage.residentNow()
    result[.connections] = UInt64(sink.connected - 1)

    var meter = Meter(length: job.length &+ Meter.warmUp)
    meter.begin(at: currentInstant())
    while !meter.isDone {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      let now = currentInstant()
      if meter.isDue(at: now) { meter.take(reactor.counters, at: now) }
      try check(sink)
    }
    result.merge(meter.result!)
    result[.residentBytes] = ResourceUsage.residentBytes()
    // What a keep-alive brings is one datagram.
    result[.keepAlives] = result[.datagramsReceived]
    if let peer = sink.line.peer { reactor.engine.close(peer, code: 0) }
    // The crowd tries a sample of its connections and then ends one.
    let end = currentInstant() &+ .seconds(10)
    while sink.closed == 0, currentInstant() < end { try reactor.turn(&sink, timeout: .milliseconds(100)) }
    return result
  }

  private static func check(_ sink: PresenceSink) throws {
    if sink.closed > 0 || sink.line.isClosed { throw Failure("a connection ended: \(sink.lastReason.text)") }
  }

  private static func turn(_ reactor: inout Reactor, _ sink: inout PresenceSink, for time: Nanoseconds) throws {
    let end = currentInstant() &+ time
    while currentInstant() < end { try reactor.turn(&sink, timeout: .milliseconds(100)) }
  }
}

/// Dials so many connections from one process and keeps them.
enum IdleCrowd {
  private static let sampleSize = 1000
  private static let atOnce = 256

  static func run(_ job: Job, to address: Address) throws -> Measurement {
    var crowd = try Crowd(job, to: address)
    var caller = PresenceCaller(pings: true)
    var result = Measurement()
    let deadline = job.populationDeadline
    try crowd.populate(&caller, count: 1, atOnce: 1, deadline: deadline)
    result[.residentBefore] = ResourceUsage.residentNow()
    try crowd.populate(&caller, count: job.peers + 1, atOnce: atOnce, deadline: deadline)
    result[.residentAfter] = ResourceUsage.residentNow()
    try crowd.signal(1, &caller)
    let end = currentInstant() &+ job.length &+ .seconds(15)
    while !caller.presence.isOver {
      try crowd.turn(&caller, timeout: .milliseconds(100))
      try caller.presence.check()
      if currentInstant() > end { throw Failure("the responder does not end") }
    }
    try sample(&crowd, &caller)
    crowd.engine.close(caller.presence.peers[1], code: 0)
    let farewell = currentInstant() &+ .milliseconds(50)
    while currentInstant() < farewell { try crowd.turn(&caller, timeout: .milliseconds(5)) }
    return result
  }

  /// Random peers must answer at once: they are live to the last.
  private static func sample(_ crowd: inout Crowd, _ caller: inout PresenceCaller) throws {
    var wanted: Set<Int> = []
    let peers = caller.presence.peers
    while wanted.count < min(sampleSize, peers.count - 1) { wanted.insert(.random(in: 1..<peers.count)) }
    for index in wanted { crowd.engine.ping(peers[index], token: CrowdSignal.sample) }
    let end = currentInstant() &+ .seconds(5)
    while caller.sampled < wanted.count, currentInstant() < end { try crowd.turn(&caller, timeout: .milliseconds(100)) }
    if caller.sampled < wanted.count {
      throw Failure("only \(caller.sampled) of \(wanted.count) connections still answer")
    }
  }
}

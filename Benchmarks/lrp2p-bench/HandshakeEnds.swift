// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Takes every connection and leaves it open.
enum HandshakeResponder {
  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    var before = Measurement()
    KeyAgreementCost.measure(into: &before)
    var reactor = try Reactor(
      configuration: job.crowdConfiguration(isResponder: true), identity: Identity(), bind: address, accepting: .anyone)
    var sink = PresenceSink()
    announce(reactor.localAddress)
    let deadline = job.longestWait == .never ? .never : currentInstant() &+ job.longestWait
    while sink.connected == 0 {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      if currentInstant() > deadline { throw Failure("nobody connected") }
    }
    var meter = Meter(length: job.length)
    meter.begin(at: currentInstant())
    while !meter.isDone {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      let now = currentInstant()
      if meter.isDue(at: now) { meter.take(reactor.counters, at: now) }
      if sink.closed > 0 || sink.line.isClosed { throw Failure("a connection ended: \(sink.lastReason.text)") }
    }
    if let peer = sink.line.peer { reactor.engine.close(peer, code: 0) }
    let end = currentInstant() &+ .milliseconds(50)
    while currentInstant() < end { try reactor.turn(&sink, timeout: .milliseconds(5)) }
    var result = meter.result!
    // Once before and once behind, so that a machine that has slowed down or sped up shows in both.
    KeyAgreementCost.measure(into: &result)
    for quantity in [Quantity.multiplication, .baseMultiplication] {
      result[quantity] = (result[quantity] + before[quantity]) / 2
    }
    return result
  }
}

/// Dials as fast as the responder answers: always so many connections on their way.
enum HandshakeDialler {
  static func run(_ job: Job, to address: Address) throws -> Measurement {
    var crowd = try Crowd(job, to: address)
    var caller = PresenceCaller(pings: false)
    try crowd.populate(&caller, count: 1, atOnce: 1, deadline: job.populationDeadline)
    let deadline = currentInstant() &+ job.length &+ .seconds(10)
    while !caller.presence.isOver {
      while caller.presence.peers.count - caller.presence.established < job.active {
        caller.presence.dialled(try crowd.dial(caller.presence.peers.count))
      }
      try crowd.turn(&caller, timeout: .milliseconds(100))
      try caller.presence.check()
      if currentInstant() > deadline { throw Failure("the responder does not end") }
    }
    return Measurement()
  }
}

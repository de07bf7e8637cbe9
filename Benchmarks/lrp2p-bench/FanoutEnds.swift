// SPDX-License-Identifier: MIT
import CAllocationCount
import CBenchSystem
import LRP2P
import LRP2PCore
import LRP2PReactor

/// The process whose cost is measured: from the crowd's first signal to its farewell.
enum FanoutResponder {
  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    let configuration = try job.crowdConfiguration(isResponder: true)
    var reactor = try Reactor(configuration: configuration, identity: Identity(), bind: address, accepting: .anyone)
    var sink = FanoutSink(maximumPeers: configuration.engine.maximumPeers)
    announce(reactor.localAddress)
    // A crowd that does not come is the parent process's to notice.
    while sink.line.signals == 0 {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      if sink.closed > 0 { throw Failure("a connection ended: \(sink.lastReason.text)") }
    }
    let before = counters(reactor)
    let end = currentInstant() &+ job.length &+ .seconds(20)
    while !sink.line.isClosed {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      if sink.closed > 0 { throw Failure("a connection ended: \(sink.lastReason.text)") }
      if currentInstant() > end { throw Failure("the crowd does not end") }
    }
    var result = counters(reactor).difference(since: before)
    result[.wrongPieces] = sink.wrongPieces
    return result
  }

  private static func counters(_ reactor: borrowing Reactor) -> Measurement {
    var counters = reactor.counters
    counters[.cpuNanoseconds] = bench_cpu_time()
    counters[.allocations] = allocation_count()
    return counters
  }
}

/// One responder's crowd.
private struct FanoutSide: ~Copyable {
  private var crowd: Crowd
  private var caller: FanoutCaller
  private let job: Job
  private var result = Measurement()
  private var answersBefore: UInt64 = 0

  /// How long acknowledgements that wait may take to leave.
  private static let rest: Nanoseconds = .milliseconds(30)

  init(_ job: Job, to address: Address) throws {
    crowd = try Crowd(job, to: address)
    caller = FanoutCaller(active: job.active, maximumPeers: job.maximumPeers)
    self.job = job
  }

  mutating func populate() throws {
    try crowd.populate(&caller, count: job.peers + 1, atOnce: 256, deadline: job.populationDeadline)
  }

  /// What is measured begins, warm: who has had the first requests has made room for them.
  mutating func begin() throws {
    try ask(for: FanoutPlan.slice)
    result = Measurement()
    answersBefore = caller.answers
    try crowd.signal(1, &caller)
  }

  /// Asks for so long and lets the answers come in; what the other end does in this time is what is measured.
  mutating func ask(for time: Nanoseconds) throws {
    let start = currentInstant()
    let before = crowd.counters
    while currentInstant() < start &+ time {
      caller.ask(&crowd.engine)
      try turn()
    }
    var slice = crowd.counters.difference(since: before)
    slice[.elapsedNanoseconds] = currentInstant() &- start
    result.merge(slice)
    let deadline = currentInstant() &+ .seconds(10)
    while caller.outstanding > 0 {
      try turn()
      if currentInstant() > deadline { throw Failure("\(caller.outstanding) requests are not answered") }
    }
    let end = currentInstant() &+ Self.rest
    while currentInstant() < end { try turn() }
  }

  private mutating func turn() throws {
    try crowd.turn(&caller, timeout: .milliseconds(5))
    try caller.presence.check()
  }

  mutating func end() throws -> Measurement {
    crowd.engine.close(caller.presence.control, code: 0)
    let end = currentInstant() &+ Self.rest
    while currentInstant() < end { try crowd.turn(&caller, timeout: .milliseconds(5)) }
    result[.rounds] = caller.answers - answersBefore
    result[.wrongPieces] = caller.wrongPieces
    return result
  }
}

/// Asks two responders in turn: one with all peers, one with a thousand.
enum FanoutCrowd {
  static func run(_ job: Job, to address: Address) throws -> [Measurement] {
    var large = try FanoutSide(job, to: address)
    guard let thirdParty = job.thirdParty else { throw Failure("fanout: where is the second responder?") }
    var small = try FanoutSide(job.fanoutBaseline, to: thirdParty)
    try large.populate()
    try small.populate()
    try large.begin()
    try small.begin()
    let end = currentInstant() &+ job.length
    repeat {
      try large.ask(for: FanoutPlan.slice)
      try small.ask(for: FanoutPlan.slice)
    } while currentInstant() < end
    return [try large.end(), try small.end()]
  }
}

extension Job {
  /// The same with a thousand peers.
  var fanoutBaseline: Job {
    var job = self
    job.peers = FanoutPlan.baselinePeers
    job.active = min(active, FanoutPlan.baselinePeers)
    return job
  }
}

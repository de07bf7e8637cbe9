// SPDX-License-Identifier: MIT
import CBenchSystem
import LRP2P
import LRP2PCore
import LRP2PReactor

/// A responder of several reactors on one port, each on a thread and a processor of its own.
enum HandshakeGroup {
  /// What the threads share.
  private struct State {
    /// When the first connection was there.
    var start: Instant = .never
    /// Whose it was: the crowd's control line.
    var controller = -1
    var results: [Measurement] = []
    var failure: Failure?
  }

  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> [Measurement] {
    let group = try ReactorGroup(
      count: job.reactors, configuration: job.crowdConfiguration(isResponder: true), bind: address, accepting: .anyone)
    let identity = Identity()
    let state = Locked(State())
    let rendezvous = (0..<job.reactors).map { _ in Rendezvous<Void>() }
    for index in 0..<job.reactors {
      try Thread.start("reactor \(index)") {
        do { try serve(job, group, index, identity, state) } catch {
          state.withLock { $0.failure = error as? Failure ?? Failure("\(error)") }
        }
        rendezvous[index].deliver(())
      }
    }
    announce(group.localAddress)
    for answer in rendezvous { answer.wait() }
    if let failure = state.withLock({ $0.failure }) { throw failure }
    return state.withLock { $0.results }
  }

  private static func serve(
    _ job: Job, _ group: ReactorGroup, _ index: Int, _ identity: Identity, _ state: Locked<State>
  ) throws {
    try Ends.pin(to: Int32(index) % max(bench_processors(), 1))
    var reactor = try Reactor(identity: identity, group: group, index: index)
    var sink = PresenceSink()
    let deadline = job.longestWait == .never ? .never : currentInstant() &+ job.longestWait
    var start = Instant.never
    while start == .never {
      try reactor.turn(&sink, timeout: .milliseconds(5))
      let now = currentInstant()
      if sink.connected > 0 {
        state.withLock { state in
          if state.start == .never { (state.start, state.controller) = (now, index) }
        }
      }
      start = state.withLock { $0.start }
      if now > deadline { throw Failure("nobody connected") }
    }
    var meter = Meter(length: job.length)
    meter.begin(at: start)
    while !meter.isDone {
      try reactor.turn(&sink, timeout: .milliseconds(5))
      let now = currentInstant()
      if meter.isDue(at: now) {
        var counters = reactor.counters
        counters[.cpuNanoseconds] = bench_thread_cpu_time()
        meter.take(counters, at: now)
      }
      if sink.closed > 0 { throw Failure("a connection ended: \(sink.lastReason.text)") }
    }
    var result = meter.result!
    // Since the start: one would be too many at any time.
    let statistics = reactor.engine.statistics
    result[.misdirected] = statistics.misdirected
    result[.cookieReplies] = statistics.cookieRepliesSent
    result[.cookiesAccepted] = statistics.cookiesAccepted
    result[.cookiesInvalid] = statistics.cookiesInvalid
    state.withLock { $0.results.append(result) }
    // The others are still measuring; then whoever has the control line ends the run.
    while state.withLock({ $0.results.count < job.reactors && $0.failure == nil }) {
      try reactor.turn(&sink, timeout: .milliseconds(5))
    }
    if let peer = sink.line.peer, state.withLock({ $0.controller == index }) { reactor.engine.close(peer, code: 0) }
    let end = currentInstant() &+ .milliseconds(100)
    while currentInstant() < end { try reactor.turn(&sink, timeout: .milliseconds(5)) }
  }
}

/// One reactor and several in turn.
enum HandshakeScaling {
  private static let rounds = 2

  static func measure(_ job: Job, reactors: Int) throws -> Report {
    var alone: [Measurement] = []
    var together: [Measurement] = []
    for _ in 0..<rounds {
      add(try ProcessPair.run(job).listening, to: &alone)
      var several = job
      several.reactors = reactors
      add(try ProcessPair.run(several).listening, to: &together)
    }
    let handshakes = together.reduce(0) { $0 + $1[.handshakes] }
    let capacity = perBusiestSecond(together)
    let capacityAlone = perBusiestSecond(alone)
    var report = Report()
    report.add("reactors", UInt64(reactors))
    report.add("handshakes_per_s", Double(handshakes) / Double(together[0][.elapsedNanoseconds]) * 1e9)
    report.add(
      "one_reactor_handshakes_per_s", Double(alone[0][.handshakes]) / Double(alone[0][.elapsedNanoseconds]) * 1e9)
    report.add("handshakes_per_busiest_cpu_s", capacity)
    report.add("one_reactor_handshakes_per_cpu_s", capacityAlone)
    report.add("ratio_to_one_reactor", capacity / capacityAlone)
    let cpu = together.reduce(0) { $0 + $1[.cpuNanoseconds] }
    report.add("responder_cpu_us_per_handshake", Double(cpu) / Double(handshakes) / 1e3)
    report.add(
      "one_reactor_cpu_us_per_handshake", Double(alone[0][.cpuNanoseconds]) / Double(alone[0][.handshakes]) / 1e3)
    report.add("largest_share", Double(together.map { $0[.handshakes] }.max() ?? 0) / Double(handshakes))
    report.add("misdirected", together.reduce(0) { $0 + $1[.misdirected] })
    report.add("cookie_replies", together.reduce(0) { $0 + $1[.cookieReplies] })
    report.add("cookies_accepted", together.reduce(0) { $0 + $1[.cookiesAccepted] })
    report.add("cookies_invalid", together.reduce(0) { $0 + $1[.cookiesInvalid] })
    report.add("kernel_drops", together.reduce(0) { $0 + $1[.kernelDrops] })
    report.add("in_flight", UInt64(job.active))
    report.add("aead", job.aead.name)
    report.add("backend", job.backend.rawValue)
    return report
  }

  /// Adds each reactor's figures to what a reactor had in the rounds before. The reactors report in any order, so the
  /// busiest are added up, which is never in their favour.
  private static func add(_ round: [Measurement], to sums: inout [Measurement]) {
    let sorted = round.sorted { $0[.cpuNanoseconds] > $1[.cpuNanoseconds] }
    if sums.isEmpty { sums = sorted } else { for index in sums.indices { sums[index].merge(sorted[index]) } }
  }

  private static func perBusiestSecond(_ reactors: [Measurement]) -> Double {
    let busiest = reactors.map { $0[.cpuNanoseconds] }.max() ?? 0
    return Double(reactors.reduce(0) { $0 + $1[.handshakes] }) / Double(busiest) * 1e9
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore

/// What one playing of a case has shown. What never came is `nil`.
package struct PathOutcome: Sendable {
  package let seed: UInt64
  package internal(set) var traceHash: UInt64 = 0
  package internal(set) var datagrams: UInt64 = 0
  /// Of the rate: in the worst window, in all of `measured`, and in the worst window of what arrived in whatever order.
  package internal(set) var goodput = 0.0
  package internal(set) var meanGoodput = 0.0
  package internal(set) var arrived = 0.0
  /// When the worst window began, seconds.
  package internal(set) var worstAt = 0.0
  /// Of the datagrams that the forward link was given in `measured`, those that it dropped.
  package internal(set) var loss = 0.0
  /// Seconds in the forward link's queue in `measured`: of a datagram on average, and what one look in twenty exceeds.
  package internal(set) var queue = 0.0
  package internal(set) var longQueue = 0.0
  package internal(set) var recovery: Double?
  /// Of the datagrams with data, from the start: those sent again, those of which an earlier copy arrives, and those that
  /// left twice in a row.
  package internal(set) var resends = 0.0
  package internal(set) var spurious = 0.0
  package internal(set) var pairs = 0.0
  package internal(set) var leastFlow = 0.0
  package internal(set) var firstByte: Double?
  package internal(set) var completion: Double?
  package internal(set) var slowdown: Double?
  package internal(set) var shortCompletion: Double?
  package internal(set) var probeTimeouts: UInt64 = 0
  /// What must never be, whatever the path does.
  package internal(set) var failure: String?
  package internal(set) var samples: [FlowSample] = []

  package init(seed: UInt64, recovery: Double? = nil) {
    self.seed = seed
    self.recovery = recovery
  }

  package func value(of measure: PathMeasure) -> Double? {
    switch measure {
    case .goodput: goodput
    case .recovery: recovery
    case .loss: loss
    case .leastFlow: leastFlow
    case .spurious: spurious
    case .slowdown: slowdown
    case .firstByte: firstByte
    case .completion: completion
    case .shortCompletion: shortCompletion
    }
  }

  package func meets(_ bars: [PathBar]) -> Bool { bars.allSatisfy { $0.isMet(by: value(of: $0.measure)) } }
}

extension PathCase {
  /// Plays it.
  /// - Parameter interval: between samples for a trace, nanoseconds; 0 takes none. What is played is the same.
  package func play(seed: UInt64, congestion: CongestionAlgorithm, sampling interval: Nanoseconds = 0) -> PathOutcome {
    var run = PathRun(
      self, seed: seed, congestion: congestion, remembers: remembered != nil, sampling: interval)
    run.play()
    var outcome = run.outcome(seed: seed)
    guard remembered != nil else { return outcome }
    var without = PathRun(self, seed: seed, congestion: congestion, remembers: false, sampling: 0)
    without.play()
    let other = without.outcome(seed: seed)
    outcome.failure = outcome.failure ?? other.failure
    if let with = outcome.completion, let without = other.completion { outcome.slowdown = with / without }
    return outcome
  }
}

extension PathRun {
  func outcome(seed: UInt64) -> PathOutcome {
    var outcome = PathOutcome(seed: seed)
    outcome.traceHash = network.traceHash
    outcome.datagrams = network.datagrams
    outcome.samples = meter.samples
    judgeGoodput(&outcome)
    judgeLink(&outcome)
    judgeFlows(&outcome)
    if let ledger = network.ledger {
      let datagrams = Double(max(ledger.datagrams, 1))
      outcome.resends = Double(ledger.resends) / datagrams
      outcome.spurious = Double(ledger.spurious) / datagrams
      outcome.pairs = Double(ledger.pairs) / datagrams
    }
    judgeHosts(&outcome)
    return outcome
  }

  private func judgeGoodput(_ outcome: inout PathOutcome) {
    let rate = Double(path.fullRate)
    let total = meter.total
    outcome.meanGoodput = total.mean(in: path.measured) / rate
    if let worst = total.worst(window: path.window, in: path.measured) {
      outcome.goodput = worst.rate / rate
      outcome.worstAt = Double(worst.at) / 1e9
    }
    if let ledger = network.ledger {
      let arrived = Deliveries(step: PathMeter.step, each: ledger.arrived, steps: total.steps)
      outcome.arrived = (arrived.worst(window: path.window, in: path.measured)?.rate ?? 0) / rate
    }
    if let event = path.event {
      outcome.recovery = total.recovery(to: 0.8 * rate, behind: event).map { Double($0) / 1e9 }
    }
    let share = rate / Double(path.flows.count)
    let least = meter.delivered.map { $0.worst(window: path.window, in: path.measured)?.rate ?? 0 }.min() ?? 0
    outcome.leastFlow = least / share
  }

  private func judgeLink(_ outcome: inout PathOutcome) {
    let (after, before) = (network.counters(ofLink: Self.forth), meter.before)
    outcome.loss = Double(after.dropped - before.dropped) / Double(max(after.datagrams - before.datagrams, 1))
    outcome.queue = Double(after.queuedTime - before.queuedTime) / Double(max(after.queued - before.queued, 1)) / 1e9
    let queue = meter.queue.sorted()
    if !queue.isEmpty { outcome.longQueue = Double(queue[min(queue.count * 19 / 20, queue.count - 1)]) / 1e9 }
  }

  private func judgeFlows(_ outcome: inout PathOutcome) {
    /// Seconds from the dial.
    func time(_ flow: Flow, of moment: (BulkHandler.Stream) -> Instant) -> Double? {
      guard let stream = flow.stream else { return nil }
      let at = moment(network.hosts[receiver].handler.streams[stream])
      return at > 0 ? Double(at - flow.dialsAt) / 1e9 : nil
    }
    let long = flows.filter { !$0.plan.isShort }
    let firsts = long.map { time($0) { $0.firstByteAt } }
    if !firsts.contains(nil) { outcome.firstByte = firsts.compactMap(\.self).max() }
    let ends = long.map { time($0) { $0.finishedAt } }
    if !ends.contains(nil) { outcome.completion = ends.compactMap(\.self).max() }
    let short = flows.filter(\.plan.isShort).map { time($0) { $0.finishedAt } ?? .infinity }
    if !short.isEmpty { outcome.shortCompletion = PathResult.median(short) }
  }

  private func judgeHosts(_ outcome: inout PathOutcome) {
    for host in 0..<network.hostCount {
      let handler = network.hosts[host].handler
      if handler.mismatches > 0 { outcome.failure = "bytes arrived that were not the bytes that were sent" }
      if handler.violations > 0 { outcome.failure = "callbacks contradict each other" }
      if network.hosts[host].suite.reusedPacketNumbers > 0 { outcome.failure = "a packet number was used twice" }
      if !network.hosts[host].engine.statistics.isBalanced {
        outcome.failure = "a datagram was neither accepted nor refused"
      }
      outcome.probeTimeouts += network.hosts[host].engine.statistics.probeTimeouts
    }
  }
}

// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

/// A verified load while someone floods.
struct FloodCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flood",
    abstract: "Live transfers while the other core floods, beside a bare receive-and-drop program.",
    discussion: """
      Honest peers (--connections bulk streams, eight of small requests, and a new connection every 50 ms) and the flooder \
      share one core, the flooded process has the other. Three runs take turns and share --seconds (18 if not given; from 12 on \
      there are two of each): the flood goes astray, into a socket \
      that nobody reads; it meets a reactor; it meets the bare program: the same engine, socket and batches, but whatever does not \
      come from the load's address is dropped by a look at the 8 bytes of the address, before anything else. Goodput is what \
      arrives, verified, at the flooded process. goodput_ratio_under_flood divides the second run's by the first's, \
      ratio_to_bare_drop the second's by the third's. Every flood datagram comes from an address of its own.
      """)

  @OptionGroup var common: CommonOptions

  @Option(help: "What the flood is made of. (default: each in turn)")
  var kind: FloodKind?

  @Option(help: "Whether the socket drops foreign datagrams by itself.")
  var filter = Toggle.off

  private static let defaultSeconds = 18

  /// What the flood meets.
  private enum Phase: CaseIterable { case astray, reactor, bare }

  func run() throws {
    try common.check()
    try common.checkNoSingleEnd()
    let seconds = common.givenSeconds ?? Self.defaultSeconds
    if seconds < 3 { throw Failure("--seconds must be at least 3: three runs share it") }
    let rounds = seconds < 12 ? 1 : 2
    if common.connections > 1000 { throw Failure("--connections must be at most 1000") }
    var job = common.job(.flood, aead: try common.oneAEAD())
    job.filter = filter
    job.seconds = seconds / (rounds * Phase.allCases.count)
    if filter == .on {
      var configuration = job.configuration
      try Knobs.setFilter(.on, &configuration)
    }
    var reports: [Report] = []
    var isVerified = true
    for kind in kind.map({ [$0] }) ?? FloodKind.allCases {
      job.flood = kind
      let result = try measure(job, rounds: rounds)
      isVerified = isVerified && result.isVerified
      if common.json { common.show([report(job, result)]) } else { reports.append(report(job, result)) }
    }
    if !common.json { common.show(reports) }
    if !isVerified { throw Failure("bytes arrived that were not the bytes that were sent") }
  }

  private struct Sums {
    var target = Measurement()
    var load = Measurement()
    var flooder = Measurement()
    var rate: Double { target.gigabitsPerSecond }
  }

  private struct Result {
    var phases: [Phase: Sums] = [:]
    /// Medians of the runs against the reactor.
    var connects: [UInt64] = []
    var isVerified: Bool {
      phases.values.allSatisfy { $0.target[.wrongPieces] == 0 && $0.load[.wrongPieces] == 0 }
    }
  }

  private func measure(_ job: Job, rounds: Int) throws -> Result {
    var result = Result()
    for _ in 0..<rounds {
      for phase in Phase.allCases {
        let (target, load, flooder) = try run(job, phase)
        var sums = result.phases[phase] ?? Sums()
        sums.target.merge(target)
        sums.load.merge(load)
        sums.flooder.merge(flooder)
        result.phases[phase] = sums
        if phase == .reactor, load.has(.medianNanoseconds) { result.connects.append(load[.medianNanoseconds]) }
      }
    }
    return result
  }

  private func run(_ job: Job, _ phase: Phase) throws -> (Measurement, Measurement, Measurement) {
    var job = job
    job.start = currentInstant() &+ FloodPlan.preparation
    job.isBare = phase == .bare
    job.isUnread = phase == .astray
    var group = ProcessGroup(deadline: job.floodEnd &+ ProcessGroup.slack)
    let address = try group.startListening("flooded process", WorkerCommand.arguments(job, listen: .loopback))
    var flood = job
    flood.kind = .flooder
    let captures = try group.startListening("flooder", WorkerCommand.arguments(flood, connect: address))
    if job.flood == .replay { job.thirdParty = captures }
    try group.start("load", WorkerCommand.arguments(job, connect: address))
    let results = try group.collect()
    return (results[0][0], results[2][0], results[1][0])
  }

  private func report(_ job: Job, _ result: Result) -> Report {
    let (astray, ours, bare) = (result.phases[.astray]!, result.phases[.reactor]!, result.phases[.bare]!)
    let (target, load) = (ours.target, ours.load)
    var report = Report()
    if let kind = job.flood { report.add("kind", kind.rawValue) }
    report.add("filter", filter.rawValue)
    report.add("goodput_ratio_under_flood", ours.rate / astray.rate)
    report.add("ratio_to_bare_drop", ours.rate / bare.rate)
    report.add("flood_datagrams_per_s", perSecond(ours.flooder[.datagramsSent], ours.flooder))
    report.add("kernel_drops", target[.kernelDrops])
    report.add("rss_growth_mib", (Double(target[.residentAfter]) - Double(target[.residentBefore])) / 0x10_0000)
    // Both are counted over the same time, but for a few milliseconds.
    let flood = target[.datagramsReceived] - min(target[.datagramsReceived], load[.datagramsSent])
    if target.has(.allocations), flood > 0 {
      report.add("allocations_per_flood_datagram", Double(target[.allocations]) / Double(flood))
    }
    if !result.connects.isEmpty {
      report.add("honest_connect_ms", Double(result.connects.reduce(0, +)) / Double(result.connects.count) / 1e6)
    }
    report.add("honest_connects_begun", load[.connectsBegun])
    report.add("honest_connects_done", load[.connectsDone])
    if target.has(.cookieReplies) { report.add("cookie_replies_per_s", perSecond(target[.cookieReplies], target)) }
    report.add("goodput_gbit_per_s", ours.rate)
    report.add("astray_goodput_gbit_per_s", astray.rate)
    report.add("bare_goodput_gbit_per_s", bare.rate)
    report.add("requests_per_s", perSecond(load[.rounds], target))
    report.add("bare_requests_per_s", perSecond(bare.load[.rounds], bare.target))
    report.add("taken_flood_datagrams_per_s", perSecond(flood, target))
    report.add("bare_flood_datagrams_per_s", perSecond(bare.flooder[.datagramsSent], bare.flooder))
    report.add("bare_kernel_drops", bare.target[.kernelDrops])
    report.add("flooded_core_percent", Double(target[.cpuNanoseconds]) / Double(target[.elapsedNanoseconds]) * 100)
    report.add("verified", result.isVerified)
    report.add("aead", job.aead.name)
    report.add("backend", common.backend.rawValue)
    return report
  }

  private func perSecond(_ count: UInt64, _ end: Measurement) -> Double {
    Double(count) / Double(end[.elapsedNanoseconds]) * 1e9
  }
}

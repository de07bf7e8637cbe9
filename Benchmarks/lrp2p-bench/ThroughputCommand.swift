// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

/// Bulk data one way.
struct ThroughputCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "throughput",
    abstract: "Bulk goodput in order, every byte checked.",
    discussion: """
      The first second of every run is not measured. With --ceiling or --tcp the time is shared by two runs of each, \
      taken in turn, and the figures are their sums.
      """)

  @OptionGroup var common: CommonOptions

  @Flag(help: "Also an unreliable encrypted blaster over the same sockets.")
  var ceiling = false

  @Flag(help: "Also kernel TCP in plain text with segments of the same size.")
  var tcp = false

  @Flag(help: "Leave the protocol itself out.")
  var baselinesOnly = false

  private var kinds: [Kind] {
    (baselinesOnly ? [] : [.transfer]) + (ceiling ? [.ceiling] : []) + (tcp ? [.tcp] : [])
  }

  func run() throws {
    try common.check()
    if common.seconds < 2 { throw Failure("--seconds must be at least 2: the first second is not measured") }
    if kinds.isEmpty { throw Failure("--baselines-only needs --ceiling or --tcp") }
    var runner = try common.runner()
    var isAnnounced = false
    var reports: [Report] = []
    var isVerified = true
    for aead in try common.aeads() {
      let result = try measure(aead, &runner) { address in
        if isAnnounced { return }
        isAnnounced = true
        Output.line("listening on \(address)", to: common.json ? Output.error : Output.standard)
      }
      isVerified = isVerified && result.isVerified
      let report = try result.report(common, aead)
      if common.json { common.show([report]) } else { reports.append(report) }
    }
    if !common.json { common.show(reports) }
    if !isVerified { throw Failure("bytes arrived that were not the bytes that were sent") }
  }

  private func measure(_ aead: AEAD, _ runner: inout Runner, announce: (Address) -> Void) throws -> ThroughputResult {
    var result = ThroughputResult()
    let rounds = kinds == [.transfer] ? 1 : 2
    for _ in 0..<rounds {
      for kind in kinds {
        var job = common.job(kind, aead: aead)
        job.seconds = max(common.seconds / rounds, 2)
        result.add(try runner.run(job, announce: announce), of: kind)
      }
    }
    return result
  }
}

/// The sums of all runs of each kind.
struct ThroughputResult {
  private struct Sums {
    var connecting = Measurement()
    var listening = Measurement()
    /// Bytes a nanosecond, times 8.
    var gigabitsPerSecond: Double? {
      listening.has(.elapsedNanoseconds) ? listening.gigabitsPerSecond : nil
    }
  }

  private var sums: [Kind: Sums] = [:]

  mutating func add(_ results: ProcessPair.Results, of kind: Kind) {
    for measurement in results.connecting { sums[kind, default: Sums()].connecting.merge(measurement) }
    for measurement in results.listening { sums[kind, default: Sums()].listening.merge(measurement) }
  }

  /// Whether nothing wrong has come.
  var isVerified: Bool { sums.values.allSatisfy { $0.listening[.wrongPieces] == 0 } }

  /// What moved the datagrams at both ends.
  private var backend: ReactorBackend? {
    var all = Measurement()
    for kind in [Kind.transfer, .ceiling] {
      guard let sums = sums[kind] else { continue }
      all.merge(sums.connecting)
      all.merge(sums.listening)
    }
    return all.backend
  }

  func report(_ common: CommonOptions, _ aead: AEAD) throws -> Report {
    var report = Report()
    let goodput = sums[.transfer]?.gigabitsPerSecond
    if let goodput { report.add("goodput_gbit_per_s", goodput) }
    if let transfer = sums[.transfer] { add(transfer, to: &report) }
    if sums.values.contains(where: { $0.listening.has(.wrongPieces) }) { report.add("verified", isVerified) }
    try common.addAEAD(aead, to: &report)
    if let backend { report.add("backend", backend.rawValue) }
    report.add("congestion", common.congestion.rawValue)
    for (kind, name) in [(Kind.ceiling, "ceiling"), (.tcp, "tcp")] {
      guard let rate = sums[kind]?.gigabitsPerSecond else { continue }
      report.add("\(name)_gbit_per_s", rate)
      if let goodput { report.add("ratio_to_\(name)", goodput / rate) }
    }
    report.add("datagram_bytes", UInt64(common.datagram))
    report.add("connections", UInt64(common.connections))
    if common.listen == nil, common.connect == nil { report.add("cores", common.oneCore ? 1 : 2 as UInt64) }
    for (kind, name) in [(Kind.ceiling, "ceiling"), (.tcp, "tcp")] {
      if let sums = sums[kind] { addCost(sums, prefix: name + "_", to: &report) }
    }
    return report
  }

  private func add(_ transfer: Sums, to report: inout Report) {
    addCost(transfer, prefix: "", to: &report)
    let (sender, receiver) = (transfer.connecting, transfer.listening)
    if sender.has(.residentBytes) { report.add("sender_rss_mib", Double(sender[.residentBytes]) / 0x10_0000) }
    if receiver.has(.residentBytes) { report.add("receiver_rss_mib", Double(receiver[.residentBytes]) / 0x10_0000) }
    if sender.has(.datagramsSent) {
      report.add("datagrams_sent", sender[.datagramsSent])
      report.add("datagrams_retransmitted", sender[.datagramsRetransmitted])
    }
    if receiver.has(.bytesReceived) {
      report.add(
        "return_bytes_per_forward_byte", Double(receiver[.bytesSent]) / Double(receiver[.bytesReceived]))
      report.add("kernel_drops", receiver[.kernelDrops])
    }
    // Of both processes, or not at all.
    if sender.has(.allocations), receiver.has(.allocations) {
      let allocations = sender[.allocations] + receiver[.allocations]
      report.add("allocations_per_datagram", Double(allocations) / Double(sender[.datagramsSent]))
    }
  }

  /// Processor time for each GiB that was delivered, or that was sent where the other end is elsewhere.
  private func addCost(_ sums: Sums, prefix: String, to report: inout Report) {
    let delivered = sums.listening[.bytesDelivered]
    let bytes = delivered > 0 ? delivered : sums.connecting[.bytesSent]
    if bytes == 0 { return }
    if sums.connecting.has(.cpuNanoseconds) {
      report.add("\(prefix)sender_cpu_s_per_gib", sums.connecting.cpuSecondsPerGiB(of: bytes))
    }
    if sums.listening.has(.cpuNanoseconds) {
      report.add("\(prefix)receiver_cpu_s_per_gib", sums.listening.cpuSecondsPerGiB(of: bytes))
    }
  }
}

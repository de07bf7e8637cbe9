// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

/// Round trips.
struct EchoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "echo",
    abstract: "Round trips of 64 B and 1 KiB, one in flight, beside raw UDP.",
    discussion: "The protocol and raw UDP take turns between the same two processes, which wait the same way for both.")

  @OptionGroup var common: CommonOptions

  @Flag(help: "Poll and never sleep: reactors by their own knob for it, longestSpin.")
  var spin = false

  @Flag(help: "Leave the protocol itself out.")
  var baselinesOnly = false

  func run() throws {
    try common.check()
    if spin, common.oneCore { throw Failure("--spin needs two cores") }
    var runner = try common.runner()
    var isVerified = true
    var reports: [Report] = []
    var isAnnounced = false
    for aead in try common.aeads() {
      var job = common.job(.echo, aead: aead)
      job.connections = 1
      job.spin = spin
      job.baselinesOnly = baselinesOnly
      let results = try runner.run(job) { address in
        if isAnnounced { return }
        isAnnounced = true
        Output.line("listening on \(address)", to: common.json ? Output.error : Output.standard)
      }
      for measurement in results.connecting {
        isVerified = isVerified && measurement[.wrongPieces] == 0
        reports.append(try report(measurement, aead))
      }
    }
    if !reports.isEmpty { common.show(reports) }
    if !isVerified { throw Failure("answers arrived that were not the bytes that were sent") }
  }

  private func report(_ measurement: Measurement, _ aead: AEAD) throws -> Report {
    var report = Report()
    let p50 = Double(measurement[.medianNanoseconds])
    let raw = Double(measurement[.rawMedianNanoseconds])
    report.add("bytes", measurement[.messageBytes])
    if measurement.has(.medianNanoseconds) {
      report.add("p50_us", p50 / 1e3)
      report.add("p99_us", Double(measurement[.slowNanoseconds]) / 1e3)
    }
    report.add("raw_udp_p50_us", raw / 1e3)
    report.add("raw_udp_p99_us", Double(measurement[.rawSlowNanoseconds]) / 1e3)
    if measurement.has(.medianNanoseconds) { report.add("ratio_to_raw_udp", p50 / raw) }
    report.add("spin", spin)
    report.add("rounds", measurement[.rounds])
    report.add("verified", measurement[.wrongPieces] == 0)
    try common.addAEAD(aead, to: &report)
    if let backend = measurement.backend { report.add("backend", backend.rawValue) }
    return report
  }
}

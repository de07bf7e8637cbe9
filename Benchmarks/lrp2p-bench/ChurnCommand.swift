// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

/// Connections that come and go.
struct ChurnCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "churn",
    abstract: "Memory and confusion while connections are opened and closed at a steady rate.",
    discussion: """
      Each connection sends 4 KiB of its own, gets them back, and is ended in one of three ways in turn: finished, closed by \
      the dialling side, closed by the responder. Meanwhile datagrams of earlier connections are sent once more. confused \
      counts bytes that did not belong to the connection that they came on; rss_growth_mib is the responder's, from half of \
      the time (at most 20 s) to the end.
      """)

  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("New connections a second.", valueName: "n"))
  var rate = 100

  func run() throws {
    try common.check()
    if rate < 1 || rate > 10_000 { throw Failure("--rate must be 1 … 10000") }
    var job = common.job(.churn, aead: try common.oneAEAD())
    job.rate = rate
    // Room for those that linger.
    job.peers = max(20 * rate, ChurnPlan.mostOpen)
    var runner = try common.runner()
    let results = try runner.run(job) {
      Output.line("listening on \($0)", to: common.json ? Output.error : Output.standard)
    }
    let ends = results.listening + results.connecting
    let confused = ends.reduce(0) { $0 + $1[.wrongPieces] }
    var report = Report()
    if let responder = results.listening.first {
      report.add(
        "rss_growth_mib", (Double(responder[.residentAfter]) - Double(responder[.residentBefore])) / 0x10_0000)
      report.add("rss_mib", Double(responder[.residentAfter]) / 0x10_0000)
    }
    if let end = results.connecting.first ?? results.listening.first { report.add("connections", end[.connections]) }
    report.add("confused", confused)
    report.add("rate", UInt64(rate))
    if let caller = results.connecting.first { report.add("late_datagrams", caller[.lateDatagrams]) }
    report.add("backend", common.backend.rawValue)
    common.show([report])
    if confused > 0 { throw Failure("\(confused) times bytes came on a connection that they were not for") }
  }
}

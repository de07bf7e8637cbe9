// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

/// Connections that have nothing to say.
struct IdleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "idle",
    abstract: "Memory and processor time of a process with many live, established, encrypted peers.",
    discussion: """
      Another process dials all of them by real handshakes, and each has answered a PING before memory is read. \
      bytes_per_peer is resident memory of the responder, after minus before, divided by the peers. Then every peer sends a \
      PING each --keep-alive-seconds, which the responder has to answer, for --seconds (without it, for one such time). \
      At the end 1,000 random peers must still answer.
      """)

  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("Connections.", valueName: "n"))
  var peers = 10_000

  @Option(help: ArgumentHelp("What a peer waits before it sends a PING.", valueName: "n"))
  var keepAliveSeconds = 60

  func run() throws {
    try common.check()
    if peers < 1 || peers > 16_000_000 { throw Failure("--peers must be 1 … 16000000") }
    if keepAliveSeconds < 1 || keepAliveSeconds > 86_400 { throw Failure("--keep-alive-seconds must be 1 … 86400") }
    var job = common.job(.idle, aead: try common.oneAEAD())
    job.peers = peers
    job.keepAlive = keepAliveSeconds
    job.seconds = common.givenSeconds ?? keepAliveSeconds
    var runner = try common.runner()
    let results = try runner.run(job) {
      Output.line("listening on \($0)", to: common.json ? Output.error : Output.standard)
    }
    guard let responder = results.listening.first else { return }
    let wanted = UInt64(peers)
    if responder[.connections] != wanted { throw Failure("\(responder[.connections]) of \(wanted) peers are there") }
    let periods = job.seconds / keepAliveSeconds
    if responder[.keepAlives] < wanted * UInt64(periods) / 100 * 99 {
      throw Failure("only \(responder[.keepAlives]) keep-alives of \(wanted) peers came in \(job.seconds) s")
    }
    let elapsed = Double(responder[.elapsedNanoseconds])
    var report = Report()
    report.add("peers", wanted)
    report.add("bytes_per_peer", Self.growth(responder) / Double(peers))
    report.add("rss_mib", Double(responder[.residentAfter]) / 0x10_0000)
    report.add("cpu_percent_with_keepalive", Double(responder[.cpuNanoseconds]) / elapsed * 100)
    report.add("keep_alive_seconds", UInt64(keepAliveSeconds))
    report.add("keepalives_answered", responder[.keepAlives])
    if responder[.keepAlives] > 0 {
      report.add("cpu_us_per_keepalive", Double(responder[.cpuNanoseconds]) / Double(responder[.keepAlives]) / 1e3)
    }
    report.add("peak_rss_mib", Double(responder[.residentBytes]) / 0x10_0000)
    if let dialler = results.connecting.first {
      report.add("dialler_bytes_per_peer", Self.growth(dialler) / Double(peers))
    }
    report.add("backend", common.backend.rawValue)
    common.show([report])
  }

  private static func growth(_ end: Measurement) -> Double {
    Double(end[.residentAfter]) - Double(end[.residentBefore])
  }
}

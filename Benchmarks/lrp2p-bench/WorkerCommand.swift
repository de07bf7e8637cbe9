// SPDX-License-Identifier: MIT
import ArgumentParser
import CBenchSystem
import LRP2PCore
import LRP2PReactor

/// One end of a run, as a process of its own: what `ProcessPair` starts. Not for people.
struct WorkerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)

  @Option var kind: Kind
  @Option var aead: AEAD
  @Option var seconds: Int
  @Option var datagram: Int
  @Option var connections: Int
  @Flag var spin = false
  @Flag var oneCore = false
  @Option var congestion = EngineConfiguration().congestion
  @Option var ecn = EngineConfiguration().usesECN ? Toggle.on : .off
  @Option var aeadProvider = AEADProvider.automatic
  @Option var backend = ReactorConfiguration().backend
  @Flag var baselinesOnly = false
  @Option var peers = 0
  @Option var active = 0
  @Option var messageBytes = 0
  @Option var keepAlive = 0
  @Option var rate = 0
  @Option var reactors = 1
  @Option var hugePages: Toggle?
  @Option var filter = Toggle.off
  @Option var flood: FloodKind?
  @Flag var isBare = false
  @Flag var isUnread = false
  @Option var start: Instant = 0
  @Option var thirdParty: String?
  @Option var listen: String?
  @Option var connect: String?
  @Option var parent: Int32

  static func arguments(_ job: Job, listen: Address? = nil, connect: Address? = nil) -> [String] {
    var arguments = [
      "worker", "--kind", job.kind.rawValue, "--aead", job.aead.name, "--seconds", "\(job.seconds)",
      "--datagram", "\(job.datagram)", "--connections", "\(job.connections)",
      "--parent", "\(bench_process_id())",
    ]
    if job.spin { arguments.append("--spin") }
    arguments += [
      "--congestion", job.congestion.rawValue, "--ecn", job.ecn.rawValue, "--aead-provider", job.aeadProvider.rawValue,
    ]
    arguments += ["--backend", job.backend.rawValue]
    if job.oneCore { arguments.append("--one-core") }
    if job.baselinesOnly { arguments.append("--baselines-only") }
    arguments += [
      "--peers", "\(job.peers)", "--active", "\(job.active)", "--message-bytes", "\(job.messageBytes)", "--keep-alive",
      "\(job.keepAlive)",
    ]
    arguments += [
      "--reactors", "\(job.reactors)", "--rate", "\(job.rate)", "--filter", job.filter.rawValue, "--start",
      "\(job.start)",
    ]
    if let hugePages = job.hugePages { arguments += ["--huge-pages", hugePages.rawValue] }
    if let flood = job.flood { arguments += ["--flood", flood.rawValue] }
    if job.isBare { arguments.append("--is-bare") }
    if job.isUnread { arguments.append("--is-unread") }
    if let thirdParty = job.thirdParty { arguments += ["--third-party", "\(thirdParty)"] }
    if let listen { arguments += ["--listen", "\(listen)"] }
    if let connect { arguments += ["--connect", "\(connect)"] }
    return arguments
  }

  func run() throws {
    try check(bench_end_with_parent(parent), "follow the parent process")
    do {
      let job = Job(
        kind: kind, aead: aead, seconds: seconds, datagram: datagram, connections: connections, spin: spin,
        oneCore: oneCore, congestion: congestion, ecn: ecn, aeadProvider: aeadProvider, backend: backend,
        baselinesOnly: baselinesOnly,
        peers: peers, active: active, messageBytes: messageBytes,
        keepAlive: keepAlive, rate: rate, reactors: reactors, hugePages: hugePages, filter: filter,
        flood: flood,
        isBare: isBare,
        isUnread: isUnread, start: start, thirdParty: thirdParty.flatMap { Address($0) })
      if let address = listen.flatMap({ Address($0) }) {
        ProcessGroup.report(try Ends.listen(job, at: address, announce: ProcessGroup.announce))
      } else if let address = connect.flatMap({ Address($0) }) {
        ProcessGroup.report(try Ends.connect(job, to: address))
      } else {
        ProcessGroup.report(try Ends.alone(job))
      }
    } catch {
      // The parent says it.
      ProcessGroup.report(error)
      throw ExitCode.failure
    }
  }
}

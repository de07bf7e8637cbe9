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
  @Option var backend = ReactorConfiguration().backend
  @Flag var baselinesOnly = false
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
    arguments += ["--congestion", job.congestion.rawValue]
    arguments += ["--backend", job.backend.rawValue]
    if job.oneCore { arguments.append("--one-core") }
    if job.baselinesOnly { arguments.append("--baselines-only") }
    if let listen { arguments += ["--listen", "\(listen)"] }
    if let connect { arguments += ["--connect", "\(connect)"] }
    return arguments
  }

  func run() throws {
    try check(bench_end_with_parent(parent), "follow the parent process")
    do {
      let job = Job(
        kind: kind, aead: aead, seconds: seconds, datagram: datagram, connections: connections, spin: spin,
        oneCore: oneCore, congestion: congestion, backend: backend, baselinesOnly: baselinesOnly)
      if let address = listen.flatMap({ Address($0) }) {
        ProcessPair.report(try Ends.listen(job, at: address, announce: ProcessPair.announce))
      } else if let address = connect.flatMap({ Address($0) }) {
        ProcessPair.report(try Ends.connect(job, to: address))
      }
    } catch {
      // The parent says it.
      ProcessPair.report(error)
      throw ExitCode.failure
    }
  }
}

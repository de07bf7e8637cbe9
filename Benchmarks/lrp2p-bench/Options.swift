// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2P
import LRP2PCore
import LRP2PReactor

extension ReactorBackend: ExpressibleByArgument {}
extension CongestionAlgorithm: ExpressibleByArgument {}
extension AEADProvider: ExpressibleByArgument {}

extension AEADProvider {
  /// A suite for one engine, or for whatever stands in for one.
  func makeSuite() throws -> any CipherSuite {
    do { return try CipherSuites.make(self) } catch { throw Failure("\(ReactorError.configuration(error))") }
  }
}

/// What all scenarios have in common.
struct CommonOptions: ParsableArguments {
  @Option(
    name: .customLong("seconds"),
    help: ArgumentHelp(
      "How long to measure, warm-up included. (default: 10, if the scenario says nothing else)", valueName: "n"))
  var givenSeconds: Int?

  @Option(help: "Only this AEAD; without, all that the machine has.")
  var aead: AEAD?

  @Option(help: "Whose code seals and opens datagrams.")
  var aeadProvider = AEADProvider.automatic

  @Option(help: "What moves the datagrams; epoll where the kernel refuses io_uring.")
  var backend = ReactorConfiguration().backend

  @Option(help: ArgumentHelp("The largest datagram.", valueName: "bytes"))
  var datagram = 1400

  @Option(help: ArgumentHelp("Connections at the same time.", valueName: "n"))
  var connections = 1

  @Option(help: "The congestion controller.")
  var congestion = EngineConfiguration().congestion

  @Option(help: "Whether data is marked as ECN-capable, and marks are read.")
  var ecn = EngineConfiguration().usesECN ? Toggle.on : .off

  @Flag(help: "Both ends on one core; else each has its own.")
  var oneCore = false

  @Flag(help: "One JSON object a line.")
  var json = false

  @Option(help: ArgumentHelp("Run only the end that listens, here.", valueName: "host:port"))
  var listen: String?

  @Option(help: ArgumentHelp("Run only the end that connects, to there.", valueName: "host:port"))
  var connect: String?

  var seconds: Int { givenSeconds ?? 10 }

  /// Checked here and not by the parser, which would add its usage to the line.
  func check() throws {
    if listen != nil, connect != nil { throw Failure("--listen and --connect: each runs one end, so give one of them") }
    if seconds < 1 || seconds > 86_400 { throw Failure("--seconds must be 1 … 86400") }
    if connections < 1 || connections > 1 << 20 { throw Failure("--connections must be 1 … 1048576") }
    do { try job(.transfer, aead: .chacha20Poly1305).configuration.validate() } catch {
      throw Failure("--datagram: \(ReactorError.configuration(error))")
    }
  }

  func job(_ kind: Kind, aead: AEAD) -> Job {
    Job(
      kind: kind, aead: aead, seconds: seconds, datagram: datagram, connections: connections, oneCore: oneCore,
      congestion: congestion, ecn: ecn, aeadProvider: aeadProvider, backend: backend)
  }

  /// Those to measure, in turn.
  func aeads() throws -> [AEAD] {
    let suite = try aeadProvider.makeSuite()
    if let aead {
      if !suite.supports(aead) { throw Failure("this machine has no \(aead.name)") }
      return [aead]
    }
    return AEAD.allCases.filter(suite.supports)
  }

  /// Adds what the ciphers were.
  func addAEAD(_ aead: AEAD, to report: inout Report) throws {
    report.add("aead", aead.name)
    report.add("aead_provider", try aeadProvider.makeSuite().aeadProvider)
  }

  /// The one to measure, for scenarios to which it makes little difference.
  func oneAEAD() throws -> AEAD { try aeads().last! }

  /// For scenarios of more than two ends.
  func checkNoSingleEnd() throws {
    if listen != nil || connect != nil { throw Failure("--listen and --connect: this scenario has more than two ends") }
  }

  /// Where the job's ends run.
  func runner() throws -> Runner {
    do {
      if let listen { return .listening(try Resolver.addresses(of: listen)[0]) }
      if let connect { return .connecting(try Resolver.addresses(of: connect)[0]) }
    } catch { throw Failure("\(error)") }
    return .pair
  }

  /// Prints what was measured.
  func show(_ reports: [Report]) {
    if json { for report in reports { Output.line(report.json) } } else { Output.line(Report.table(reports)) }
  }
}

/// Both ends as two processes, or one of them in this.
enum Runner {
  case pair
  case listening(Address)
  case connecting(Address)

  /// - Parameter announce: told once where the listening end is, when that is all there is.
  mutating func run(_ job: Job, announce: (Address) -> Void) throws -> ProcessPair.Results {
    switch self {
    case .pair:
      return try ProcessPair.run(job)
    case .connecting(let address):
      return ProcessPair.Results(connecting: try Ends.connect(job, to: address))
    case .listening(let address):
      var job = job
      job.longestWait = .never
      var bound = address
      let measurements = try Ends.listen(job, at: address) {
        bound = $0
        // The runs that follow keep the port.
        if address != $0 || address.port != 0 { announce($0) }
      }
      self = .listening(bound)
      return ProcessPair.Results(listening: measurements)
    }
  }
}

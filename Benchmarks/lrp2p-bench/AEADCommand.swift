// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation

/// What it costs to seal and to open a datagram, for each library and each AEAD.
struct AEADCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "aead",
    abstract: "Nanoseconds to seal and to open a datagram, by library and AEAD.",
    discussion: """
      Batches as the protocol makes them, 184 datagrams in place, on one core and without sockets. All that are measured \
      take turns, so that they see the same machine; the figures are medians. Without --aead-provider: all libraries that \
      there are.
      """)

  @Option(help: "Only this AEAD; without, all that the machine has.")
  var aead: AEAD?

  @Option(help: "Only the code of this library.")
  var aeadProvider: AEADProvider?

  @Option(help: ArgumentHelp("The size of a datagram.", valueName: "bytes"))
  var datagram = 1400

  @Option(help: ArgumentHelp("Keys that take turns, one for each datagram.", valueName: "n"))
  var keys = 1

  @Flag(help: "One JSON object a line.")
  var json = false

  func run() throws {
    if datagram < 32 || datagram > 16_384 { throw Failure("--datagram must be 32 … 16384") }
    if keys < 1 || keys > 1 << 20 { throw Failure("--keys must be 1 … 1048576") }
    let runs = try makeRuns()
    for round in 0..<41 {
      // Not the first: what the machine has to be warm for.
      for run in runs { try run.measure(isCounted: round > 0) }
    }
    let reports = runs.map { $0.report(datagram: datagram, keys: keys) }
    if json { for report in reports { Output.line(report.json) } } else { Output.line(Report.table(reports)) }
  }

  private func makeRuns() throws -> [AEADRun] {
    var suites: [any CipherSuite] = []
    if let aeadProvider {
      suites = [try aeadProvider.makeSuite()]
    } else {
      suites = AEADProvider.allCases.filter { $0 != .automatic }.compactMap { try? $0.makeSuite() }
    }
    var runs: [AEADRun] = []
    for suite in suites {
      for aead in AEAD.allCases where suite.supports(aead) && (self.aead ?? aead) == aead {
        runs.append(AEADRun(suite, aead, datagram: datagram, keys: keys))
      }
    }
    if runs.isEmpty { throw Failure("this machine has no \(aead?.name ?? "AEAD")") }
    return runs
  }
}

/// One library's way with one AEAD.
private final class AEADRun {
  private let suite: any CipherSuite
  private let aead: AEAD
  private var arena: Arena
  private var jobs: Column<AEADJob>
  private let keys: KeyTable
  private var seals: [Double] = []
  private var opens: [Double] = []
  private var packetNumber: UInt64 = 0
  private var place = 0

  /// Datagrams of the protocol's usual send call: four messages of 46.
  private static var batch: Int { 184 }
  private static var batchesPerRound: Int { 50 }

  init(_ suite: any CipherSuite, _ aead: AEAD, datagram: Int, keys: Int) {
    self.suite = suite
    self.aead = aead
    arena = Arena(byteCount: Self.batch * datagram)
    jobs = Column(repeating: AEADJob(), count: Self.batch)
    for index in 0..<Self.batch {
      jobs[index].offset = index * datagram
      jobs[index].length = datagram
    }
    var random = SeededRandom(seed: 1)
    var rows = KeyTable(repeating: TrafficKey(), count: keys)
    for row in KeyRow.all(keys) {
      for index in 0..<32 { rows[row].bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
      rows[row].aead = aead.rawValue
    }
    self.keys = rows
  }

  func measure(isCounted: Bool) throws {
    var sealing: Nanoseconds = 0
    var opening: Nanoseconds = 0
    for _ in 0..<Self.batchesPerRound {
      for index in 0..<Self.batch {
        jobs[index].packetNumber = packetNumber
        jobs[index].key = KeyRow(place)
        packetNumber += 1
        place = place + 1 == keys.count ? 0 : place + 1
      }
      let start = currentInstant()
      suite.seal(jobs, count: Self.batch, in: &arena, keys: keys)
      let middle = currentInstant()
      suite.open(&jobs, count: Self.batch, in: &arena, keys: keys)
      opening += currentInstant() - middle
      sealing += middle - start
      for index in 0..<Self.batch where !jobs[index].opened { throw Failure("a datagram does not open") }
    }
    if !isCounted { return }
    let count = Double(Self.batch * Self.batchesPerRound)
    seals.append(Double(sealing) / count)
    opens.append(Double(opening) / count)
  }

  func report(datagram: Int, keys: Int) -> Report {
    var report = Report()
    report.add("aead", aead.name)
    report.add("aead_provider", suite.aeadProvider)
    report.add("seal_ns", seals.sorted()[seals.count / 2])
    report.add("open_ns", opens.sorted()[opens.count / 2])
    report.add("datagram_bytes", UInt64(datagram))
    report.add("keys", UInt64(keys))
    return report
  }
}

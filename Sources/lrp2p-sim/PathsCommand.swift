// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2PCore
import LRP2PSimulation

/// Plays the table of paths.
struct PathsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lrp2p-sim paths",
    abstract: "Plays a table of paths in virtual time, and tells what comes of each.",
    discussion: """
      A row shows medians over the seeds, and passes if these meet all its bars, of which it names the first; * marks proposals. Below \
      the table stands which seeds miss a bar by themselves, and the command that plays the worst of them again.
      """)

  @Option(help: ArgumentHelp("Only this path; may be given several times.", valueName: "name"))
  var only: [String] = []

  @Option(help: ArgumentHelp("The first seed, and the only one unless --seeds is given.", valueName: "n"))
  var seed: UInt64?

  @Option(help: ArgumentHelp("How many seeds; without --seed 20.", valueName: "n"))
  var seeds: UInt64?

  @Option(help: "Only this congestion controller; without, each.")
  var congestion: CongestionAlgorithm?

  @Option(
    help: ArgumentHelp(
      "Write samples of every flow there, as CSV: of one path, seed and controller.", valueName: "file"))
  var trace: String?

  @Flag(help: "Tell the paths and their bars, and play none.")
  var list = false

  @Flag(help: "Exit status 1 if the default controller misses a bar.")
  var strict = false

  @Flag(help: "One JSON object a path and controller.")
  var json = false

  private var range: Range<UInt64> {
    let first = seed ?? 1
    let count = max(seeds ?? (seed == nil ? 20 : 1), 1)
    return first..<first + min(count, .max - first)
  }

  private func paths() throws -> [PathCase] {
    let table = PathCase.table
    guard !only.isEmpty else { return table }
    return try only.map { name throws(Failure) in
      guard let path = table.first(where: { $0.name == name }) else {
        throw Failure("--only: there is no path \(name) (\(table.map(\.name).joined(separator: ", ")))")
      }
      return path
    }
  }

  func play() throws {
    let paths = try paths()
    let controllers = congestion.map { [$0] } ?? [.bbr, .cubic]
    if list {
      for path in paths {
        Output.line(
          Output.padded(path.name, PathTableText.pathWidth) + Output.padded(path.barsText, 37) + path.summary)
      }
      return
    }
    if trace != nil, paths.count * controllers.count * range.count != 1 {
      throw Failure("--trace wants one path (--only), one seed (--seed) and one controller (--congestion)")
    }
    if !json { Output.line(PathTableText.header(controllers)) }
    var results: [PathResult] = []
    for path in paths {
      let row = try controllers.map { try play(path, $0) }
      if json {
        for result in row { Output.line(result.json) }
      } else {
        Output.line(PathTableText.row(row))
      }
      results += row
    }
    if !json { for result in results where !result.missed.isEmpty { Output.line(result.missedText) } }
    let isMissed = results.contains { $0.congestion == EngineConfiguration().congestion && !$0.isPassed }
    if strict, isMissed { Glibc.exit(1) }
  }

  private func play(_ path: PathCase, _ controller: CongestionAlgorithm) throws -> PathResult {
    var outcomes: [PathOutcome] = []
    for seed in range {
      let interval = trace == nil ? 0 : max(path.roundTrip / 20, 1_000_000)
      let outcome = path.play(seed: seed, congestion: controller, sampling: interval)
      if let trace { try Output.write(outcome.samples.csv, to: trace) }
      if let failure = outcome.failure {
        throw Failure("\(failure); play it again: \(path.command(seed: seed, controller))")
      }
      outcomes.append(outcome)
    }
    return PathResult(path, controller, outcomes)
  }
}

extension PathCase {
  /// What plays one seed of it alone.
  func command(seed: UInt64, _ controller: CongestionAlgorithm) -> String {
    "lrp2p-sim paths --only \(name) --congestion \(controller.rawValue) --seed \(seed)"
  }
}

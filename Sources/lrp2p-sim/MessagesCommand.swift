// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2PCore
import LRP2PSimulation

/// Plays exchanges of messages.
struct MessagesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lrp2p-sim messages",
    abstract:
      "Plays two hosts that exchange messages over paths that lose, reorder and stall, all drawn from the seed.",
    discussion: "Exit status 1 if a message is missing, comes twice, late in its lane or wrong, or if memory is left.")

  @Option(help: ArgumentHelp("The first seed.", valueName: "n"))
  var seed: UInt64 = 1

  @Option(help: ArgumentHelp("How many seeds.", valueName: "n"))
  var seeds: UInt64 = 1

  @Flag(help: "One JSON object a seed.")
  var json = false

  func play() throws {
    for seed in seed..<seed + min(seeds, .max - seed) {
      let result = try MessageExchange(drawnFrom: seed).play(seed: seed)
      let sent = result.first.peers.values.first
      if json {
        Output.line(
          """
          {"seed":\(seed),"messages":\(sent?.sent ?? 0),"given_up":\(result.statistics.messagesGivenUp),\
          "skipped":\(result.statistics.messagesSkipped),"seconds":\(result.seconds),"full":\(result.first.fullAnswers),\
          "trace_hash":"\(String(result.traceHash, radix: 16))"}
          """)
      }
      guard result.faults.isEmpty else {
        let faults = result.faults.prefix(4).joined(separator: "; ")
        Output.line("lrp2p-sim: \(faults); play it again: lrp2p-sim messages --seed \(seed)", to: 2)
        Glibc.exit(1)
      }
    }
    if !json { Output.line("\(seeds) worlds of messages, every message where it belongs") }
  }
}

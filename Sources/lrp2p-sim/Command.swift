// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2PCore
import LRP2PSimulation

extension Profile: ExpressibleByArgument {}
extension HostileProfile: ExpressibleByArgument {}
extension CongestionAlgorithm: ExpressibleByArgument {}

/// Plays a profile in virtual time.
@main
struct Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lrp2p-sim",
    abstract: "Plays LRP2P's core in virtual time; everything follows from the seed.",
    discussion: """
      Exit status 1 as soon as an invariant breaks; the line on standard error is the command that plays it again.

      lrp2p-sim paths plays a table of paths, each with a bar (lrp2p-sim paths --help).
      lrp2p-sim messages plays exchanges of messages (lrp2p-sim messages --help).
      lrp2p-sim game and lrp2p-sim fanout tell how old messages are when they come (lrp2p-sim game --help).
      """)

  @Argument(help: "The world: \(Profile.allCases.map(\.rawValue).joined(separator: ", ")).")
  var profile: Profile

  @Option(help: ArgumentHelp("The first seed.", valueName: "n"))
  var seed: UInt64 = 1

  @Option(help: ArgumentHelp("How many seeds.", valueName: "n"))
  var seeds: UInt64 = 1

  @Option(
    help: ArgumentHelp("Peers of a crowd, at least 10; hostile peers; connections that nobody reads.", valueName: "n"))
  var peers: Int?

  @Option(help: "What hostile peers do; without, everything in turn.")
  var hostility: HostileProfile?

  @Option(help: ArgumentHelp("Datagrams a second of each hostile peer.", valueName: "n"))
  var hostileRate: UInt64?

  @Option(help: ArgumentHelp("Receive pool in KiB.", valueName: "n"))
  var poolKib: Int?

  @Option(help: ArgumentHelp("Bytes to send.", valueName: "n"))
  var bytes: UInt64?

  @Option(help: ArgumentHelp("Virtual seconds, done or not; without, until done.", valueName: "n"))
  var seconds: Double?

  @Option(help: "The congestion controller.")
  var congestion: CongestionAlgorithm?

  @Option(help: ArgumentHelp("Controllers of flows that share the path, comma-separated.", valueName: "cubic,bbr,…"))
  var flows: String?

  @Option(help: ArgumentHelp("Forward rate in Mbit/s.", valueName: "mbit"))
  var rate: Double?

  @Option(help: ArgumentHelp("Round trip in ms.", valueName: "n"))
  var rttMs: Double?

  @Option(help: ArgumentHelp("Queue in bandwidth-delay products.", valueName: "x"))
  var bufferBdp: Double?

  @Option(help: ArgumentHelp("Probability of loss, each way.", valueName: "p"))
  var loss: Double?

  @Option(help: ArgumentHelp("The return path is so many times narrower.", valueName: "n"))
  var returnRatio: Double?

  @Option(help: ArgumentHelp("The peer acknowledges so many packets at once.", valueName: "n"))
  var ackRatio: Int?

  @Option(help: ArgumentHelp("A host gathers for so many microseconds before it takes what has come.", valueName: "n"))
  var turnUs: Double?

  @Option(help: ArgumentHelp("First sequence number.", valueName: "n"))
  var startSequence: UInt32?

  @Flag(help: "The sender knows the path from an earlier connection.")
  var rememberedPath = false

  @Flag(help: "The controller begins at the path's rate.")
  var fullRate = false

  @Option(help: ArgumentHelp("Write samples of every flow there, as CSV.", valueName: "file"))
  var trace: String?

  @Option(help: ArgumentHelp("Draw the samples there, as SVG.", valueName: "file"))
  var picture: String?

  @Flag(help: "One JSON object a seed.")
  var json = false

  static func main() {
    do {
      // No profile: it takes other options.
      if CommandLine.arguments.dropFirst().first == "paths" {
        try PathsCommand.parseOrExit(Array(CommandLine.arguments.dropFirst(2))).play()
      } else if CommandLine.arguments.dropFirst().first == "messages" {
        try MessagesCommand.parseOrExit(Array(CommandLine.arguments.dropFirst(2))).play()
      } else if let word = CommandLine.arguments.dropFirst().first, word == "game" || word == "fanout" {
        try GameCommand.parseOrExit(Array(CommandLine.arguments.dropFirst(2))).play(isFanout: word == "fanout")
      } else {
        try parseOrExit().play()
      }
    } catch {
      Output.line("lrp2p-sim: \(error)", to: 2)
      Glibc.exit(1)
    }
  }

  private func scenario() throws -> Scenario {
    var scenario = Scenario(profile)
    if let bytes { scenario.bytes = bytes }
    if let seconds { scenario.seconds = seconds }
    if let congestion { scenario.congestion = congestion }
    if let flows {
      scenario.flows = try flows.split(separator: ",").map { name throws(Failure) in
        guard let controller = CongestionAlgorithm(rawValue: String(name)) else {
          throw Failure("--flows: \(name) is no congestion controller (cubic, bbr)")
        }
        return controller
      }
      if bytes == nil { scenario.bytes = 1 << 50 }
      if seconds == nil { scenario.seconds = 60 }
    }
    let ratio = Double(scenario.rate) / Double(scenario.returnRate)
    if let rate {
      guard rate > 0, rate <= 1e6 else { throw Failure("--rate must be above 0 and at most 1000000") }
      scenario.rate = UInt64(rate * 1e6)
      scenario.returnRate = UInt64(rate * 1e6 / ratio)
    }
    if let returnRatio {
      guard returnRatio >= 1 else { throw Failure("--return-ratio must be at least 1") }
      scenario.returnRate = UInt64(Double(scenario.rate) / returnRatio)
    }
    if let rttMs {
      guard rttMs > 0, rttMs <= 10_000 else { throw Failure("--rtt-ms must be above 0 and at most 10000") }
      scenario.roundTrip = UInt64(rttMs * 1e6)
    }
    if let bufferBdp { scenario.buffer = bufferBdp }
    if let loss {
      guard loss >= 0, loss < 1 else { throw Failure("--loss must be 0 … 1") }
      scenario.loss = loss
    }
    if let ackRatio {
      guard (1...1024).contains(ackRatio) else { throw Failure("--ack-ratio must be 1 … 1024") }
      scenario.ackRatio = ackRatio
    }
    if let turnUs {
      guard turnUs >= 0, turnUs <= 1_000_000 else { throw Failure("--turn-us must be 0 … 1000000") }
      scenario.coalescing = Nanoseconds(turnUs * 1000)
    }
    if let startSequence { scenario.initialSequence = startSequence }
    scenario.residentBytes = { Self.residentBytes() }
    if let peers {
      let least = profile == .crowd ? 10 : 1
      guard (least...100_000).contains(peers) else { throw Failure("--peers must be \(least) … 100000") }
      guard profile != .hostile || peers <= 200 else { throw Failure("--peers of hostile must be 1 … 200") }
      scenario.peers = peers
    }
    scenario.hostility = hostility
    if let hostileRate { scenario.hostileRate = min(hostileRate, 1_000_000) }
    if let poolKib {
      guard (64...1 << 30).contains(poolKib) else { throw Failure("--pool-kib must be 64 … \(1 << 30)") }
      scenario.receivePoolBytes = poolKib << 10
    }
    scenario.isPathRemembered = rememberedPath
    scenario.startsAtFullRate = fullRate
    return scenario
  }

  /// /proc/self/statm; 0 where there is none.
  private static func residentBytes() -> UInt64 {
    let descriptor = unsafe open("/proc/self/statm", O_RDONLY)
    guard descriptor >= 0 else { return 0 }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 128)
    let count = unsafe text.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress!, $0.count) }
    let fields = text.prefix(max(count, 0)).split(separator: UInt8(ascii: " "))
    guard fields.count > 1 else { return 0 }
    return (UInt64(String(decoding: fields[1], as: UTF8.self)) ?? 0) * UInt64(sysconf(Int32(_SC_PAGESIZE)))
  }

  func play() throws {
    var scenario = try scenario()
    var results: [ScenarioResult] = []
    for seed in seed..<seed + max(seeds, 1) {
      scenario.seed = seed
      let result = scenario.run(
        sampling: trace == nil && picture == nil ? 0 : max(scenario.roundTrip / (trace == nil ? 20 : 40), 1_000_000))
      results.append(result)
      Output.line(json ? result.json(scenario) : result.line(scenario))
      if let trace { try Output.write(result.csv, to: trace) }
      if let picture { try Output.write(Chart(scenario, result).svg, to: picture) }
      if let failure = result.failure {
        let loss = profile == .crowd ? loss : nil
        let given = [
          seconds.map { "--seconds \($0) " }, peers.map { "--peers \($0) " }, loss.map { "--loss \($0) " },
          hostility.map { "--hostility \($0.rawValue) " }, congestion.map { "--congestion \($0.rawValue) " },
          poolKib.map { "--pool-kib \($0) " },
        ]
        .compactMap(\.self).joined()
        throw Failure("\(failure); play it again: lrp2p-sim \(profile.rawValue) \(given)--seed \(seed)")
      }
    }
    if !json, results.count > 1 { Output.line(results.summary) }
  }
}

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

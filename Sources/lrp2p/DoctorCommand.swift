// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Report what this machine offers, or what the path to a peer is like.",
    discussion: """
      Without an address it asks the kernel for everything that a reactor asks it for. A line for each thing: whether it is good, limited \
      or missing, what was found, and what to do about it. Exits with 0 whatever it finds, as long as a socket can be had. \
      With HOST:PORT, where any command of lrp2p may listen, it dials the name and each of its addresses, sends PINGs, and looks for the \
      largest datagram that arrives. Exits with 0 when at least one PING was answered, and otherwise as `ping` does.
      """)

  @Argument(help: "Where a peer listens: HOST:PORT. Without it this machine is examined.")
  var address: String?

  @Option(help: "The peer's public key. Without it any key is taken.")
  var peer: String?

  @Option(name: .shortAndLong, help: "How many PINGs: 1 to 65535.")
  var count = 100

  @Option(help: "Milliseconds between them: 1 to 60000.")
  var intervalMs = 20

  @OptionGroup var dial: DialOptions

  @OptionGroup var socket: SocketOptions

  func validate() throws {
    guard (1...65_535).contains(count) else { throw ValidationError("--count takes 1 to 65535") }
    guard (1...60_000).contains(intervalMs) else { throw ValidationError("--interval-ms takes 1 to 60000") }
    guard address != nil || peer == nil && socket.identity == nil else {
      throw ValidationError("--peer and --identity need HOST:PORT")
    }
  }

  func run() throws {
    if let address { return try test(address) }
    do throws(SystemError) { write(try Doctor().examine()) } catch { throw Failure(error) }
    try Output.check()
  }

  private func test(_ address: String) throws {
    let pinned = try peer.map { try SocketOptions.key($0, option: "--peer") }
    let targets = try SocketOptions.resolve(address)
    var reactor = try socket.makeReactor(bind: .any(port: 0), accepting: .nobody) {
      $0.engine.maximumDatagram = PathTest.longestDatagram
    }
    var plan = PathTest.Plan()
    (plan.count, plan.interval) = (count, .milliseconds(UInt64(intervalMs)))
    var test = PathTest(name: address, plan: plan)
    try test.start(targets, engine: &reactor.engine) { engine, addresses, timeout throws(Failure) in
      var dial = dial
      if let timeout { dial.dialTimeout = min(dial.dialTimeout, Double(timeout) / 1e9) }
      return try dial.connect(&engine, to: addresses, pinned: pinned, payload: PingHandler.payload)
    }
    Signals.watch(reactor.remote)
    do throws(SystemError) {
      while !test.isDone(&reactor.engine) {
        try reactor.turn(&test, timeout: nil)
        if Signals.caught != nil { test.interrupt() }
      }
    } catch {
      throw Failure(error)
    }
    write(test.findings)
    try reactor.linger(&test)
    if let signal = Signals.caught, signal != SIGINT || !test.wasAnswered { throw Interrupted(signal: signal) }
    if let failure = test.failure { throw Failure(failure.text, status: failure.status) }
    try Output.check()
  }

  private func write(_ findings: [Doctor.Finding]) {
    let names = findings.map(\.check.count).max() ?? 0
    for finding in findings {
      if socket.json {
        Output.json(fields(finding))
        continue
      }
      let padding = String(repeating: " ", count: names - finding.check.count)
      let status = finding.status.rawValue + String(repeating: " ", count: 7 - finding.status.rawValue.count)
      // A peer's words may be in it.
      Output.line(Output.oneLine("\(status)  \(finding.check)\(padding)  \(finding.found): \(finding.advice)"))
    }
  }

  private func fields(_ finding: Doctor.Finding) -> [(String, String)] {
    var fields = [
      ("check", Output.quoted(finding.check)), ("status", Output.quoted(finding.status.rawValue)),
      ("found", Output.quoted(finding.found)), ("advice", Output.quoted(finding.advice)),
    ]
    fields += finding.texts.map { ($0.name, Output.quoted($0.value)) }
    fields += finding.figures.map { ($0.name, "\($0.value)") }
    return fields
  }
}

// SPDX-License-Identifier: MIT
import ArgumentParser

/// The harness: what the protocol does, beside what the machine could do.
@main
struct Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lrp2p-bench",
    abstract: "Measures LRP2P.",
    discussion: """
      Sender and receiver are two processes on two cores over loopback, unless told otherwise. Exit status 0 means \
      that everything was measured and every byte was right.
      """,
    subcommands: [
      ThroughputCommand.self, EchoCommand.self, AEADCommand.self, CoreCommand.self, HandshakesCommand.self,
      IdleCommand.self,
      FanoutCommand.self, FloodCommand.self, ChurnCommand.self, WindowCommand.self, PatternCommand.self,
      ReaderCommand.self, WorkerCommand.self, WriteCommand.self, PublishCommand.self, MessagesCommand.self,
    ])

  /// Not the parser's own: a failure is one line, on standard error.
  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      let code = exitCode(for: error)
      if code == .success { exit(withError: error) }
      if code != .failure || !(error is ExitCode) {
        let text = message(for: error).split(separator: "\n").first ?? "failed"
        Output.line("lrp2p-bench: \(text)", to: Output.error)
      }
      exit(withError: code)
    }
  }
}

// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc

@main
struct Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lrp2p", abstract: "Files over a reliable, encrypted, peer-to-peer transport on UDP.",
    discussion: """
      Exits with 0 on success, with 1 and one line on standard error on failure, with 10 to 24 where a peer cannot be dialled (11: nobody \
      listens there) and 68 where its name has no address, with 64 for a wrong use, and with 128 and its number after a signal.
      """,
    version: "0.2.0", subcommands: [Keygen.self, Receive.self, Send.self, Pipe.self, Ping.self, DoctorCommand.self])

  private static var isJSON: Bool { CommandLine.arguments.prefix { $0 != "--" }.contains("--json") }

  static func main() {
    ClosedDescriptors.fill()
    // A reader of our output that has gone is an error of write, not the end of the process.
    signal(SIGPIPE, SIG_IGN)
    // Nor is a file beyond the limit of `ulimit -f`.
    signal(SIGXFSZ, SIG_IGN)
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let interrupted as Interrupted {
      if let text = interrupted.text { Output.error(text) }
      Glibc.exit(128 + interrupted.signal)
    } catch let failure as Failure {
      let fields = [("error", Output.quoted(failure.description))]
      // The output of `pipe` is what its peer has sent, and nothing else.
      if isJSON, CommandLine.arguments.dropFirst().first == "pipe" {
        Output.noteJSON(fields)
      } else if isJSON {
        Output.json(fields)
      }
      Output.error(failure.description)
      Glibc.exit(failure.status)
    } catch {
      exit(withError: error)
    }
  }
}

// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

struct Send: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Send files and folders to a receiver.",
    discussion: """
      Prints a line for each file that the receiver has stored. The same command again sends what is missing: files that are there with the \
      same size and time are passed over, and a large one goes on where it was cut off. Exits with 0 only if all are there. Control-C, TERM \
      and HUP end it in order: the receiver is told; a second time it ends at once.
      """)

  @Argument(help: "Where `lrp2p receive` listens: HOST:PORT.")
  var address: String

  @Argument(help: "The files and folders; - is standard input.")
  var files: [String]

  @Option(help: "The receiver's public key. Without it any key is taken, so whoever sits between may read along.")
  var peer: String?

  @Option(help: "Links within folders: keep (send them as links), skip, or follow (send what they lead to).")
  var links = SourceList.Links.keep

  @Option(help: "What the receiver is to call standard input.")
  var name = "stdin"

  @Flag(help: "Pass over files whose name is taken at the receiver, whatever is in them.")
  var skipExisting = false

  @Flag(help: "Compare the digests also of files that have the same size and time.")
  var compare = false

  @Option(help: "What the files' digests are: blake3, or blake2b (as `b2sum -l 256` prints, and slower).")
  var digest = DigestChoice.blake3

  @OptionGroup var progress: ProgressOptions

  @OptionGroup var dial: DialOptions

  @OptionGroup var socket: SocketOptions

  func run() throws {
    let pinned = try peer.map { try SocketOptions.key($0, option: "--peer") }
    let sources = try findSources()
    let targets = try SocketOptions.resolve(address)
    var reactor = try socket.makeReactor(bind: .any(port: 0), accepting: .nobody)
    Signals.watch(reactor.remote)
    let report = TransferReport(asJSON: socket.json, isOne: true)
    var handler = FileSender(
      sources, digest: digest.kind, receiver: address, remote: reactor.remote, report: report,
      progress: progress.line(asJSON: socket.json))
    let connection = try dial.connect(&reactor.engine, to: targets, pinned: pinned)
    do throws(SystemError) {
      while handler.outcome == nil, Signals.caught == nil {
        try reactor.turn(&handler, timeout: nil)
        handler.serve(&reactor.engine)
        handler.note(reactor.engine.statistics(of: connection)?.limitedBy, now: reactor.engine.now)
      }
      if Signals.caught != nil {
        handler.interrupt(&reactor.engine)
        try reactor.flush(&handler, timeout: .seconds(1))
      }
    } catch {
      throw Failure(error)
    }
    if let signal = Signals.caught {
      throw Interrupted(signal: signal, text: "interrupted; the same command again sends what is missing")
    }
    try reactor.linger(&handler)
    if case .failure(let failure) = handler.outcome { throw failure }
    try Output.check()
    handler.tellLimits()
  }

  private func findSources() throws(Failure) -> SourceList {
    var options = SourceList.Options()
    options.links = links
    options.skipsExisting = skipExisting
    options.compares = compare
    options.inputName = Array(name.utf8)
    let sources: SourceList
    do throws(SourceList.Failure) { sources = try SourceList(RawArguments.bytes(of: files), options: options) } catch {
      throw Failure(error.description)
    }
    if sources.leftOut > 0 { Output.note("\(sources.leftOut) FIFOs, sockets or devices are left out") }
    return sources
  }
}

extension SourceList.Links: ExpressibleByArgument {}

/// What `--digest` takes. (The parser would show the number of a `DigestKind`.)
enum DigestChoice: String, CaseIterable, ExpressibleByArgument {
  case blake3, blake2b

  init?(argument: String) {
    guard let kind = Self.allCases.first(where: { argument == $0.rawValue || argument == $0.kind.name }) else {
      return nil
    }
    self = kind
  }

  var kind: DigestKind { self == .blake3 ? .blake3 : .blake2b }
}

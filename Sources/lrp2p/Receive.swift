// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

struct Receive: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Receive files into a folder.",
    discussion: """
      Prints where it listens, and a line for each file: its digest, size, time and rate, and who has sent it. A file gets its name when \
      it is whole and on the disk. What a connection that breaks has brought of a large one stays in the folder's .lrp2p-parts, and the \
      next try of the same sender goes on there. Control-C, TERM and HUP end it in order: the senders are told; a second time it ends at once.
      """)

  @Option(help: "Where to listen: HOST:PORT; port 0 takes any free one.")
  var listen: String

  @Option(help: "A public key that may send; repeat for more. Without it everyone may.")
  var allow: [String] = []

  @Option(help: "The folder for the files.")
  var out = "."

  @Flag(help: "End after one sender. Who dials and sends nothing is none.")
  var once = false

  @OptionGroup var existing: ExistingOptions

  @OptionGroup var limits: LimitOptions

  @OptionGroup var progress: ProgressOptions

  @OptionGroup var socket: SocketOptions

  func run() throws {
    var allowed: Set<PublicKey> = []
    for text in allow { allowed.insert(try SocketOptions.key(text, option: "--allow")) }
    let store: StoreFolder
    do throws(DiskError) { store = try StoreFolder(out) } catch { throw Failure("\(out): \(error)") }
    let address = try SocketOptions.resolve(listen)[0]
    var reactor = try socket.makeReactor(bind: address, accepting: allowed.isEmpty ? .anyone : .keys(allowed))
    var policy = limits.policy(existing: existing.existing)
    policy.isTrusted = !allowed.isEmpty
    let report = TransferReport(asJSON: socket.json, isOne: once)
    DescriptorLimit.raise()
    Signals.watch(reactor.remote)
    var handler = FileReceiver(
      store: store, limits: (policy, limits.partsAge), remote: reactor.remote, report: report,
      progress: progress.line(asJSON: socket.json))
    announce(reactor.localAddress, reactor.engine.publicKey)
    do throws(SystemError) {
      while Signals.caught == nil, !once || handler.served == 0 || handler.isBusy {
        try reactor.turn(&handler, timeout: nil)
        handler.serve(&reactor.engine)
      }
      if Signals.caught != nil {
        handler.stop(&reactor.engine)
        try end(&reactor, &handler)
      }
    } catch {
      throw Failure(error)
    }
    if let signal = Signals.caught { throw Interrupted(signal: signal) }
    try reactor.linger(&handler)
    try Output.check()
    if let failure = report.failure { throw failure }
  }

  private func announce(_ address: Address, _ key: PublicKey) {
    if socket.json {
      Output.json([("listening", Output.quoted("\(address)")), ("key", Output.quoted("\(key)"))])
    } else {
      Output.line("listening on \(address) key \(key)")
    }
    if allow.isEmpty, isatty(STDERR_FILENO) == 1 {
      Output.note("anyone who can reach this port may send files; --allow KEY says who may")
    }
  }

  /// Until the senders have been told and what is half done is put away; five seconds at most.
  private func end(_ reactor: inout Reactor, _ handler: inout FileReceiver) throws(SystemError) {
    let end = currentInstant() + .seconds(5)
    repeat {
      try reactor.turn(&handler, timeout: 20_000_000)
      handler.serve(&reactor.engine)
    } while handler.isBusy && currentInstant() < end
    try reactor.flush(&handler, timeout: .seconds(1))
    handler.store.removeEmptyParts()
  }
}

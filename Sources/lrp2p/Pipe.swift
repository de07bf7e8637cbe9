// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor

struct Pipe: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Standard input to a peer, the peer to standard output.",
    discussion: """
      The end of standard input ends the own direction only; the command ends when the peer has ended its own too. \
      Where it listens it takes one peer, and prints `listening on HOST:PORT key PUBLICKEY` on standard error; a ping is none. Control-C, \
      TERM and HUP end it: the peer is told.
      """)

  @Option(help: "Wait for a peer at HOST:PORT; port 0 takes any free one.")
  var listen: String?

  @Option(help: "Dial HOST:PORT.")
  var connect: String?

  @Option(help: "With --connect: the peer's public key. Without it any key is taken.")
  var peer: String?

  @Option(help: "With --listen: a public key that may connect; repeat for more. Without it everyone may.")
  var allow: [String] = []

  @Flag(help: "The peer may be the original (version 0), which neither proves who it is nor says when it ends.")
  var original = false

  @Option(help: "End when so many bytes have come and all of standard input is acknowledged.")
  var bytes: UInt64?

  @OptionGroup var dial: DialOptions

  @OptionGroup var socket: SocketOptions

  func validate() throws {
    guard (listen == nil) != (connect == nil) else {
      throw ValidationError("pipe takes one of --listen and --connect")
    }
    guard !original || (peer == nil && allow.isEmpty) else {
      throw ValidationError(
        "the original peer has no lasting key to ask for: --original goes without --peer and --allow")
    }
  }

  func run() throws {
    var allowed: Set<PublicKey> = []
    for text in allow { allowed.insert(try SocketOptions.key(text, option: "--allow")) }
    let pinned = try peer.map { try SocketOptions.key($0, option: "--peer") }
    let addresses = try SocketOptions.resolve(listen ?? connect ?? "")
    var reactor = try socket.makeReactor(
      bind: listen == nil ? .any(port: 0) : addresses[0],
      accepting: listen == nil ? .nobody : allowed.isEmpty ? .anyone : .keys(allowed)
    ) {
      $0.engine.acceptsOriginal = original
      // What a slow reader leaves unread, beyond what waits for standard output.
      $0.engine.receivePeerBytes = 8 << 20
      $0.engine.receivePoolBytes = 16 << 20
    }
    var handler = PipeHandler(peerName: connect ?? "the peer", endsAfter: bytes)
    if listen != nil {
      let (address, key) = ("\(reactor.localAddress)", "\(reactor.engine.publicKey)")
      if socket.json {
        Output.noteJSON([("listening", Output.quoted(address)), ("key", Output.quoted(key))])
      } else {
        Output.note("listening on \(address) key \(key)")
      }
    } else {
      handler.dialled(
        try dial.connect(
          &reactor.engine, to: addresses, pinned: pinned, versions: original ? .either : .version1))
    }
    // The reactor turns on while a slow reader takes the rest: the peer may repeat what it has not heard the answer to.
    Signals.watch(reactor.remote)
    while !handler.isDone, Signals.caught == nil { try turn(&reactor, &handler) }
    if let signal = Signals.caught {
      handler.interrupt(&reactor.engine)
      do throws(SystemError) { try reactor.flush(&handler, timeout: .seconds(1)) } catch { throw Failure(error) }
      throw Interrupted(signal: signal)
    }
    try reactor.linger(&handler)
    if case .failure(let failure) = handler.outcome { throw failure }
  }

  /// Waits for the reactor, standard input or standard output, whichever is wanted, and serves them.
  private func turn(_ reactor: inout Reactor, _ handler: inout PipeHandler) throws(Failure) {
    let none: Int32 = -1
    // Whole milliseconds, rounded up: the pacer's bursts cover that.
    let timeout = reactor.nextTimeout.map { Int32(clamping: ($0 + 999_999) / 1_000_000) } ?? -1
    var entries: InlineArray<3, pollfd> = [
      pollfd(fd: reactor.fileDescriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: handler.wantsInput ? STDIN_FILENO : none, events: Int16(POLLIN), revents: 0),
      pollfd(fd: handler.wantsOutput ? handler.outputDescriptor : none, events: Int16(POLLOUT), revents: 0),
    ]
    var span = entries.mutableSpan
    let result = unsafe span.withUnsafeMutableBufferPointer { unsafe poll($0.baseAddress!, 3, timeout) }
    guard result >= 0 || errno == EINTR else { throw Failure("poll: \(Files.errorText())") }
    if entries[1].revents != 0 { handler.readInput(&reactor.engine) }
    do throws(SystemError) { try reactor.turn(&handler, timeout: 0) } catch { throw Failure(error) }
    handler.writeOutput(&reactor.engine)
  }
}

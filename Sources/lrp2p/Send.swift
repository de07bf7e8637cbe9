import ArgumentParser
import LRP2P

struct Send: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Send files to a receiver.")

  @Argument(help: "Where `lrp2p receive` listens: HOST:PORT.")
  var address: String

  @Argument(help: "The files.")
  var files: [String]

  @Option(help: "The receiver's public key. Without it any key is taken, so whoever sits between may read along.")
  var peer: String?

  @OptionGroup var progress: ProgressOptions

  @OptionGroup var socket: SocketOptions

  func run() throws {
    let pinned = try peer.map { try SocketOptions.key($0, option: "--peer") }
    var handler = try FileSender(
      files, receiver: address, asJSON: socket.json, progress: progress.line(asJSON: socket.json))
    let target = try SocketOptions.resolve(address)
    var reactor = try socket.makeReactor(bind: .any(port: 0))
    let connection: Peer
    do throws(EngineError) { connection = try reactor.engine.connect(to: target, pinned: pinned) } catch {
      throw Failure("no room for a connection")
    }
    do throws(SystemError) {
      while handler.outcome == nil {
        try reactor.turn(&handler, timeout: nil)
        handler.note(reactor.engine.statistics(of: connection)?.limitedBy, now: reactor.engine.now)
      }
    } catch {
      throw Failure(error)
    }
    try reactor.linger(&handler)
    if case .failure(let failure) = handler.outcome { throw failure }
    handler.tellLimits()
  }
}

import ArgumentParser
import LRP2P

struct Receive: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Receive files into a folder.")

  @Option(help: "Where to listen: HOST:PORT; port 0 takes any free one.")
  var listen: String

  @Option(help: "A public key that may send; repeat for more. Without it everyone may.")
  var allow: [String] = []

  @Option(help: "The folder for the files.")
  var out = "."

  @Flag(help: "End after one connection.")
  var once = false

  @OptionGroup var progress: ProgressOptions

  @OptionGroup var socket: SocketOptions

  func run() throws {
    var allowed: Set<PublicKey> = []
    for text in allow { allowed.insert(try SocketOptions.key(text, option: "--allow")) }
    let address = try SocketOptions.resolve(listen)
    var reactor = try socket.makeReactor(bind: address)
    var handler = try FileReceiver(
      folder: out, allowed: allowed, asJSON: socket.json, progress: progress.line(asJSON: socket.json))
    let key = "\(reactor.engine.publicKey)"
    if socket.json {
      Output.json([("listening", Output.quoted("\(reactor.localAddress)")), ("key", Output.quoted(key))])
    } else {
      Output.line("listening on \(reactor.localAddress) key \(key)")
    }
    do throws(SystemError) {
      while !once || handler.ended == 0 { try reactor.turn(&handler, timeout: nil) }
    } catch {
      throw Failure(error)
    }
    try reactor.linger(&handler)
    if let failure = handler.failure { throw failure }
  }
}

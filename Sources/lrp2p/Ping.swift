import ArgumentParser
import LRP2P
import LRP2PTool

struct Ping: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Dial a peer and measure round trips.",
    discussion: "Exits with 0 when at least one PING was answered.")

  @Argument(help: "Where the peer listens: HOST:PORT.")
  var address: String

  @Option(help: "The peer's public key. Without it any key is taken.")
  var peer: String?

  @Option(help: "How many PINGs: 1 to 65535.")
  var count = 5

  @Option(help: "Milliseconds between them: 1 to 60000.")
  var intervalMs = 1000

  @OptionGroup var socket: SocketOptions

  func validate() throws {
    guard (1...65_535).contains(count) else { throw ValidationError("--count takes 1 to 65535") }
    guard (1...60_000).contains(intervalMs) else { throw ValidationError("--interval-ms takes 1 to 60000") }
  }

  func run() throws {
    let pinned = try peer.map { try SocketOptions.key($0, option: "--peer") }
    let target = try SocketOptions.resolve(address)
    var reactor = try socket.makeReactor(bind: .any(port: 0)) { $0.engine.acceptsConnections = false }
    var handler = PingHandler(
      name: address, count: count, interval: UInt64(intervalMs) * 1_000_000, asJSON: socket.json)
    do throws(EngineError) { try handler.started(reactor.engine.connect(to: target, pinned: pinned)) } catch {
      throw Failure("no room for a connection")
    }
    do throws(SystemError) {
      while handler.end == nil { try reactor.turn(&handler, timeout: nil) }
    } catch {
      throw Failure(error)
    }
    handler.summarise()
    try reactor.linger(&handler)
    if case .failure(let failure) = handler.end { throw failure }
  }
}

/// Sends a PING each interval, and takes what has not come back by the next but one for lost.
struct PingHandler: Handler {
  private(set) var end: Result<Void, Failure>?
  private let name: String
  private let count: Int
  private let interval: UInt64
  private let asJSON: Bool
  private var peer: Peer?
  private var dialled: Instant = 0
  private var sentAt: [Instant] = []
  private var trips = RoundTrips()

  init(name: String, count: Int, interval: UInt64, asJSON: Bool) {
    self.name = name
    self.count = count
    self.interval = interval
    self.asJSON = asJSON
  }

  mutating func started(_ peer: Peer) {
    self.peer = peer
    dialled = currentInstant()
  }

  mutating func connected(_ peer: Peer, incoming: Bool, engine: inout Engine) {
    let microseconds = Double(currentInstant() - dialled) / 1000
    if asJSON {
      Output.json([("handshake_us", Output.decimal(microseconds))])
    } else {
      let key = engine.statistics(of: peer).map { "\($0.key)" } ?? ""
      Output.line("\(name) key \(key): handshake \(Output.decimal(microseconds / 1000)) ms")
    }
    send(peer, &engine)
  }

  mutating func timerFired(token: UInt64, engine: inout Engine) {
    guard let peer, end == nil else { return }
    if sentAt.count < count { send(peer, &engine) } else { finish(peer, &engine) }
  }

  mutating func pong(_ peer: Peer, token: UInt16, engine: inout Engine) {
    let index = Int(token) - 1
    guard index < sentAt.count, sentAt[index] != 0 else { return }
    let microseconds = Double(currentInstant() - sentAt[index]) / 1000
    sentAt[index] = 0
    trips.add(microseconds)
    if asJSON {
      Output.json([("seq", "\(token)"), ("rtt_us", Output.decimal(microseconds))])
    } else {
      Output.line("seq=\(token) time=\(Output.decimal(microseconds / 1000)) ms")
    }
    if trips.count == count { finish(peer, &engine) }
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if end == nil { end = .failure(Failure(reason, of: name)) }
  }

  private mutating func send(_ peer: Peer, _ engine: inout Engine) {
    sentAt.append(currentInstant())
    engine.ping(peer, token: UInt16(sentAt.count))
    engine.setTimer(at: engine.now + interval, token: 0)
  }

  private mutating func finish(_ peer: Peer, _ engine: inout Engine) {
    end = trips.count > 0 ? .success(()) : .failure(Failure("\(name) answered none of \(sentAt.count)"))
    engine.close(peer, code: 0)
  }

  /// The line at the end, as ping(8) has it.
  func summarise() {
    guard !sentAt.isEmpty else { return }
    if asJSON {
      var fields = [("sent", "\(sentAt.count)"), ("received", "\(trips.count)")]
      if trips.count > 0 {
        fields += [
          ("min_us", Output.decimal(trips.shortest)), ("avg_us", Output.decimal(trips.average)),
          ("max_us", Output.decimal(trips.longest)),
        ]
      }
      Output.json(fields)
    } else {
      Output.line(trips.summary(sent: sentAt.count))
    }
  }
}

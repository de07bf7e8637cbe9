// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

struct Ping: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Dial a peer and measure round trips.",
    discussion: """
      On a terminal it goes on until Control-C, which prints the summary; otherwise it sends five. Exits with 0 when at least one PING \
      was answered. A listener that waits for one peer goes on waiting.
      """)

  @Argument(help: "Where the peer listens: HOST:PORT.")
  var address: String

  @Option(help: "The peer's public key. Without it any key is taken.")
  var peer: String?

  @Option(name: .shortAndLong, help: "How many PINGs: 1 to 65535. (default: no end on a terminal, otherwise 5)")
  var count: Int?

  @Option(help: "Milliseconds between them: 1 to 60000. (default: 1000)")
  var intervalMs: Int?

  @Option(name: .shortAndLong, help: "The same in seconds: 0.001 to 60.")
  var interval: Double?

  @OptionGroup var dial: DialOptions

  @OptionGroup var socket: SocketOptions

  func validate() throws {
    guard (1...65_535).contains(count ?? 1) else { throw ValidationError("--count takes 1 to 65535") }
    guard (1...60_000).contains(intervalMs ?? 1) else { throw ValidationError("--interval-ms takes 1 to 60000") }
    guard (0.001...60).contains(interval ?? 1) else { throw ValidationError("--interval takes 0.001 to 60 seconds") }
    guard intervalMs == nil || interval == nil else { throw ValidationError("one of --interval and --interval-ms") }
  }

  private var nanoseconds: UInt64 { UInt64(interval.map { $0 * 1e9 } ?? Double(intervalMs ?? 1000) * 1e6) }

  func run() throws {
    let pinned = try peer.map { try SocketOptions.key($0, option: "--peer") }
    let targets = try SocketOptions.resolve(address)
    var reactor = try socket.makeReactor(bind: .any(port: 0), accepting: .nobody)
    var handler = PingHandler(
      name: address, count: count ?? (isatty(STDOUT_FILENO) == 1 ? .max : 5), interval: nanoseconds,
      asJSON: socket.json)
    handler.started(try dial.connect(&reactor.engine, to: targets, pinned: pinned, payload: PingHandler.payload))
    Signals.watch(reactor.remote)
    do throws(SystemError) {
      while handler.end == nil {
        try reactor.turn(&handler, timeout: nil)
        if Signals.caught != nil, handler.end == nil { handler.interrupt(&reactor.engine) }
      }
    } catch {
      throw Failure(error)
    }
    handler.summarise()
    try reactor.linger(&handler)
    if let signal = Signals.caught, signal != SIGINT || !handler.wasAnswered { throw Interrupted(signal: signal) }
    if case .failure(let failure) = handler.end { throw failure }
    try Output.check()
  }
}

/// Sends a PING each interval, and takes what has not come back by the next but one for lost.
struct PingHandler: ReceivingHandler {
  private(set) var end: Result<Void, Failure>?
  private let name: String
  private let count: Int
  private let interval: UInt64
  private let asJSON: Bool
  private var peer: Peer?
  private var dialled: Instant = 0
  /// Of the newest of them, by the token: those before are lost.
  private var sentAt = [Instant](repeating: 0, count: 64)
  private var sent = 0
  private var trips = RoundTrips()

  init(name: String, count: Int, interval: UInt64, asJSON: Bool) {
    self.name = name
    self.count = count
    self.interval = interval
    self.asJSON = asJSON
  }

  /// What a dial says that is none but to ping, so that it takes nobody's place.
  static let payload = Array("lrp2p ping".utf8)

  static func isPing(_ bytes: RawSpan) -> Bool {
    guard bytes.byteCount == payload.count else { return false }
    return payload.indices.allSatisfy { unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) == payload[$0] }
  }

  var wasAnswered: Bool { trips.count > 0 }

  mutating func started(_ peer: Peer) {
    self.peer = peer
    dialled = currentInstant()
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    let microseconds = Double(currentInstant() - dialled) / 1000
    if asJSON {
      Output.json([("handshake_us", Output.decimal(microseconds))])
    } else {
      Output.line("\(name) key \(info.key): handshake \(Output.decimal(microseconds / 1000)) ms")
    }
    send(peer, &engine)
  }

  mutating func timerFired(token: UInt64, engine: inout Engine) {
    guard let peer, end == nil else { return }
    if sent < count { send(peer, &engine) } else { finish(peer, &engine) }
  }

  mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine) {
    let index = Int(token) % sentAt.count
    guard sentAt[index] != 0 else { return }
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
    if end == nil { end = .failure(Failure(reason, of: name, wasAnswered: sent > 0)) }
  }

  private mutating func send(_ peer: Peer, _ engine: inout Engine) {
    sent += 1
    // Tokens are 1 … 65,535.
    let token = UInt16((sent - 1) % 65_535 + 1)
    sentAt[Int(token) % sentAt.count] = currentInstant()
    engine.ping(peer, token: token)
    engine.setTimer(at: engine.now + interval, token: 0)
  }

  /// Control-C: that was all.
  mutating func interrupt(_ engine: inout Engine) { if let peer { finish(peer, &engine) } }

  private mutating func finish(_ peer: Peer, _ engine: inout Engine) {
    end = trips.count > 0 ? .success(()) : .failure(Failure("\(name) answered none of \(sent)"))
    engine.close(peer, code: 0)
  }

  /// The line at the end, as ping(8) has it.
  func summarise() {
    guard sent > 0 else { return }
    if asJSON {
      var fields = [("sent", "\(sent)"), ("received", "\(trips.count)")]
      if trips.count > 0 {
        fields += [
          ("min_us", Output.decimal(trips.shortest)), ("avg_us", Output.decimal(trips.average)),
          ("max_us", Output.decimal(trips.longest)),
        ]
      }
      Output.json(fields)
    } else {
      Output.line(trips.summary(sent: sent))
    }
  }
}

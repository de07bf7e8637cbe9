// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor

/// One end of `scripts/check-readers`: a writer that goes as soon as everything is acknowledged, or a reader that is late.
struct ReaderCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reader", abstract: "A writer, or a slow reader.", shouldDisplay: false)

  enum Face: String, ExpressibleByArgument { case endpoint, callbacks }
  /// What the writer does when everything is acknowledged.
  enum Ending: String, ExpressibleByArgument { case finish, close, drop }

  @Option var over = Face.endpoint
  @Option(help: "Write to this address; without it, read.") var to: String?
  @Option var key: String?
  @Option var bytes: UInt64 = 1 << 20
  @Option var ending = Ending.finish
  @Option(help: "Bytes a second; 0 is as fast as they come.") var rate: UInt64 = 0
  @Option(help: "Milliseconds before anything is accepted or read.") var sleep: UInt64 = 0
  @Option var idleTimeout: UInt64 = 30

  private var configuration: EndpointConfiguration {
    var configuration = EndpointConfiguration()
    // So that most of it is in the engine's hands.
    configuration.readBuffer = 1 << 17
    configuration.writeBuffer = 1 << 26
    configuration.reactor.engine.idleTimeout = .seconds(idleTimeout)
    return configuration
  }

  func run() throws {
    if let to, let key {
      guard let address = Address(to), let key = PublicKey(key) else { throw Failure("reader: no address or key") }
      switch over {
      case .endpoint: try write(to: address, key)
      case .callbacks: try writeByCallbacks(to: address, key)
      }
    } else {
      switch over {
      case .endpoint: try read()
      case .callbacks: try readByCallbacks()
      }
    }
  }

  // MARK: Endpoint

  private func write(to address: Address, _ key: PublicKey) throws {
    let endpoint = try Endpoint(bind: Address("127.0.0.1:0")!, accepting: .anyone, configuration: configuration)
    try write(on: try endpoint.blocking.connect(to: address, expecting: .key(key)))
    // Of a connection that was finished and dropped, the rest arrives meanwhile.
    endpoint.blocking.close(lingering: ending == .drop ? .seconds(Int64(10 * idleTimeout)) : .zero)
  }

  private func write(on connection: Connection) throws {
    // What is acknowledged counts, also where the rest can never be.
    defer { if ending != .drop { Output.line("acknowledged \(connection.acknowledgedBytes)") } }
    let pattern = Pattern(number: 0)
    var at: UInt64 = 0
    while at < bytes {
      let count = Int(min(bytes - at, 1 << 16))
      try connection.blocking.write(
        unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
          var span = unsafe MutableRawSpan(_unsafeBytes: UnsafeMutableRawBufferPointer(buffer))
          pattern.fill(offset: at, into: &span)
          initialized = count
        })
      at += UInt64(count)
    }
    if ending == .drop {
      connection.finish()
      return
    }
    try connection.blocking.flush()
    if ending == .close {
      connection.close()
    } else {
      connection.finish()
      _ = try connection.blocking.closed()
    }
  }

  private func read() throws {
    let endpoint = try Endpoint(bind: Address("127.0.0.1:0")!, accepting: .anyone, configuration: configuration)
    Output.line("listening on \(endpoint.localAddress) key \(endpoint.publicKey)")
    pause(milliseconds: sleep)
    let connection = try endpoint.blocking.accept().blocking
    var check = StreamCheck()
    do throws(TransportError) {
      while true {
        let piece = try connection.read(upTo: 16_384)
        if piece.isEmpty { break }
        unsafe check.take(piece.span.bytes)
        if rate > 0 { pause(milliseconds: UInt64(piece.count) * 1000 / rate) }
      }
      connection.connection.finish()
      Output.line("read \(check.count) \(check.isRight ? "right" : "wrong"): end")
      // The other side may be gone: it is not what is tested.
      _ = try connection.closed()
    } catch {
      Output.line("read \(check.count) \(check.isRight ? "right" : "wrong"): \(error)")
    }
    endpoint.blocking.close(lingering: .seconds(1))
  }

  private func pause(milliseconds: UInt64) {
    if milliseconds > 0 { usleep(UInt32(milliseconds * 1000)) }
  }

  // MARK: Callbacks

  private func writeByCallbacks(to address: Address, _ key: PublicKey) throws {
    var reactor = try Reactor(
      configuration: configuration.reactor, identity: Identity(), bind: Address("127.0.0.1:0")!, accepting: .anyone)
    var handler = CallbackWriter(bytes: bytes, closes: ending == .close)
    let peer = try reactor.engine.connect(to: address, expecting: .key(key))
    reactor.engine.offer(peer, upTo: bytes)
    reactor.engine.finish(peer)
    while handler.end == nil { try reactor.turn(&handler, timeout: nil) }
    // The CLOSE leaves with a turn behind the callback.
    try reactor.turn(&handler, timeout: 0)
    Output.line("acknowledged \(handler.acknowledged), \(handler.end!)")
  }

  private func readByCallbacks() throws {
    var reactor = try Reactor(
      configuration: configuration.reactor, identity: Identity(), bind: Address("127.0.0.1:0")!, accepting: .anyone)
    Output.line("listening on \(reactor.localAddress) key \(reactor.engine.publicKey)")
    var handler = SlowHandler(rate: rate, sleep: .milliseconds(sleep))
    while handler.end == nil { try reactor.turn(&handler, timeout: nil) }
    Output.line(
      "read \(handler.check.count) \(handler.check.isRight ? "right" : "wrong"): \(handler.isFinished ? "end, " : "")\(handler.end!)"
    )
  }
}

/// Whether a stream is the harness's own.
struct StreamCheck {
  private(set) var count: UInt64 = 0
  private(set) var isRight = true
  private let pattern = Pattern(number: 0)

  mutating func take(_ bytes: RawSpan) {
    if !pattern.matches(bytes, offset: count) { isRight = false }
    count += UInt64(bytes.byteCount)
  }
}

/// Writes, and when everything is acknowledged closes or waits for the other side's end.
struct CallbackWriter: SendingHandler {
  let bytes: UInt64
  let closes: Bool
  private(set) var acknowledged: UInt64 = 0
  private(set) var end: CloseReason?
  private let pattern = Pattern(number: 0)

  init(bytes: UInt64, closes: Bool) {
    self.bytes = bytes
    self.closes = closes
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    pattern.fill(offset: offset, into: &bytes)
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    acknowledged = offset
    if closes, offset == bytes { engine.close(peer, code: 0) }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { end = reason }
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
}

/// Reads late, and no faster than it may.
struct SlowHandler: ReceivingHandler {
  let rate: UInt64
  let sleep: Nanoseconds
  private(set) var check = StreamCheck()
  private(set) var isFinished = false
  private(set) var end: CloseReason?
  private var begin: Instant = 0
  private var peer: Peer?

  init(rate: UInt64, sleep: Nanoseconds) {
    self.rate = rate
    self.sleep = sleep
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    self.peer = peer
    begin = engine.now + sleep
    if sleep > 0 { pause(until: begin, &engine) }
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    check.take(bytes)
    guard rate > 0 else { return }
    let due = begin + check.count * 1_000_000_000 / rate
    if due > engine.now + .milliseconds(100) { pause(until: due, &engine) }
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    isFinished = true
    engine.finish(peer)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { end = reason }

  mutating func timerFired(token: UInt64, engine: inout Engine) {
    if let peer { engine.resume(peer) }
  }

  private func pause(until time: Instant, _ engine: inout Engine) {
    guard let peer else { return }
    engine.pause(peer)
    engine.setTimer(at: time, token: 1)
  }
}

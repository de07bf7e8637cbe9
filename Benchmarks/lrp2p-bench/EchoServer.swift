// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Sends back what comes.
struct EchoResponder: Handler {
  /// What was received and may still be asked for: more than a client with one request in flight leaves open in
  /// the time that its ACK takes.
  private var ring = [UInt8](repeating: 0, count: 1 << 16)
  private var total: UInt64 = 0
  private var acknowledged: UInt64 = 0
  private(set) var connected = 0
  private(set) var isClosed = false
  private(set) var hasOverflown = false

  /// Gets ready for another connection.
  mutating func reset() {
    (total, acknowledged) = (0, 0)
    (connected, isClosed) = (0, false)
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) { connected += 1 }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    let start = Int(total) & (ring.count - 1)
    let first = min(bytes.byteCount, ring.count - start)
    var span = ring.mutableSpan
    var target = unsafe span.mutableBytes
    target.copy(bytes.extracting(0..<first), to: start)
    if first < bytes.byteCount { target.copy(bytes.extracting(first..<bytes.byteCount), to: 0) }
    total &+= UInt64(bytes.byteCount)
    if total &- acknowledged > UInt64(ring.count) { hasOverflown = true }
    engine.offer(peer, upTo: total)
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    let start = Int(offset) & (ring.count - 1)
    let first = min(bytes.byteCount, ring.count - start)
    let source = unsafe ring.span.bytes
    bytes.copy(source.extracting(start..<start + first), to: 0)
    if first < bytes.byteCount { bytes.copy(source.extracting(0..<bytes.byteCount - first), to: first) }
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) { acknowledged = offset }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { isClosed = true }
}

enum EchoServer {
  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    var ends = try bind(job, at: address)
    announce(ends.reactor.localAddress)
    var responder = EchoResponder()
    var longestWait = job.longestWait
    for _ in 0..<EchoPlan.sizes.count * EchoPlan.alternations {
      if !job.baselinesOnly { try serve(&ends.reactor, &responder, longestWait: longestWait) }
      longestWait = EchoPlan.silence
      try serve(&ends.raw)
    }
    return Measurement()
  }

  /// Two neighbouring ports. When the port is free to choose, the one behind it may be taken: try again.
  private static func bind(_ job: Job, at address: Address) throws -> Sockets {
    var attempts = address.port == 0 ? 16 : 1
    while true {
      let reactor = try Reactor(
        configuration: job.configuration, identity: Identity(), bind: address, accepting: .anyone)
      do {
        let raw = try RawUDP(bind: EchoPlan.rawAddress(reactor.localAddress), spin: job.spin)
        return Sockets(reactor: reactor, raw: raw)
      } catch {
        attempts -= 1
        if attempts == 0 { throw error }
      }
    }
  }

  private struct Sockets: ~Copyable {
    var reactor: Reactor
    var raw: RawUDP
  }

  /// Answers one connection until it is over.
  private static func serve(
    _ reactor: inout Reactor, _ responder: inout EchoResponder, longestWait: Nanoseconds
  ) throws {
    responder.reset()
    let deadline = longestWait == .never ? .never : currentInstant() &+ longestWait
    while !responder.isClosed {
      try reactor.turn(&responder, timeout: .milliseconds(100))
      if responder.hasOverflown { throw Failure("the client does not acknowledge what it receives") }
      if responder.connected == 0, currentInstant() > deadline { throw Failure("nobody connected") }
    }
  }

  /// Answers raw datagrams until one of a single byte ends it.
  private static func serve(_ raw: inout RawUDP) throws {
    while let (count, from) = try raw.receive(until: currentInstant() &+ EchoPlan.silence) {
      try raw.send(count, to: from)
      if count == 1 { return }
    }
    throw Failure("the client has gone silent")
  }
}

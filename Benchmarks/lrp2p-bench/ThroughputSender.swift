// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Offers an endless stream on every connection and writes the bytes when they are asked for.
struct StreamSource: SendingHandler {
  /// By slot.
  private var patterns: [Pattern]
  private let wanted: Int
  private(set) var connected = 0
  private(set) var closed = 0
  private(set) var lastReason: CloseReason?

  /// Further ahead than any run gets.
  private static let endless: UInt64 = 1 << 60

  init(_ job: Job) {
    patterns = Array(repeating: Pattern(number: 0), count: job.maximumPeers)
    wanted = job.connections
  }

  var isReady: Bool { connected == wanted }

  /// Gives a connection its stream: number `number` of `wanted`.
  mutating func assign(_ peer: Peer, number: Int) { patterns[peer.slot.index] = Pattern(number: number) }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    connected += 1
    engine.offer(peer, upTo: Self.endless)
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    patterns[peer.slot.index].fill(offset: offset, into: &bytes)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    closed += 1
    lastReason = reason
  }
}

enum ThroughputSender {
  static func run(_ job: Job, to address: Address) throws -> Measurement {
    var reactor = try Reactor(
      configuration: job.configuration, identity: Identity(), bind: address.localEnd, accepting: .anyone)
    var source = StreamSource(job)
    var peers: [Peer] = []
    for number in 0..<job.connections {
      let peer: Peer
      do { peer = try reactor.engine.connect(to: address, expecting: .anyone) } catch {
        throw Failure("connect to \(address): the engine refuses (\(error))")
      }
      source.assign(peer, number: number)
      peers.append(peer)
    }
    try establish(&reactor, &source, address)
    let aead = reactor.engine.statistics(of: peers[0])?.aead
    if aead != job.aead { throw Failure("the peers did not agree on \(job.aead.name)") }

    var meter = Meter(length: job.length)
    meter.begin(at: currentInstant())
    while !meter.isDone {
      try reactor.turn(&source, timeout: .milliseconds(100))
      let now = currentInstant()
      if meter.isDue(at: now) { meter.take(reactor.counters, at: now) }
      if source.closed > 0 { throw Failure("a connection ended early: \(source.lastReason.text)") }
    }
    for peer in peers { reactor.engine.close(peer, code: 0) }
    // The farewell leaves with the next turns.
    let end = currentInstant() &+ .milliseconds(20)
    while currentInstant() < end { try reactor.turn(&source, timeout: .milliseconds(5)) }
    var result = meter.result!
    result[.aead] = UInt64(job.aead.rawValue)
    result.backend = reactor.statistics.backend
    return result
  }

  private static func establish(_ reactor: inout Reactor, _ source: inout StreamSource, _ address: Address) throws {
    let deadline = currentInstant() &+ .seconds(20)
    while !source.isReady {
      try reactor.turn(&source, timeout: .milliseconds(100))
      if source.closed > 0 { throw Failure("connect to \(address): \(source.lastReason.text)") }
      if currentInstant() > deadline { throw Failure("connect to \(address): no answer") }
    }
  }
}

extension CloseReason? {
  var text: String { map { "\($0)" } ?? "no reason" }
}

extension Reactor {
  /// What engine and socket have counted so far.
  var counters: Measurement { Measurement(engine.statistics, statistics) }
}

extension Measurement {
  /// Counters of an engine and of the socket below it.
  init(_ engine: EngineStatistics, _ socket: ReactorStatistics) {
    self.init()
    self[.datagramsSent] = engine.datagramsSent
    self[.datagramsReceived] = engine.datagramsReceived
    self[.datagramsRetransmitted] = engine.retransmissions
    self[.bytesSent] = engine.bytesSent
    self[.bytesReceived] = engine.bytesReceived
    self[.handshakes] = engine.handshakesCompleted
    self[.kernelDrops] = socket.kernelDrops
    self[.misdirected] = engine.misdirected
    if let replies = Knobs.cookieReplies(engine) { self[.cookieReplies] = replies }
  }
}

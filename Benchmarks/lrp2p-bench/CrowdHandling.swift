// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// The first connection of a crowd: what its process and the responder tell each other beside what is measured. Each
/// byte on it is a signal to the responder, and its end one to the crowd.
struct ControlLine {
  private(set) var peer: Peer?
  private(set) var signals = 0
  private(set) var isClosed = false

  mutating func connected(_ peer: Peer) { if self.peer == nil { self.peer = peer } }

  /// - Returns: whether the bytes came on this connection.
  mutating func received(_ peer: Peer, _ count: Int) -> Bool {
    if peer != self.peer { return false }
    signals += count
    return true
  }

  mutating func closed(_ peer: Peer) -> Bool {
    if peer != self.peer { return false }
    isClosed = true
    return true
  }
}

/// A responder that counts who is there.
struct PresenceSink: ReceivingHandler {
  private(set) var line = ControlLine()
  private(set) var connected = 0
  /// Connections that have ended, the control line not counted.
  private(set) var closed = 0
  private(set) var lastReason: CloseReason?

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    connected += 1
    line.connected(peer)
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    _ = line.received(peer, bytes.byteCount)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if line.closed(peer) { return }
    closed += 1
    lastReason = reason
  }
}

/// What `Crowd.populate` asks of a handler.
protocol CrowdHandler: Handler {
  var presence: CrowdPresence { get set }
}

/// Who of a crowd is connected.
struct CrowdPresence {
  private(set) var peers: [Peer] = []
  private(set) var established = 0
  /// By slot: the peer's first PING was answered, so both sides hold the connection for confirmed.
  private var isAnswered: [Bool] = []
  private(set) var answered = 0
  private(set) var lost = 0
  private(set) var lastReason: CloseReason?
  /// The control line has ended.
  private(set) var isOver = false

  var control: Peer { peers[0] }

  mutating func dialled(_ peer: Peer) { peers.append(peer) }

  mutating func connected(_ peer: Peer) { established += 1 }

  mutating func answered(_ peer: Peer) {
    while isAnswered.count <= peer.slot.index { isAnswered.append(false) }
    if isAnswered[peer.slot.index] { return }
    isAnswered[peer.slot.index] = true
    answered += 1
  }

  func hasAnswered(_ peer: Peer) -> Bool { peer.slot.index < isAnswered.count && isAnswered[peer.slot.index] }

  mutating func closed(_ peer: Peer, _ reason: CloseReason) {
    if peer == peers.first {
      isOver = true
    } else {
      lost += 1
      lastReason = reason
    }
  }

  func check() throws { if lost > 0 { throw Failure("\(lost) connections have ended: \(lastReason.text)") } }
}

extension EngineLoop where Socket == CrowdBackend {
  /// Beyond it a peer that has not answered is asked again: a PING is not repeated by itself.
  private static var longestWait: Nanoseconds { .seconds(2) }

  /// Dials until `count` peers are there, and each has answered a PING.
  mutating func populate<H: CrowdHandler>(
    _ handler: inout H, count: Int, atOnce: Int, deadline: Instant
  ) throws {
    // The engine knows the time of its last turn, by which it would repeat at once what is dialled now.
    try turn(&handler, timeout: 0)
    var lastAnswered = 0
    var progress = currentInstant()
    while handler.presence.answered < count {
      while handler.presence.peers.count < count,
        handler.presence.peers.count - handler.presence.answered < atOnce
      {
        handler.presence.dialled(try dial(handler.presence.peers.count))
      }
      try turn(&handler, timeout: .milliseconds(100))
      try handler.presence.check()
      let now = currentInstant()
      if handler.presence.answered > lastAnswered {
        lastAnswered = handler.presence.answered
        progress = now
      } else if now &- progress > Self.longestWait {
        for peer in handler.presence.peers where !handler.presence.hasAnswered(peer) {
          engine.ping(peer, token: CrowdSignal.firstPing)
        }
        progress = now
      }
      if now > deadline || handler.presence.isOver {
        throw Failure("\(handler.presence.answered) of \(count) peers have answered")
      }
    }
  }

  /// Sends signal number `number` on the control line.
  mutating func signal<H: CrowdHandler>(_ number: UInt64, _ handler: inout H) throws {
    engine.offer(handler.presence.control, upTo: number)
    try turn(&handler, timeout: 0)
  }
}

enum CrowdSignal {
  /// The token of a peer's first PING.
  static let firstPing: UInt16 = 1
  static let sample: UInt16 = 2
}

extension Job {
  /// For the process of a crowd: its peers keep quiet unless they are to keep alive.
  func crowdConfiguration(isResponder: Bool) throws -> ReactorConfiguration {
    var configuration = configuration
    configuration.engine.maximumPeers = kind == .handshakes ? 1 << 24 : maximumPeers
    configuration.engine.keepAlive = kind == .idle && !isResponder ? .seconds(UInt64(keepAlive)) : 0
    configuration.engine.idleTimeout = kind == .idle ? 4 * .seconds(UInt64(keepAlive)) : 0
    guard isResponder else { return configuration }
    configuration.engine.maximumHalfOpen = 1 << 16
    configuration.engine.maximumHalfOpenPerPrefix = 1 << 16
    if kind == .fanout || [.publish, .publishCeiling, .publishCore].contains(kind) {
      // As docs/tuning.md has it for many peers that each send little.
      configuration.receiveMessages = 64
      configuration.sendMessages = 64
    }
    if let hugePages { configuration.hugePages = hugePages == .on }
    return configuration
  }

  /// When a crowd's connections must have been made.
  var populationDeadline: Instant { currentInstant() &+ preparation &+ .seconds(20) }
}

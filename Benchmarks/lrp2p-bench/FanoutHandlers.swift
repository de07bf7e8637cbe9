// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation

/// The size of a request, and of its answer.
enum FanoutPlan {
  static let requestBytes: UInt64 = 64
  /// Requests under way at the same time, at most: a quarter of the peers that send, so that chance decides whose turn
  /// it is.
  static func atOnce(_ active: Int) -> Int { max(1, min(250, active / 4)) }
  static let baselinePeers = 1000
  static let slice: Nanoseconds = .milliseconds(500)
}

/// Checks every request and sends the same bytes back.
struct FanoutSink: Handler {
  private(set) var line = ControlLine()
  /// By slot.
  private var streams: [PatternStream]
  private(set) var wrongPieces: UInt64 = 0
  private(set) var closed = 0
  private(set) var lastReason: CloseReason?

  init(maximumPeers: Int) { streams = Array(repeating: PatternStream(), count: maximumPeers) }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    line.connected(peer)
    streams[peer.slot.index] = PatternStream()
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    if line.received(peer, bytes.byteCount) { return }
    if !streams[peer.slot.index].take(bytes) { wrongPieces += 1 }
    let stream = streams[peer.slot.index]
    engine.offer(peer, upTo: stream.offset)
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    streams[peer.slot.index].pattern.fill(offset: offset, into: &bytes)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if line.closed(peer) { return }
    closed += 1
    lastReason = reason
  }
}

/// Asks random peers' connections, each its own stream, one request at a time each.
struct FanoutCaller: CrowdHandler {
  private struct Stream: BitwiseCopyable {
    var asked: UInt64 = 0
    var answered: UInt64 = 0
  }

  var presence = CrowdPresence()
  private let active: Int
  private let atOnce: Int
  /// By slot.
  private var streams: [Stream]
  private var random: SeededRandom
  private(set) var outstanding = 0
  private(set) var answers: UInt64 = 0
  private(set) var wrongPieces: UInt64 = 0

  init(active: Int, maximumPeers: Int) {
    self.active = active
    atOnce = FanoutPlan.atOnce(active)
    streams = Array(repeating: Stream(), count: maximumPeers)
    random = SeededRandom(seed: .random(in: 0 ... .max))
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    presence.connected(peer)
    engine.ping(peer, token: CrowdSignal.firstPing)
  }

  mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine) { presence.answered(peer) }

  /// Asks peers at random until enough requests are under way.
  mutating func ask(_ engine: inout Engine) {
    while outstanding < atOnce {
      // The first is the control line.
      let peer = presence.peers[1 + Int(random.below(UInt64(active)))]
      if streams[peer.slot.index].asked > streams[peer.slot.index].answered { continue }
      streams[peer.slot.index].asked &+= FanoutPlan.requestBytes
      engine.offer(peer, upTo: streams[peer.slot.index].asked)
      outstanding += 1
    }
  }

  private func pattern(_ peer: Peer) -> Pattern { Pattern(number: peer.slot.index) }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    pattern(peer).fill(offset: offset, into: &bytes)
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    var stream = streams[peer.slot.index]
    if !pattern(peer).matches(bytes, offset: stream.answered) { wrongPieces += 1 }
    stream.answered &+= UInt64(bytes.byteCount)
    streams[peer.slot.index] = stream
    if stream.answered == stream.asked {
      outstanding -= 1
      answers &+= 1
    } else if stream.answered > stream.asked {
      wrongPieces += 1
    }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { presence.closed(peer, reason) }
}

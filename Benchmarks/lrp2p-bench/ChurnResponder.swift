// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// What each connection of a churn does: some bytes of its own each way, then one of three ends.
enum ChurnPlan {
  static let bytes: UInt64 = 4096
  /// Connections of a crowd's process that are open at the same time, at most.
  static let mostOpen = 4096
  static let responderCode: CloseCode = 2
  static let callerCode: CloseCode = 1

  enum Ending: Int {
    /// Both directions are finished.
    case finish
    /// The dialling side closes when it has all bytes back.
    case callerCloses
    /// The responder closes when the other has acknowledged all.
    case responderCloses
  }

  static func ending(_ number: Int) -> Ending { Ending(rawValue: number % 3)! }
}

/// Sends every stream back, and tells bytes that do not belong to the connection that they came on.
struct ChurnSink: Handler {
  private struct Stream: BitwiseCopyable {
    var peer: UInt64 = 0
    var content = PatternStream()
  }

  /// By slot.
  private var streams: [Stream]
  /// Numbers of the streams that have come: each comes once.
  private var seen: Set<Int> = []
  private(set) var confused: UInt64 = 0
  private(set) var connected = 0
  private(set) var closed = 0
  private(set) var failed = 0
  private(set) var lastReason: CloseReason?

  init(maximumPeers: Int) { streams = Array(repeating: Stream(), count: maximumPeers) }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    connected += 1
    streams[peer.slot.index] = Stream(peer: peer.connectionID)
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    var stream = streams[peer.slot.index]
    let isNamed = stream.content.offset >= 8
    if !stream.content.take(bytes) || stream.peer != peer.connectionID { confused += 1 }
    if !isNamed, stream.content.offset >= 8 {
      if let number = stream.content.pattern.number, seen.insert(number).inserted {} else { confused += 1 }
    }
    if stream.content.offset > ChurnPlan.bytes { confused += 1 }
    streams[peer.slot.index] = stream
    engine.offer(peer, upTo: stream.content.offset)
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) { engine.finish(peer) }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    streams[peer.slot.index].content.pattern.fill(offset: offset, into: &bytes)
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    guard offset == ChurnPlan.bytes, let number = streams[peer.slot.index].content.pattern.number,
      ChurnPlan.ending(number) == .responderCloses
    else { return }
    engine.close(peer, code: ChurnPlan.responderCode)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    closed += 1
    switch reason {
    case .finished, .local, .remote: break
    default:
      failed += 1
      lastReason = reason
    }
  }
}

enum ChurnResponder {
  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    let configuration = try job.crowdConfiguration(isResponder: true)
    var reactor = try Reactor(configuration: configuration, identity: Identity(), bind: address, accepting: .anyone)
    var sink = ChurnSink(maximumPeers: configuration.engine.maximumPeers)
    announce(reactor.localAddress)
    let deadline = job.longestWait == .never ? .never : currentInstant() &+ job.longestWait
    while sink.connected == 0 {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      if currentInstant() > deadline { throw Failure("nobody connected") }
    }
    var result = Measurement()
    let start = currentInstant()
    // By then as many slots linger as ever will, if the run is long enough.
    let settled = start &+ min(.seconds(20), job.length / 2)
    while currentInstant() < start &+ job.length {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      if !result.has(.residentBefore), currentInstant() >= settled {
        result[.residentBefore] = ResourceUsage.residentNow()
      }
    }
    result[.residentAfter] = ResourceUsage.residentNow()
    // Those that are still open.
    let end = currentInstant() &+ .seconds(5)
    while sink.closed < sink.connected, currentInstant() < end {
      try reactor.turn(&sink, timeout: .milliseconds(10))
    }
    result.merge(reactor.counters)
    result[.connections] = UInt64(sink.closed - sink.failed)
    result[.wrongPieces] = sink.confused
    if sink.failed > 0 { throw Failure("\(sink.failed) connections failed: \(sink.lastReason.text)") }
    return result
  }
}

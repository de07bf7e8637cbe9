// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Checks every byte of every stream, in order.
struct StreamSink: ReceivingHandler {
  private struct Stream: BitwiseCopyable {
    var offset: UInt64 = 0
    var pattern = Pattern()
  }

  /// By slot.
  private var streams: [Stream]
  /// The numbers of the streams that have come: each comes once.
  private var seen: [Bool]
  private(set) var delivered: UInt64 = 0
  private(set) var wrongPieces: UInt64 = 0
  private(set) var firstPeer: Peer?
  private(set) var connected = 0
  private(set) var closed = 0
  private(set) var lastReason: CloseReason?

  init(_ job: Job) {
    streams = Array(repeating: Stream(), count: job.maximumPeers)
    seen = Array(repeating: false, count: job.connections)
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    connected += 1
    streams[peer.slot.index] = Stream()
    if firstPeer == nil { firstPeer = peer }
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    var stream = streams[peer.slot.index]
    var rest = bytes
    if stream.offset < 8 { rest = begin(&stream, bytes) }
    if !stream.pattern.matches(rest, offset: stream.offset) { wrongPieces += 1 }
    stream.offset &+= UInt64(rest.byteCount)
    streams[peer.slot.index] = stream
    delivered &+= UInt64(bytes.byteCount)
  }

  /// Takes the first word, which says which stream this is, and returns what follows.
  @_lifetime(copy bytes)
  private mutating func begin(_ stream: inout Stream, _ bytes: RawSpan) -> RawSpan {
    let count = min(8 - Int(stream.offset), bytes.byteCount)
    for index in 0..<count {
      stream.pattern.learn(bytes.byte(index), at: stream.offset)
      stream.offset += 1
    }
    if stream.offset == 8 {
      if let number = stream.pattern.number, number < seen.count, !seen[number] {
        seen[number] = true
      } else {
        wrongPieces += 1
      }
    }
    return bytes.extracting(count..<bytes.byteCount)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    closed += 1
    lastReason = reason
  }
}

enum ThroughputReceiver {
  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    var reactor = try Reactor(configuration: job.configuration, identity: Identity(), bind: address, accepting: .anyone)
    var sink = StreamSink(job)
    announce(reactor.localAddress)
    try awaitFirstByte(&reactor, &sink, longestWait: job.longestWait)
    try checkAEAD(&reactor, &sink, job.aead)

    var meter = Meter(length: job.length)
    meter.begin(at: currentInstant())
    while !meter.isDone {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      let now = currentInstant()
      // The sender's clock may end the run a moment before this one's.
      let isEarlyEnd = sink.closed > 0
      if isEarlyEnd, !meter.isNearEnd(at: now) {
        throw Failure("a connection ended early: \(sink.lastReason.text)")
      }
      if isEarlyEnd || meter.isDue(at: now) { meter.take(counters(reactor, sink), at: now) }
    }
    // What is still under way is checked too.
    let deadline = currentInstant() &+ .seconds(1)
    while sink.closed < sink.connected, currentInstant() < deadline {
      try reactor.turn(&sink, timeout: .milliseconds(10))
    }
    var result = meter.result!
    result[.wrongPieces] = sink.wrongPieces
    result[.aead] = UInt64(job.aead.rawValue)
    result.backend = reactor.statistics.backend
    return result
  }

  private static func awaitFirstByte(_ reactor: inout Reactor, _ sink: inout StreamSink, longestWait: Nanoseconds)
    throws
  {
    let deadline = longestWait == .never ? .never : currentInstant() &+ longestWait
    while sink.delivered == 0 {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      if sink.closed > 0 { throw Failure("the connection ended before it brought anything: \(sink.lastReason.text)") }
      if currentInstant() > deadline { throw Failure("nobody sent anything") }
    }
  }

  /// The connecting end's preference decides: what is measured must not pass for something else.
  private static func checkAEAD(_ reactor: inout Reactor, _ sink: inout StreamSink, _ wanted: AEAD) throws {
    guard let peer = sink.firstPeer, let aead = reactor.engine.statistics(of: peer)?.aead, aead != wanted else {
      return
    }
    reactor.engine.close(peer, code: 1, reason: "expected \(wanted.name)")
    try reactor.turn(&sink, timeout: 0)
    throw Failure("the peers agreed on \(aead.name), not on \(wanted.name): give both ends the same --aead")
  }

  private static func counters(_ reactor: borrowing Reactor, _ sink: StreamSink) -> Measurement {
    var counters = reactor.counters
    counters[.bytesDelivered] = sink.delivered
    return counters
  }
}

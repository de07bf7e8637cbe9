// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Opens connections at a steady rate.
struct ChurnCaller: Handler {
  private struct Stream: BitwiseCopyable {
    var peer: UInt64 = 0
    var offset: UInt64 = 0
    var number: UInt32 = 0
  }

  /// By slot.
  private var streams: [Stream]
  private(set) var confused: UInt64 = 0
  private(set) var closed = 0
  private(set) var complete = 0
  private(set) var failed = 0
  private(set) var lastReason: CloseReason?

  init(maximumPeers: Int) { streams = Array(repeating: Stream(), count: maximumPeers) }

  mutating func dialled(_ peer: Peer, number: Int, engine: inout Engine) {
    streams[peer.slot.index] = Stream(peer: peer.connectionID, number: UInt32(number))
    engine.offer(peer, upTo: ChurnPlan.bytes)
  }

  private func number(_ peer: Peer) -> Int { Int(streams[peer.slot.index].number) }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    Pattern(number: number(peer)).fill(offset: offset, into: &bytes)
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    var stream = streams[peer.slot.index]
    if stream.peer != peer.connectionID || !Pattern(number: Int(stream.number)).matches(bytes, offset: stream.offset) {
      confused += 1
    }
    stream.offset &+= UInt64(bytes.byteCount)
    streams[peer.slot.index] = stream
    if stream.offset < ChurnPlan.bytes { return }
    if stream.offset > ChurnPlan.bytes { confused += 1 }
    complete += 1
    switch ChurnPlan.ending(Int(stream.number)) {
    case .finish: engine.finish(peer)
    case .callerCloses: engine.close(peer, code: ChurnPlan.callerCode)
    case .responderCloses: break
    }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    closed += 1
    let expected: Bool =
      switch (ChurnPlan.ending(number(peer)), reason) {
      case (.finish, .finished), (.callerCloses, .local(code: ChurnPlan.callerCode)),
        (.responderCloses, .remote(code: ChurnPlan.responderCode, reason: _)):
        streams[peer.slot.index].offset == ChurnPlan.bytes
      default: false
      }
    if !expected {
      failed += 1
      lastReason = reason
    }
  }
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
}

enum ChurnDialler {
  /// How often what was kept is sent again.
  private static let lateInterval: Nanoseconds = .milliseconds(50)

  static func run(_ job: Job, to address: Address) throws -> Measurement {
    var crowd = try Crowd(job, to: address)
    var caller = ChurnCaller(maximumPeers: try job.crowdConfiguration(isResponder: false).engine.maximumPeers)
    var late = LateDatagrams()
    var lateBatch = DatagramBatch(messages: LateDatagrams.share, messageCapacity: LateDatagrams.longest)
    var sentLate: UInt64 = 0
    var opened = 0
    let start = currentInstant()
    var nextLate = start &+ lateInterval
    var now = start
    while now < start &+ job.length {
      let due = min(Int(Double(now &- start) * Double(job.rate) / 1e9) + 1, caller.closed + ChurnPlan.mostOpen)
      while opened < due {
        caller.dialled(try crowd.dial(opened), number: opened, engine: &crowd.engine)
        opened += 1
      }
      try crowd.turn(&caller, timeout: min(.seconds(1) / UInt64(job.rate), .milliseconds(10)), tap: { late.keep($0) })
      now = currentInstant()
      if now >= nextLate, !crowd.isSending {
        nextLate = now &+ lateInterval
        late.write(into: &lateBatch)
        sentLate &+= UInt64(lateBatch.count)
        while lateBatch.count > 0, try !crowd.backend.send(&lateBatch, now: now) { now = currentInstant() }
      }
    }
    let end = now &+ .seconds(10)
    while caller.closed < opened {
      try crowd.turn(&caller, timeout: .milliseconds(10))
      if currentInstant() > end { throw Failure("\(opened - caller.closed) connections do not end") }
    }
    if caller.failed > 0 { throw Failure("\(caller.failed) connections failed: \(caller.lastReason.text)") }
    var result = Measurement()
    result[.connections] = UInt64(caller.complete)
    result[.wrongPieces] = caller.confused
    result[.lateDatagrams] = sentLate
    return result
  }
}

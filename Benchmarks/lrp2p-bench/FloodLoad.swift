// SPDX-License-Identifier: MIT
import CLinux
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Endless bulk streams, small requests one at a time, and now and then a new connection.
struct FloodCaller: Handler {
  private struct Stream: BitwiseCopyable {
    var number: UInt32 = 0
    var asked: UInt64 = 0
    var answered: UInt64 = 0
  }

  /// By slot.
  private var streams: [Stream]
  private(set) var connected = 0
  private(set) var rounds: UInt64 = 0
  private(set) var wrongPieces: UInt64 = 0
  private(set) var lost = 0
  private(set) var lastReason: CloseReason?
  /// The new connection that is on its way.
  private(set) var newcomer: Peer?
  private(set) var newcomerSince: Instant = 0
  private(set) var begun: UInt64 = 0
  var connectTimes = Latencies(capacity: 1 << 14)

  private static let endless: UInt64 = 1 << 60

  init(maximumPeers: Int) { streams = Array(repeating: Stream(), count: maximumPeers) }

  mutating func assign(_ peer: Peer, number: Int) { streams[peer.slot.index] = Stream(number: UInt32(number)) }

  mutating func begin(_ peer: Peer, at now: Instant) {
    newcomer = peer
    newcomerSince = now
    begun += 1
  }

  /// Gives the new connection up.
  mutating func giveUp(_ engine: inout Engine) {
    guard let peer = newcomer else { return }
    newcomer = nil
    engine.close(peer, code: 0)
  }

  private func isEcho(_ peer: Peer) -> Bool { streams[peer.slot.index].number >= UInt32(FloodPlan.firstEcho) }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    if peer == newcomer {
      connectTimes.append(currentInstant() &- newcomerSince)
      newcomer = nil
      engine.close(peer, code: 0)
      return
    }
    connected += 1
    if isEcho(peer) { request(peer, &engine) } else { engine.offer(peer, upTo: Self.endless) }
  }

  private mutating func request(_ peer: Peer, _ engine: inout Engine) {
    streams[peer.slot.index].asked &+= FloodPlan.echoBytes
    engine.offer(peer, upTo: streams[peer.slot.index].asked)
  }

  private func pattern(_ peer: Peer) -> Pattern { Pattern(number: Int(streams[peer.slot.index].number)) }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    pattern(peer).fill(offset: offset, into: &bytes)
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    if !pattern(peer).matches(bytes, offset: streams[peer.slot.index].answered) { wrongPieces += 1 }
    streams[peer.slot.index].answered &+= UInt64(bytes.byteCount)
    if streams[peer.slot.index].answered < streams[peer.slot.index].asked { return }
    rounds &+= 1
    request(peer, &engine)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if peer == newcomer {
      newcomer = nil
    } else if case .local = reason {
      // A newcomer's farewell.
    } else {
      lost += 1
      lastReason = reason
    }
  }
}

/// The process of the honest peers.
enum FloodLoad {
  static func run(_ job: Job, to address: Address) throws -> Measurement {
    var configuration = job.configuration
    configuration.engine.maximumPeers = 1 << 12
    let signal = FileDescriptor(owning: Int32(try check(lrp2p_eventfd(), "create eventfd")))
    var loop = try EngineLoop<EpollBackend>(configuration, signal: signal.raw, bind: .loopback)
    var caller = FloodCaller(maximumPeers: configuration.engine.maximumPeers)
    for number in 0..<job.connections + FloodPlan.echoes {
      let peer = try dial(&loop, address)
      caller.assign(peer, number: number < job.connections ? number : FloodPlan.firstEcho + number)
    }
    while caller.connected < job.connections + FloodPlan.echoes {
      try loop.turn(&caller, timeout: .milliseconds(10))
      if currentInstant() > job.start { throw Failure("the load's connections are not made in time") }
    }
    if let thirdParty = job.thirdParty { try capture(&loop, &caller, for: thirdParty, until: job.start) }
    while currentInstant() < job.measuredStart { try loop.turn(&caller, timeout: .milliseconds(10)) }
    return try measure(job, &loop, &caller, address)
  }

  private static func measure(
    _ job: Job, _ loop: inout EngineLoop<EpollBackend>, _ caller: inout FloodCaller, _ address: Address
  ) throws -> Measurement {
    let before = loop.counters
    let roundsBefore = caller.rounds
    var nextConnect = job.measuredStart
    var now = currentInstant()
    let end = job.measuredEnd
    while now < end {
      if caller.newcomer != nil, now > caller.newcomerSince &+ FloodPlan.connectPatience { caller.giveUp(&loop.engine) }
      if caller.newcomer == nil, now >= nextConnect {
        let peer = try dial(&loop, address)
        caller.assign(peer, number: 0)
        caller.begin(peer, at: now)
        nextConnect = now &+ FloodPlan.connectInterval
      }
      try loop.turn(&caller, timeout: .milliseconds(10))
      if caller.lost > 0 { throw Failure("a connection of the load has ended: \(caller.lastReason.text)") }
      now = currentInstant()
    }
    var result = loop.counters.difference(since: before)
    result[.rounds] = caller.rounds - roundsBefore
    result[.connectsBegun] = caller.begun
    result[.connectsDone] = UInt64(caller.connectTimes.count)
    if let times = caller.connectTimes.percentiles() {
      (result[.medianNanoseconds], result[.slowNanoseconds]) = times
    }
    result[.wrongPieces] = caller.wrongPieces
    return result
  }

  private static func dial(_ loop: inout EngineLoop<EpollBackend>, _ address: Address) throws -> Peer {
    do { return try loop.engine.connect(to: address, expecting: .anyone) } catch {
      throw Failure("connect: the engine refuses (\(error))")
    }
  }

  /// Hands sealed datagrams of the load to whoever floods.
  private static func capture(
    _ loop: inout EngineLoop<EpollBackend>, _ caller: inout FloodCaller, for address: Address, until deadline: Instant
  ) throws {
    var raw = try RawUDP(bind: .loopback, spin: false)
    var count = 0
    // The last third of the time before the flood: the bulk streams have grown by then.
    while currentInstant() < deadline &- FloodPlan.preparation / 3 {
      try loop.turn(&caller, timeout: .milliseconds(10))
    }
    while count < FloodPlan.captures, currentInstant() < deadline {
      var captured: [(offset: Int, length: Int)] = []
      try loop.turn(
        &caller, timeout: .milliseconds(10),
        tap: { batch in
          var used = 0
          for index in 0..<batch.count where used < 1 << 15 {
            let message = batch.messages[index]
            let length = min(message.segmentSize, message.length)
            // Handshake datagrams of later attempts are none of a connection's.
            if length > FloodPlan.longestCapture || length < Datagram.minimumLength { continue }
            var bytes = raw.buffer.mutableBytes(used, length)
            bytes.copy(batch.arena.bytes(message.offset, length), to: 0)
            captured.append((used, length))
            used += length
          }
        })
      for piece in captured {
        try raw.send(piece.length, from: piece.offset, to: address)
        count += 1
      }
    }
  }
}

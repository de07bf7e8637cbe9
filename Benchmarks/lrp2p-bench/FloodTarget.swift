// SPDX-License-Identifier: MIT
import CAllocationCount
import CBenchSystem
import CLinux
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Checks bulk streams, and sends those of small requests back.
struct FloodSink: Handler {
  /// By slot.
  private var streams: [PatternStream]
  private(set) var delivered: UInt64 = 0
  private(set) var wrongPieces: UInt64 = 0

  init(maximumPeers: Int) { streams = Array(repeating: PatternStream(), count: maximumPeers) }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    streams[peer.slot.index] = PatternStream()
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    if !streams[peer.slot.index].take(bytes) { wrongPieces += 1 }
    let stream = streams[peer.slot.index]
    delivered &+= UInt64(bytes.byteCount)
    if stream.offset >= 8, stream.pattern.number ?? 0 >= FloodPlan.firstEcho { engine.offer(peer, upTo: stream.offset) }
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    streams[peer.slot.index].pattern.fill(offset: offset, into: &bytes)
  }
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
}

/// The end that is flooded: a reactor, or the same engine behind the cheapest look that there is.
enum FloodTarget {
  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    var configuration = job.configuration
    // Slots for a flood's half-open handshakes beside the load's.
    configuration.engine.maximumPeers = 1 << 16
    if job.filter == .on { try Knobs.setFilter(.on, &configuration) }
    return job.isBare
      ? try runBare(job, configuration, at: address, announce: announce)
      : try runReactor(job, configuration, at: address, announce: announce)
  }

  private static func runReactor(
    _ job: Job, _ configuration: ReactorConfiguration, at address: Address, announce: (Address) -> Void
  ) throws -> Measurement {
    var reactor = try Reactor(configuration: configuration, identity: Identity(), bind: address, accepting: .anyone)
    var sink = FloodSink(maximumPeers: configuration.engine.maximumPeers)
    announce(reactor.localAddress)
    var before = Measurement()
    while currentInstant() < job.measuredEnd {
      try reactor.turn(&sink, timeout: .milliseconds(10))
      if !before.has(.elapsedNanoseconds), currentInstant() >= job.measuredStart {
        before = counters(reactor.counters, sink)
      }
    }
    var result = counters(reactor.counters, sink).difference(since: before)
    result[.residentBefore] = before[.residentBytes]
    result[.residentAfter] = ResourceUsage.residentNow()
    let end = job.floodEnd &+ .milliseconds(200)
    while currentInstant() < end { try reactor.turn(&sink, timeout: .milliseconds(10)) }
    result[.wrongPieces] = sink.wrongPieces
    return result
  }

  private static func runBare(
    _ job: Job, _ configuration: ReactorConfiguration, at address: Address, announce: (Address) -> Void
  ) throws -> Measurement {
    // The backend's epoll watches it; nobody ever signals it.
    let signal = FileDescriptor(owning: Int32(try check(lrp2p_eventfd(), "create eventfd")))
    var loop = try EngineLoop<EpollBackend>(configuration, signal: signal.raw, bind: address)
    var sink = FloodSink(maximumPeers: configuration.engine.maximumPeers)
    announce(loop.backend.socket.localAddress)
    var before = Measurement()
    // Whoever comes before the flood is the load.
    var known: Address?
    while currentInstant() < job.measuredEnd {
      try loop.turn(&sink, timeout: .milliseconds(10), sift: { Self.sift(&$0, &known) })
      if !before.has(.elapsedNanoseconds), currentInstant() >= job.measuredStart {
        before = counters(loop.counters, sink)
      }
    }
    var result = counters(loop.counters, sink).difference(since: before)
    let end = job.floodEnd &+ .milliseconds(200)
    while currentInstant() < end {
      try loop.turn(&sink, timeout: .milliseconds(10), sift: { Self.sift(&$0, &known) })
    }
    result[.wrongPieces] = sink.wrongPieces
    return result
  }

  /// Leaves the messages of one sender.
  private static func sift(_ batch: inout DatagramBatch, _ known: inout Address?) {
    if batch.count == 0 { return }
    if known == nil { known = batch.messages[0].address }
    guard let known else { return }
    var kept = 0
    for index in 0..<batch.count
    where batch.messages[index].address.low == known.low && batch.messages[index].address.port == known.port {
      batch.messages[kept] = batch.messages[index]
      kept += 1
    }
    batch.count = kept
  }

  private static func counters(_ counters: Measurement, _ sink: FloodSink) -> Measurement {
    var counters = counters
    counters[.elapsedNanoseconds] = currentInstant()
    counters[.bytesDelivered] = sink.delivered
    counters[.cpuNanoseconds] = bench_cpu_time()
    counters[.allocations] = allocation_count()
    counters[.residentBytes] = ResourceUsage.residentNow()
    return counters
  }
}

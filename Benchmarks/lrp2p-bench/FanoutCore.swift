// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// A responder and a crowd in one process that hand each other their batches. Only the responder's verbs are timed.
private struct EnginePair: ~Copyable {
  private var crowd: Engine
  private var responder: Engine
  private var caller: FanoutCaller
  private var sink: FanoutSink
  private var forth: DatagramBatch
  private var back: DatagramBatch
  private let count: Int
  private let hugePages: Bool
  // What a reactor would do.
  private var crowdPages = HugePages()
  private var responderPages = HugePages()
  private(set) var cost: Nanoseconds = 0

  private static var batch: Int { 64 }

  init(_ job: Job) throws {
    let ours = try job.crowdConfiguration(isResponder: false).engine
    let configuration = try job.crowdConfiguration(isResponder: true)
    let theirs = configuration.engine
    let suites = (
      QuickAgreement(seed: 1, ciphers: try CipherSuites.make(.automatic)),
      QuickAgreement(seed: 2, ciphers: try CipherSuites.make(.automatic))
    )
    let now = currentInstant()
    crowd = Engine(
      configuration: ours, secretKey: Identity().secretKey, suite: suites.0, seed: 1, now: now)
    responder = Engine(
      configuration: theirs, secretKey: Identity().secretKey, suite: suites.1, seed: 2, now: now)
    caller = FanoutCaller(active: job.active, maximumPeers: ours.maximumPeers)
    sink = FanoutSink(maximumPeers: theirs.maximumPeers)
    forth = DatagramBatch(messages: Self.batch, messageCapacity: job.datagram)
    back = DatagramBatch(messages: Self.batch, messageCapacity: job.datagram)
    count = job.peers + 1
    hugePages = configuration.hugePages
  }

  mutating func populate() throws {
    while caller.presence.answered < count {
      while caller.presence.peers.count < count, caller.presence.peers.count - caller.presence.answered < Self.batch {
        // Only to be told apart by: nothing is sent to these addresses.
        let address = Address.loopback(caller.presence.peers.count).with(port: 1)
        do { caller.presence.dialled(try crowd.connect(to: address, expecting: .anyone)) } catch {
          throw Failure("connect: the engine refuses (\(error))")
        }
      }
      exchange()
      if hugePages {
        crowdPages.advise(crowd)
        responderPages.advise(responder)
      }
      try caller.presence.check()
    }
    cost = 0
  }

  /// Datagrams that the responder has taken and given so far.
  var datagrams: UInt64 { responder.statistics.datagramsReceived + responder.statistics.datagramsSent }
  var wrongPieces: UInt64 { caller.wrongPieces + sink.wrongPieces }

  mutating func ask(batches: Int) throws {
    for _ in 0..<batches {
      caller.ask(&crowd)
      exchange()
    }
    try caller.presence.check()
  }

  /// A batch from the crowd, and all answers to it.
  private mutating func exchange() {
    crowd.expire(now: currentInstant(), handler: &caller)
    crowd.transmit(into: &forth, now: currentInstant(), handler: &caller)
    var start = currentInstant()
    responder.receive(&forth, now: start, handler: &sink)
    responder.expire(now: start, handler: &sink)
    forth.clear()
    while true {
      responder.transmit(into: &back, now: start, handler: &sink)
      let end = currentInstant()
      cost += end &- start
      if back.count == 0 { return }
      crowd.receive(&back, now: end, handler: &caller)
      back.clear()
      start = currentInstant()
    }
  }
}

/// The same requests and answers without sockets.
enum FanoutCore {
  private static let batchesPerSlice = 500

  static func run(_ job: Job) throws -> [Measurement] {
    var large = try EnginePair(job)
    var small = try EnginePair(job.fanoutBaseline)
    try large.populate()
    try small.populate()
    let (first, firstSmall) = (large.datagrams, small.datagrams)
    let end = currentInstant() &+ job.length
    repeat {
      try large.ask(batches: batchesPerSlice)
      try small.ask(batches: batchesPerSlice)
    } while currentInstant() < end
    return [
      measurement(large.datagrams - first, large.cost, large.wrongPieces),
      measurement(small.datagrams - firstSmall, small.cost, small.wrongPieces),
    ]
  }

  private static func measurement(_ datagrams: UInt64, _ cost: Nanoseconds, _ wrongPieces: UInt64) -> Measurement {
    var measurement = Measurement()
    measurement[.datagramsReceived] = datagrams
    measurement[.cpuNanoseconds] = cost
    measurement[.wrongPieces] = wrongPieces
    return measurement
  }
}

// SPDX-License-Identifier: MIT
import ArgumentParser
import CAllocationCount
import LRP2P
import LRP2PCore
import LRP2PReactor

/// The protocol's own cost of bulk data.
struct CoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "core",
    abstract: "Cost per datagram of bulk data, without sockets.",
    discussion: """
      Two engines in one process hand each other their batches, in virtual time, so that two runs do the same. Neither \
      bytes to send nor bytes received are touched; without --aead nothing is sealed either, which leaves the protocol \
      itself. scripts/instructions counts its instructions.
      """)

  @Option(help: ArgumentHelp("How many to send, at least.", valueName: "n"))
  var datagrams = 10_000_000

  @Option(help: "Sealed with this; without, not at all.")
  var aead: AEAD?

  @Option(help: "Whose code seals and opens datagrams.")
  var aeadProvider = AEADProvider.automatic

  @Option(help: ArgumentHelp("The largest datagram.", valueName: "bytes"))
  var datagram = 1400

  @Option(help: "The congestion controller.")
  var congestion = EngineConfiguration().congestion

  @Flag(help: "One JSON object a line.")
  var json = false

  func run() throws {
    if datagrams < 1 || datagrams > 1 << 40 { throw Failure("--datagrams must be 1 … 2^40") }
    var configuration = ReactorConfiguration()
    configuration.engine.maximumDatagram = datagram
    configuration.engine.congestion = congestion
    if aead == .chacha20Poly1305 { configuration.engine.aeads = [.chacha20Poly1305] }
    do { try configuration.validate() } catch { throw Failure("\(ReactorError.configuration(error))") }
    var suites: (CoreSuite, CoreSuite) = (nil, nil)
    if let aead {
      suites = (try aeadProvider.makeSuite(), try aeadProvider.makeSuite())
      if let suite = suites.0, !suite.supports(aead) { throw Failure("this machine has no \(aead.name)") }
    }
    var pair = CorePair(configuration, ciphers: suites)
    try pair.connect()
    // The window grows, and everything has its size.
    try pair.run(datagrams: min(1_000_000, datagrams))
    let report = try pair.measure(datagrams: datagrams, aead: aead, provider: suites.0?.aeadProvider)
    Output.line(json ? report.json : Report.table([report]))
  }
}

typealias CoreSuite = (any CipherSuite)?

/// Sends without end and writes nothing.
private struct CoreSource: SendingHandler {
  private(set) var isConnected = false
  private(set) var isClosed = false

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    isConnected = true
    engine.offer(peer, upTo: 1 << 60)
  }
  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {}
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { isClosed = true }
}

/// Counts what it gets.
private struct CoreSink: ReceivingHandler {
  private(set) var delivered: UInt64 = 0

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    delivered &+= UInt64(bytes.byteCount)
  }
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
}

private struct CorePair: ~Copyable {
  private var sender: Engine
  private var receiver: Engine
  private var source = CoreSource()
  private var sink = CoreSink()
  private var forth: DatagramBatch
  private var back: DatagramBatch
  private var now: Instant = .seconds(1)
  private var senderCost: Nanoseconds = 0
  private var receiverCost: Nanoseconds = 0

  /// Of virtual time, between two batches of either side.
  private static var interval: Nanoseconds { .microseconds(20) }

  init(_ configuration: ReactorConfiguration, ciphers: (CoreSuite, CoreSuite)) {
    sender = Engine(
      configuration: configuration.engine, secretKey: SecretKey(repeating: 1),
      suite: QuickAgreement(seed: 1, ciphers: ciphers.0), seed: 1, now: 0)
    receiver = Engine(
      configuration: configuration.engine, secretKey: SecretKey(repeating: 2),
      suite: QuickAgreement(seed: 2, ciphers: ciphers.1), seed: 2, now: 0)
    forth = DatagramBatch(messages: configuration.sendMessages, messageCapacity: configuration.sendMessageCapacity)
    back = DatagramBatch(messages: configuration.sendMessages, messageCapacity: configuration.sendMessageCapacity)
  }

  mutating func connect() throws {
    do { _ = try sender.connect(to: Address.loopback.with(port: 1), expecting: .anyone) } catch {
      throw Failure("connect: the engine refuses (\(error))")
    }
    for _ in 0..<100 where !source.isConnected { step() }
    if !source.isConnected { throw Failure("the engines do not connect") }
  }

  /// Goes on until so many more have left.
  mutating func run(datagrams: Int) throws {
    let end = sender.statistics.datagramsSent + UInt64(datagrams)
    while sender.statistics.datagramsSent < end {
      step()
      if source.isClosed { throw Failure("the connection has ended") }
    }
  }

  private mutating func step() {
    now += Self.interval
    let start = currentInstant()
    sendingSide()
    let middle = currentInstant()
    receivingSide()
    receiverCost += currentInstant() - middle
    senderCost += middle - start
  }

  // What scripts/instructions counts in: functions of their own, whatever the optimiser would rather do.

  /// Takes what came back and fills the next batch.
  @inline(never)
  private mutating func sendingSide() {
    if back.count > 0 { sender.receive(&back, now: now, handler: &source) }
    back.clear()
    sender.expire(now: now, handler: &source)
    sender.transmit(into: &forth, now: now, handler: &source)
  }

  /// Takes the batch and answers.
  @inline(never)
  private mutating func receivingSide() {
    if forth.count > 0 { receiver.receive(&forth, now: now, handler: &sink) }
    forth.clear()
    receiver.expire(now: now, handler: &sink)
    receiver.transmit(into: &back, now: now, handler: &sink)
  }

  mutating func measure(datagrams: Int, aead: AEAD?, provider: String?) throws -> Report {
    (senderCost, receiverCost) = (0, 0)
    let (before, delivered) = (sender.statistics, sink.delivered)
    let answered = receiver.statistics.datagramsSent
    let allocated = allocation_count()
    try run(datagrams: datagrams)
    let allocations = allocation_count() - allocated
    let sent = sender.statistics.datagramsSent - before.datagramsSent
    var report = Report()
    report.add("datagrams", sent)
    report.add("sender_ns_per_datagram", Double(senderCost) / Double(sent))
    report.add("receiver_ns_per_datagram", Double(receiverCost) / Double(sent))
    report.add("answers_per_datagram", Double(receiver.statistics.datagramsSent - answered) / Double(sent))
    if allocation_count_is_available() { report.add("allocations", allocations) }
    report.add("datagrams_retransmitted", sender.statistics.retransmissions - before.retransmissions)
    report.add("bytes_delivered", sink.delivered - delivered)
    if let aead, let provider {
      report.add("aead", aead.name)
      report.add("aead_provider", provider)
    }
    return report
  }
}

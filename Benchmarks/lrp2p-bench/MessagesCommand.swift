// SPDX-License-Identifier: MIT
import ArgumentParser
import CAllocationCount
import CBenchSystem
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Small messages over one connection.
struct MessagesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "messages",
    abstract: "Messages a second over one connection, as many as there is room for.",
    discussion: """
      The sender keeps its lane full. datagrams_ratio is the datagrams that were sent by those that the bytes of the messages \
      alone would fill.
      """)

  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("Of a message.", valueName: "n"))
  var bytes = 100

  func run() throws {
    try common.check()
    if bytes < 8 || bytes > 1 << 20 { throw Failure("--bytes must be 8 … 1048576") }
    var job = common.job(.messages, aead: try common.oneAEAD())
    job.messageBytes = bytes
    let results = try ProcessPair.run(job)
    let (sender, receiver) = (results.connecting[0], results.listening[0])
    let count = receiver[.deliveries]
    let needed = Double(count) * Double(bytes) / Double(job.datagram - 38)
    var report = Report()
    report.add("bytes", UInt64(bytes))
    report.add("messages_per_s", Double(count) / Double(receiver[.elapsedNanoseconds]) * 1e9)
    report.add("gbit_per_s", Double(count) * Double(bytes) * 8 / Double(receiver[.elapsedNanoseconds]))
    report.add("datagrams_ratio", Double(receiver[.datagramsReceived]) / needed)
    report.add("sender_cpu_ns_per_message", Double(sender[.cpuNanoseconds]) / Double(sender[.deliveries]))
    report.add("receiver_cpu_ns_per_message", Double(receiver[.cpuNanoseconds]) / Double(count))
    report.add("allocations_per_message", Double(sender[.allocations]) / Double(sender[.deliveries]))
    report.add("datagrams_retransmitted", sender[.datagramsRetransmitted])
    report.add("aead", job.aead.name)
    report.add("backend", common.backend.rawValue)
    common.show([report])
    if receiver[.wrongPieces] > 0 { throw Failure("messages arrived that were not the ones that were sent") }
  }
}

extension Job {
  fileprivate var messagesConfiguration: ReactorConfiguration {
    var configuration = configuration
    configuration.engine.lanes = [LaneConfiguration(maximumBytes: 8 << 20)]
    return configuration
  }
}

private struct MessagesSource: Handler {
  private(set) var peer: Peer?
  private(set) var end: CloseReason?
  private var number: UInt64 = 0
  private var bytes: [UInt8]

  init(_ length: Int) { bytes = [UInt8](repeating: 7, count: length) }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    self.peer = peer
    send(&engine)
  }

  mutating func writable(_ peer: Peer, engine: inout Engine) { send(&engine) }

  private mutating func send(_ engine: inout Engine) {
    guard let peer else { return }
    while true {
      for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64(index))) }
      guard engine.send(peer, bytes) == .queued else { return }
      number += 1
    }
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {}
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { end = reason }
}

private struct MessagesSink: ReceivingHandler {
  let length: Int
  private(set) var count: UInt64 = 0
  private(set) var wrong: UInt64 = 0
  private(set) var isClosed = false

  init(_ length: Int) { self.length = length }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
  mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine) {
    // In order, as the lane is.
    if message.byteCount != length || message.bigEndian64(0) != count { wrong += 1 }
    count += 1
  }
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { isClosed = true }
}

enum MessagesSender {
  static func run(_ job: Job, to address: Address) throws -> Measurement {
    var reactor = try Reactor(
      configuration: job.messagesConfiguration, identity: Identity(), bind: address.localEnd, accepting: .nobody)
    var source = MessagesSource(job.messageBytes)
    _ = try reactor.engine.connect(to: address, expecting: .anyone)
    var meter = Meter(length: job.length)
    while source.peer == nil, source.end == nil { try reactor.turn(&source, timeout: .milliseconds(100)) }
    meter.begin(at: currentInstant())
    while !meter.isDone, source.end == nil {
      try reactor.turn(&source, timeout: .milliseconds(100))
      let now = currentInstant()
      if meter.isDue(at: now) {
        var counters = reactor.counters
        counters[.deliveries] = reactor.engine.statistics.messagesAcknowledged
        meter.take(counters, at: now)
      }
    }
    guard let result = meter.result else { throw Failure("the connection ended: \(source.end.text)") }
    if let peer = source.peer { reactor.engine.close(peer, code: 0) }
    let end = currentInstant() &+ .milliseconds(100)
    while currentInstant() < end { try reactor.turn(&source, timeout: .milliseconds(5)) }
    return result
  }
}

enum MessagesReceiver {
  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    var reactor = try Reactor(
      configuration: job.messagesConfiguration, identity: Identity(), bind: address, accepting: .anyone)
    var sink = MessagesSink(job.messageBytes)
    announce(reactor.localAddress)
    var meter = Meter(length: job.length)
    while !sink.isClosed {
      try reactor.turn(&sink, timeout: .milliseconds(100))
      let now = currentInstant()
      if !meter.isStarted {
        if sink.count > 0 { meter.begin(at: now) }
      } else if !meter.isDone, meter.isDue(at: now) {
        var counters = reactor.counters
        counters[.deliveries] = sink.count
        meter.take(counters, at: now)
      }
    }
    guard var result = meter.result else { throw Failure("nothing was measured") }
    result[.wrongPieces] = sink.wrong
    return result
  }
}

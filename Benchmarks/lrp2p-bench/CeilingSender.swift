// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore
import LRP2PReactor

/// Fills, seals and sends without end.
struct CeilingSender: ~Copyable {
  private var socket: BlastSocket
  private let target: Address
  private let suite: any CipherSuite
  private let keys: KeyTable
  private var jobs: Column<AEADJob>
  private let pattern = Pattern(number: 0)
  private let datagram: Int
  private let datagramsPerMessage: Int
  private let isOnOneCore: Bool
  private var packetNumber: UInt64 = 0

  private init(_ job: Job, to address: Address) throws {
    let suite = try job.aeadProvider.makeSuite()
    if !suite.supports(job.aead) { throw Failure("this machine has no \(job.aead.name)") }
    let socket = try BlastSocket(job, bind: address.localEnd)
    self.suite = suite
    target = address
    keys = Blast.keys(job.aead)
    datagram = job.datagram
    isOnOneCore = job.oneCore
    datagramsPerMessage = socket.outgoing.messageCapacity / job.datagram
    jobs = Column(repeating: AEADJob(), count: datagramsPerMessage * socket.outgoing.messages.count)
    self.socket = socket
  }

  static func run(_ job: Job, to address: Address) throws -> Measurement {
    var sender = try CeilingSender(job, to: address)
    try sender.awaitAnswer()
    var meter = Meter(length: job.length)
    meter.begin(at: currentInstant())
    while !meter.isDone {
      let now = currentInstant()
      if meter.isDue(at: now) { meter.take(sender.socket.counters, at: now) }
      try sender.step(now)
    }
    var result = meter.result!
    result.backend = sender.socket.counters.backend
    return result
  }

  /// Waits for the receiver, which may start later.
  private mutating func awaitAnswer() throws {
    let deadline = currentInstant() &+ .seconds(20)
    while currentInstant() < deadline {
      socket.appendHello(to: target)
      try socket.flush()
      if try socket.backend.wait(until: instant(after: .milliseconds(50))).isReadable {
        _ = try socket.backend.receive(into: &socket.incoming)
        if socket.incoming.count > 0 { return }
      }
    }
    throw Failure("\(target) does not answer")
  }

  private mutating func step(_ now: Instant) throws {
    if socket.outgoing.count == 0 { fill() }
    if try !socket.backend.send(&socket.outgoing, now: now) {
      _ = try socket.backend.wait(until: now + .milliseconds(10))
    }
    // Where the two share a core, the receiver shall take it before its buffer overflows. (Where each has its own,
    // sending more slowly was tried, and does not raise what arrives.)
    if isOnOneCore { sched_yield() }
  }

  /// A whole batch, sealed.
  private mutating func fill() {
    var count = 0
    for index in 0..<socket.outgoing.messages.count {
      var message = Message()
      message.address = target
      message.offset = socket.outgoing.used
      message.length = datagramsPerMessage * datagram
      message.segmentSize = datagram
      socket.outgoing.messages[index] = message
      for place in 0..<datagramsPerMessage {
        jobs[count] = write(at: message.offset + place * datagram)
        count += 1
      }
      socket.outgoing.used += message.length
      socket.outgoing.count += 1
    }
    suite.seal(jobs, count: count, in: &socket.outgoing.arena, keys: keys)
  }

  @inline(__always) private mutating func write(at offset: Int) -> AEADJob {
    var job = AEADJob()
    job.offset = offset
    job.length = datagram
    job.packetNumber = packetNumber
    let pattern = pattern
    var bytes = socket.outgoing.arena.mutableBytes(offset, datagram)
    Blast.write(&bytes, packetNumber: job.packetNumber, pattern)
    packetNumber &+= 1
    return job
  }
}

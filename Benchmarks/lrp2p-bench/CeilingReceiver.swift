// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// Receives, opens, checks and counts.
struct CeilingReceiver: ~Copyable {
  private var socket: BlastSocket
  private let suite: any CipherSuite
  private let keys: KeyTable
  private var jobs: Column<AEADJob>
  private var jobCount = 0
  private let pattern = Pattern(number: 0)
  private let payload: UInt64
  private var delivered: UInt64 = 0
  private var wrongPieces: UInt64 = 0

  /// Datagrams opened at a time, at most: more than 8 messages of the smallest size hold.
  private static var batch: Int { 512 }

  private init(_ job: Job, at address: Address) throws {
    let suite = try job.aeadProvider.makeSuite()
    if !suite.supports(job.aead) { throw Failure("this machine has no \(job.aead.name)") }
    let socket = try BlastSocket(job, bind: address)
    self.suite = suite
    self.socket = socket
    keys = Blast.keys(job.aead)
    jobs = Column(repeating: AEADJob(), count: Self.batch)
    payload = UInt64(job.datagram - Blast.overhead)
  }

  static func run(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    var receiver = try CeilingReceiver(job, at: address)
    announce(receiver.socket.backend.localAddress)
    let deadline = job.longestWait == .never ? .never : currentInstant() &+ job.longestWait
    var meter = Meter(length: job.length)
    while !meter.isDone {
      try receiver.step()
      let now = currentInstant()
      if !meter.isStarted {
        if receiver.delivered > 0 { meter.begin(at: now) }
        if now > deadline { throw Failure("nobody sent anything") }
      }
      if meter.isDue(at: now) {
        var counters = receiver.socket.counters
        counters[.bytesDelivered] = receiver.delivered
        meter.take(counters, at: now)
      }
    }
    var result = meter.result!
    result[.wrongPieces] = receiver.wrongPieces
    result.backend = receiver.socket.counters.backend
    return result
  }

  private mutating func step() throws {
    guard try socket.backend.wait(until: instant(after: .milliseconds(100))).isReadable else { return }
    // Bounded, so that the clock is read now and then.
    for _ in 0..<4 {
      let hasMore = try socket.backend.receive(into: &socket.incoming)
      try take()
      if !hasMore { return }
    }
  }

  private mutating func take() throws {
    for index in 0..<socket.incoming.count {
      let message = socket.incoming.messages[index]
      var place = 0
      while place < message.length {
        let length = min(message.segmentSize, message.length - place)
        if length == Blast.helloLength {
          socket.appendHello(to: message.address)
          try socket.flush()
        } else if length > Blast.overhead {
          append(message.offset + place, length)
        }
        place += length
      }
    }
    open()
  }

  @inline(__always) private mutating func append(_ offset: Int, _ length: Int) {
    if jobCount == jobs.count { open() }
    // Else a straggler of another run on this port.
    guard let packetNumber = Blast.packetNumber(of: socket.incoming.arena.bytes(offset, length)) else { return }
    var job = AEADJob()
    job.offset = offset
    job.length = length
    job.packetNumber = packetNumber
    jobs[jobCount] = job
    jobCount += 1
  }

  private mutating func open() {
    suite.open(&jobs, count: jobCount, in: &socket.incoming.arena, keys: keys)
    for index in 0..<jobCount {
      let job = jobs[index]
      let count = job.length - Blast.overhead
      let isRight =
        job.opened
        && pattern.matches(
          socket.incoming.arena.bytes(job.offset + Blast.headerLength, count), offset: job.packetNumber &* payload)
      if isRight { delivered &+= UInt64(count) } else { wrongPieces += 1 }
    }
    jobCount = 0
  }
}

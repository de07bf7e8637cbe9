// SPDX-License-Identifier: MIT
import CBenchSystem
import CLinux
import LRP2P
import LRP2PCore
import LRP2PReactor

// What one delivery has to cost: a datagram as long as the protocol's is sealed under its subscriber's key and sent to its address, and one
// as long as an ACK is received and opened. Nothing else: no window, no timer, no queue.

enum PublishCeiling {
  /// Header, sequence number, frame and tag.
  static var overhead: Int { 16 + 6 + 1 + 16 }
  static var answerLength: Int { 16 + 9 + 8 + 16 }

  static func keys(_ aead: AEAD, count: Int) -> KeyTable {
    var keys = KeyTable(repeating: TrafficKey(), count: 2 * count)
    for row in 0..<2 * count {
      for index in 0..<32 { keys[KeyRow(row)].bytes[index] = UInt8(truncatingIfNeeded: row &+ index) }
      keys[KeyRow(row)].aead = aead.rawValue
    }
    return keys
  }

  /// The measured end.
  static func publish(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    var publisher = try CeilingPublisher(job, at: address)
    announce(publisher.localAddress)
    try publisher.meet()
    for _ in 0..<3 { try publisher.round() }
    let before = (bench_cpu_time(), currentInstant())
    var rounds = 0
    while currentInstant() < before.1 &+ job.length {
      try publisher.round()
      rounds += 1
    }
    var result = Measurement()
    result[.cpuNanoseconds] = bench_cpu_time() - before.0
    result[.elapsedNanoseconds] = currentInstant() &- before.1
    result[.rounds] = UInt64(rounds)
    result[.deliveries] = UInt64(rounds * job.peers)
    try publisher.farewell()
    return result
  }

  /// The other end answers every datagram; it does not look at it.
  static func answer(_ job: Job, to address: Address) throws -> Measurement {
    let incoming = DatagramBatch(messages: 64, messageCapacity: max(job.datagram, 2048))
    var backend = try CrowdBackend(to: address, incoming: incoming)
    var batch = incoming
    var outgoing = DatagramBatch(messages: 64, messageCapacity: 2048)
    let suite = try job.aeadProvider.makeSuite()
    let keys = keys(job.aead, count: job.peers)
    var jobs = Column(repeating: AEADJob(), count: 64)
    var greeted = 0
    while true {
      if greeted < job.peers {
        for _ in 0..<min(64, job.peers - greeted) {
          append(UInt64(greeted), 0, backend.address(greeted), &jobs, &outgoing)
          greeted += 1
        }
        try flush(&backend, &outgoing, &jobs, suite, keys)
      }
      guard try backend.waitReadable(greeted < job.peers ? 0 : .milliseconds(100)) else { continue }
      _ = try backend.receive(into: &batch)
      for index in 0..<batch.count {
        let message = batch.messages[index]
        let bytes = batch.arena.bytes(message.offset, message.length)
        let number = bytes.bigEndian64(0)
        if number == .max { return Measurement() }
        append(number, bytes.bigEndian64(8), message.address, &jobs, &outgoing)
      }
      try flush(&backend, &outgoing, &jobs, suite, keys)
    }
  }

  private static func append(
    _ number: UInt64, _ packetNumber: UInt64, _ address: Address, _ jobs: inout Column<AEADJob>,
    _ batch: inout DatagramBatch
  ) {
    guard let place = batch.place(answerLength, for: address, group: number + 1) else { return }
    var bytes = batch.arena.mutableBytes(place, answerLength)
    bytes.setBigEndian64(0, number)
    bytes.setBigEndian64(8, packetNumber)
    var job = AEADJob()
    job.offset = place
    job.length = answerLength
    job.key = KeyRow(2 * Int(number) + 1)
    job.packetNumber = packetNumber
    jobs[batch.count - 1] = job
  }

  private static func flush(
    _ backend: inout CrowdBackend, _ batch: inout DatagramBatch, _ jobs: inout Column<AEADJob>,
    _ suite: any CipherSuite,
    _ keys: borrowing KeyTable
  ) throws {
    guard batch.count > 0 else { return }
    suite.seal(jobs, count: batch.count, in: &batch.arena, keys: keys)
    while try !backend.send(&batch, now: currentInstant()) { _ = try backend.waitReadable(.milliseconds(1)) }
  }
}

private struct CeilingPublisher: ~Copyable {
  private var backend: SelectedBackend
  private var incoming: DatagramBatch
  private var outgoing: DatagramBatch
  private let signal: FileDescriptor
  private let suite: any CipherSuite
  private let keys: KeyTable
  private var addresses: Column<Address>
  private var jobs = Column(repeating: AEADJob(), count: 4096)
  private let payload: [UInt8]
  private let count: Int
  private var packetNumber: UInt64 = 1

  private static var atOnce: Int { 2 * Publisher.members }

  init(_ job: Job, at address: Address) throws {
    let configuration = try job.crowdConfiguration(isResponder: true)
    let signal = FileDescriptor(owning: Int32(try check(lrp2p_eventfd(), "create eventfd")))
    let suite = try job.aeadProvider.makeSuite()
    let incoming = SelectedBackend.incomingBatch(
      configuration, messageCapacity: ReactorConfiguration.receiveMessageCapacity)
    backend = try SelectedBackend(
      configuration, socket: UDPSocket(bind: address, configuration: configuration), signal: signal.raw,
      incoming: incoming)
    self.signal = signal
    self.suite = suite
    self.incoming = incoming
    outgoing = DatagramBatch(messages: configuration.sendMessages, messageCapacity: configuration.sendMessageCapacity)
    keys = PublishCeiling.keys(job.aead, count: job.peers)
    addresses = Column(repeating: .none, count: job.peers)
    payload = [UInt8](repeating: 7, count: job.messageBytes)
    count = job.peers
  }

  var localAddress: Address { backend.localAddress }

  /// Learns where all subscribers are.
  mutating func meet() throws {
    var known = 0
    let deadline = currentInstant() &+ .seconds(60)
    while known < count {
      guard currentInstant() < deadline else { throw Failure("\(known) of \(count) subscribers are there") }
      guard try backend.wait(until: instant(after: .milliseconds(100))).isReadable else { continue }
      _ = try backend.receive(into: &incoming)
      for index in 0..<incoming.count {
        let message = incoming.messages[index]
        let number = Int(incoming.arena.bytes(message.offset, 8).bigEndian64(0))
        guard number < count else { continue }
        if addresses[number] == .none { known += 1 }
        addresses[number] = message.address
      }
    }
  }

  /// A datagram to each, and an answer of each.
  mutating func round() throws {
    var (next, answered) = (0, 0)
    let deadline = currentInstant() &+ .seconds(20)
    while answered < count {
      // As many at once as the other end's socket has room for.
      if next < count, next - answered < Self.atOnce {
        var placed = 0
        while next < count, next - answered < Self.atOnce, let place = place(next) {
          jobs[placed] = place
          placed += 1
          next += 1
        }
        suite.seal(jobs, count: placed, in: &outgoing.arena, keys: keys)
        while try !backend.send(&outgoing, now: currentInstant()) {
          _ = try backend.wait(until: instant(after: .milliseconds(1)))
        }
      }
      guard
        try backend.wait(
          until: next < count && next - answered < Self.atOnce ? 0 : instant(after: .milliseconds(10))
        ).isReadable
      else {
        // What the kernel has dropped is not sent again.
        if next == count, currentInstant() > deadline { throw Failure("\(count - answered) answers are missing") }
        continue
      }
      for _ in 0..<4 {
        let hasMore = try backend.receive(into: &incoming)
        answered += take()
        if !hasMore { break }
      }
    }
    packetNumber += 1
  }

  private mutating func place(_ number: Int) -> AEADJob? {
    let (payload, packetNumber) = (payload, packetNumber)
    let length = payload.count + PublishCeiling.overhead
    guard let offset = outgoing.place(length, for: addresses[number], group: UInt64(number) + 1) else { return nil }
    var bytes = outgoing.arena.mutableBytes(offset, length)
    bytes.setBigEndian64(0, UInt64(number))
    bytes.setBigEndian64(8, packetNumber)
    bytes.copy(unsafe payload.span.bytes, to: 23)
    var job = AEADJob()
    job.offset = offset
    job.length = length
    job.key = KeyRow(2 * number)
    job.packetNumber = packetNumber
    return job
  }

  /// - Returns: answers that were opened.
  private mutating func take() -> Int {
    var found = 0
    for index in 0..<incoming.count {
      let message = incoming.messages[index]
      var at = 0
      while at < message.length {
        let number = incoming.arena.bytes(message.offset + at, 8).bigEndian64(0)
        var job = AEADJob()
        job.offset = message.offset + at
        job.length = min(message.segmentSize, message.length - at)
        job.key = KeyRow(2 * Int(number % UInt64(count)) + 1)
        job.packetNumber = incoming.arena.bytes(message.offset + at + 8, 8).bigEndian64(0)
        if job.packetNumber == packetNumber, found < jobs.count {
          jobs[found] = job
          found += 1
        }
        at += max(message.segmentSize, 1)
      }
    }
    suite.open(&jobs, count: found, in: &incoming.arena, keys: keys)
    var opened = 0
    for index in 0..<found where jobs[index].opened { opened += 1 }
    return opened
  }

  mutating func farewell() throws {
    for _ in 0..<3 {
      guard let offset = outgoing.place(40, for: addresses[0], group: 1) else { return }
      var bytes = outgoing.arena.mutableBytes(offset, 40)
      bytes.setBigEndian64(0, .max)
      _ = try backend.send(&outgoing, now: currentInstant())
    }
  }
}

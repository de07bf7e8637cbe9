// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation

/// Sends what nobody asked for as fast as it can, each datagram from another address of 127.0.0.0/8.
struct Flooder: ~Copyable {
  private let kind: FloodKind
  private var backend: CrowdBackend
  // The backend wants one to receive into; nothing is read.
  private let unread: DatagramBatch
  private var batch: DatagramBatch
  private var random = SeededRandom(seed: .random(in: 0 ... .max))
  private var captures: [(offset: Int, length: Int)] = []
  private var captured = Arena(byteCount: FloodPlan.captures * FloodPlan.longestCapture)
  private var nextCapture = 0

  private static var messages: Int { 64 }
  private static var messageBytes: Int { 2048 }
  /// What a sealed segment of a few bytes needs.
  private static var forgedBytes: Int { 100 }
  private static var longestGarbage: UInt64 { 256 }

  private init(_ kind: FloodKind, to target: Address) throws {
    guard target.isLoopback, target.isIPv4 else { throw Failure("a flood needs a target on 127.0.0.0/8") }
    let unread = DatagramBatch(messages: 1, messageCapacity: Self.messageBytes)
    let backend = try CrowdBackend(to: target, incoming: unread, receiveBuffer: 4096)
    self.kind = kind
    self.backend = backend
    self.unread = unread
    batch = DatagramBatch(messages: Self.messages, messageCapacity: Self.messageBytes)
    prepare()
  }

  /// - Parameter announce: told where captured datagrams are taken.
  static func run(_ job: Job, to address: Address, announce: (Address) -> Void) throws -> Measurement {
    guard let kind = job.flood else { throw Failure("flood: of what kind?") }
    var raw = try RawUDP(bind: .loopback, spin: false)
    // A flood that goes astray ends in this socket, which nobody reads.
    let decoy = try UDPSocket(bind: .loopback, configuration: ReactorConfiguration())
    var flooder = try Flooder(kind, to: job.isUnread ? decoy.localAddress : address)
    announce(raw.localAddress)
    while let (count, _) = try raw.receive(until: job.start) { flooder.capture(raw.buffer.bytes(0, count)) }
    if kind == .replay, flooder.captures.isEmpty { throw Failure("nothing was captured to replay") }
    return try flooder.flood(until: job.floodEnd)
  }

  private mutating func capture(_ datagram: RawSpan) {
    guard captures.count < FloodPlan.captures, datagram.byteCount <= FloodPlan.longestCapture else { return }
    let offset = captures.count * FloodPlan.longestCapture
    var bytes = captured.mutableBytes(offset, datagram.byteCount)
    bytes.copy(datagram, to: 0)
    captures.append((offset, datagram.byteCount))
  }

  private mutating func flood(until end: Instant) throws -> Measurement {
    let start = currentInstant()
    var now = start
    while now < end {
      for index in 0..<Self.messages { write(index) }
      batch.count = Self.messages
      while batch.count > 0, try !backend.send(&batch, now: now) { now = currentInstant() }
      now = currentInstant()
    }
    var statistics = ReactorStatistics()
    backend.count(into: &statistics)
    var result = Measurement()
    result[.elapsedNanoseconds] = now &- start
    result[.datagramsSent] = statistics.datagramsSent
    return result
  }

  /// What stays the same in all datagrams of a place in the batch.
  private mutating func prepare() {
    for index in 0..<Self.messages {
      let offset = index * Self.messageBytes
      batch.messages[index].offset = offset
      for at in stride(from: 0, to: Self.messageBytes, by: 8) { write(random.next(), at: offset + at) }
      if kind == .message1 { writeParameters(offset) }
    }
  }

  /// The payload of a message 1 behind its id and ephemeral key.
  private mutating func writeParameters(_ offset: Int) {
    var parameters = HandshakeParameters()
    parameters.hasReceiveID = true
    parameters.isPublic = true
    parameters.hasAttemptToken = true
    parameters.offer(.aes256GCM)
    parameters.offer(.chacha20Poly1305)
    let length = Datagram.smallestPath - Self.payloadOffset
    var payload = batch.arena.mutableBytes(offset + Self.payloadOffset, length)
    let written = parameters.write(into: &payload, paddedTo: length)
    precondition(written == length, "message 1 is as long as it must be")
  }

  private static var payloadOffset: Int { Datagram.handshakeHeaderLength + 32 }

  private mutating func write(_ index: Int) {
    let offset = index * Self.messageBytes
    let word = random.next()
    let length: Int
    switch kind {
    case .message1:
      length = Datagram.smallestPath
      write(word | 1, at: offset)
      write(random.next(), at: offset + 8)
      // Parameter 1 comes first: its value stands behind magic, type and length.
      write(word | 1, at: offset + Self.payloadOffset + 8)
    case .garbage:
      length = 1 + Int(random.below(Self.longestGarbage))
      write(word, at: offset)
      write(random.next(), at: offset + 8)
    case .replay:
      let capture = captures[nextCapture]
      nextCapture = (nextCapture + 1) % captures.count
      length = capture.length
      Self.copy(captured, capture.offset, length, to: offset, of: &batch)
    case .forgedID:
      length = Self.forgedBytes
      write(word, at: offset)
      write(random.below(1 << 20), at: offset + 8)
    }
    batch.messages[index].address = Address.loopback(Int(random.next() >> 40))
    batch.messages[index].length = length
    batch.messages[index].segmentSize = length
  }

  private static func copy(
    _ captured: borrowing Arena, _ from: Int, _ length: Int, to offset: Int, of batch: inout DatagramBatch
  ) {
    var target = batch.arena.mutableBytes(offset, length)
    target.copy(captured.bytes(from, length), to: 0)
  }

  private mutating func write(_ word: UInt64, at offset: Int) {
    var bytes = batch.arena.mutableBytes(offset, 8)
    bytes.setBigEndian64(0, word)
  }
}

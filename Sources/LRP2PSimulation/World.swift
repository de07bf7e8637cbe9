import LRP2PCore

/// Two engines and the two links between them, in virtual time: everything that happens follows from the seed.
package struct World<H: Handler>: ~Copyable {
  package private(set) var now: Instant = 1_000_000_000
  package var first: Engine
  package var second: Engine
  package var firstHandler: H
  package var secondHandler: H
  /// From the first engine to the second, and back.
  package var forth: Link
  package var back: Link
  /// Where the first engine is at present: a NAT that rebinds changes it. What goes to an earlier address is lost.
  package var presentAddress = Self.firstAddress
  /// Repeats everything from the first engine under an address of its own, ahead of the original.
  package var spoofer: Address?
  /// Whether the spoofer passes on what it is answered, as if from the second engine.
  package var spooferForwards = false
  package private(set) var dropped = 0
  package private(set) var corrupted = 0
  package private(set) var carried = 0

  private var flights = FlightQueue()
  private var random: SeededRandom
  private var sequence: UInt64 = 0
  private var incoming: DatagramBatch
  private var outgoing: DatagramBatch

  package static var firstAddress: Address { Address(ipv4: 0x0A00_0001, port: 1000) }
  package static var secondAddress: Address { Address(ipv4: 0x0A00_0002, port: 2000) }

  package init(
    seed: UInt64, configuration: EngineConfiguration, link: Link, firstHandler: H, secondHandler: H,
    batchMessages: Int = 64
  ) {
    incoming = DatagramBatch(messages: batchMessages, messageCapacity: Datagram.maximumLength)
    outgoing = DatagramBatch(messages: 4, messageCapacity: 16_384)
    random = SeededRandom(seed: seed)
    forth = link
    back = link
    self.firstHandler = firstHandler
    self.secondHandler = secondHandler
    first = Self.engine(configuration, &random, now)
    second = Self.engine(configuration, &random, now)
  }

  private static func engine(
    _ configuration: EngineConfiguration, _ random: inout SeededRandom, _ now: Instant
  ) -> Engine {
    let suite = ClearSuite(seed: random.next())
    var secret = SecretKey(repeating: 0)
    var elements = secret.mutableSpan
    var bytes = unsafe elements.mutableBytes
    suite.random(&bytes)
    return Engine(configuration: configuration, secretKey: secret, suite: suite, seed: random.next(), now: now)
  }

  /// Goes on until `isDone` or `limit` nanoseconds have passed.
  /// - Returns: whether it was done.
  package mutating func run(
    for limit: Nanoseconds, until isDone: (borrowing World<H>) -> Bool = { _ in false }
  ) -> Bool {
    let end = now + limit
    while !isDone(self) {
      transmitAll()
      let next = min(flights.nextArrival, min(first.nextDeadline, second.nextDeadline))
      if next == .never || next > end {
        now = end
        return isDone(self)
      }
      now = max(now, next)
      deliver()
      first.expire(now: now, handler: &firstHandler)
      second.expire(now: now, handler: &secondHandler)
    }
    return true
  }

  /// Puts a datagram of anyone's making on its way to the second engine, at once.
  package mutating func inject(_ bytes: [UInt8], from address: Address, toSecond: Bool = true) {
    sequence += 1
    flights.push(
      Flight(arrival: now, sequence: sequence, destination: toSecond ? 1 : 0, address: address, bytes: bytes))
  }

  /// Seals `plaintext` as the next datagram of one side of an established connection and delivers it at once.
  /// Nothing happens when that side has no keys any more.
  package mutating func injectSealed(_ plaintext: [UInt8], fromFirst: Bool, peer: Peer) {
    let slot = Int(peer.connectionID & 0xFF_FFFF)
    let bytes = fromFirst ? Self.seal(plaintext, slot, &first) : Self.seal(plaintext, slot, &second)
    guard let bytes else { return }
    inject(bytes, from: fromFirst ? Self.firstAddress : Self.secondAddress, toSecond: fromFirst)
  }

  private static func seal(_ plaintext: [UInt8], _ slot: Int, _ engine: inout Engine) -> [UInt8]? {
    guard slot < engine.peers.slots, engine.peers.keys[PeerTable.sealingRow(slot)].aead != 0 else { return nil }
    let packetNumber = engine.peers.rows[slot].sendPacketNumber
    engine.peers.rows[slot].sendPacketNumber += 1
    return sealed(
      plaintext, id: engine.peers.rows[slot].remoteID, packetNumber: packetNumber,
      key: engine.peers.keys[PeerTable.sealingRow(slot)])
  }

  /// A datagram as whoever has `key` would seal it.
  package static func sealed(_ plaintext: [UInt8], id: UInt64, packetNumber: UInt64, key: TrafficKey) -> [UInt8] {
    let length = 32 + plaintext.count
    var arena = Arena(byteCount: length)
    var bytes = arena.mutableBytes(0, length)
    bytes.setBigEndian64(0, id)
    bytes.setBigEndian64(8, packetNumber)
    for index in plaintext.indices { bytes.setByte(16 + index, plaintext[index]) }
    var jobs = Column(repeating: AEADJob(), count: 1)
    jobs[0].length = length
    jobs[0].packetNumber = packetNumber
    let keys = Column(repeating: key, count: 1)
    ClearSuite(seed: 0).seal(jobs, count: 1, in: &arena, keys: keys)
    return copy(arena.bytes(0, length))
  }

  // MARK: Moving datagrams

  private mutating func transmitAll() {
    for _ in 0..<64 {
      first.transmit(into: &outgoing, now: now, handler: &firstHandler)
      let firstSent = outgoing.count
      launch(from: presentAddress)
      second.transmit(into: &outgoing, now: now, handler: &secondHandler)
      let secondSent = outgoing.count
      launch(from: Self.secondAddress)
      if firstSent == 0, secondSent == 0 { return }
    }
  }

  private mutating func launch(from source: Address) {
    for index in 0..<outgoing.count {
      let message = outgoing.messages[index]
      var at = 0
      while at < message.length {
        let length = min(message.segmentSize, message.length - at)
        let bytes = Self.copy(outgoing.arena.bytes(message.offset + at, length))
        at += length
        if message.address == Self.secondAddress {
          if let spoofer {
            sequence += 1
            flights.push(
              Flight(arrival: now + forth.delay / 2, sequence: sequence, destination: 1, address: spoofer, bytes: bytes)
            )
          }
          forth = launch(bytes, on: forth, to: 1, from: source)
        } else if message.address == presentAddress || (spooferForwards && message.address == spoofer) {
          back = launch(bytes, on: back, to: 0, from: source)
        }
      }
    }
    outgoing.clear()
  }

  private static func copy(_ bytes: RawSpan) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: bytes.byteCount) { target, count in
      for index in 0..<bytes.byteCount { unsafe target[index] = bytes.byte(index) }
      count = bytes.byteCount
    }
  }

  /// - Returns: the link, with what it has yet to carry.
  private mutating func launch(
    _ bytes: [UInt8], on link: Link, to destination: Int, from source: Address
  ) -> Link {
    var link = link
    carried += 1
    if link.isDown || bytes.count > link.largestDatagram || random.happens(link.loss) {
      dropped += 1
      return link
    }
    var departure = now
    if link.rate > 0 {
      let start = max(link.freeAt, now)
      let waiting = (start - now) * link.rate / 8_000_000_000
      if waiting > UInt64(link.buffer) {
        dropped += 1
        return link
      }
      departure = start + UInt64(bytes.count) * 8_000_000_000 / link.rate
      link.freeAt = departure
    }
    var bytes = bytes
    if random.happens(link.corruption) {
      corrupted += 1
      bytes[Int(random.below(UInt64(bytes.count)))] ^= UInt8(1 + random.below(255))
    }
    for _ in 0..<(random.happens(link.duplication) ? 2 : 1) {
      sequence += 1
      flights.push(
        Flight(
          arrival: departure + link.delay + random.below(link.jitter), sequence: sequence, destination: destination,
          address: source, bytes: bytes))
    }
    return link
  }

  private mutating func deliver() {
    for destination in 0..<2 {
      incoming.clear()
      var others: [Flight] = []
      while flights.nextArrival <= now, incoming.count < incoming.messages.count {
        let flight = flights.pop()
        guard flight.destination == destination else {
          others.append(flight)
          continue
        }
        var message = Message()
        message.offset = incoming.count * incoming.messageCapacity
        message.length = flight.bytes.count
        message.segmentSize = flight.bytes.count
        message.address = flight.address
        var target = incoming.arena.mutableBytes(message.offset, flight.bytes.count)
        unsafe target.copy(flight.bytes.span.bytes, to: 0)
        incoming.messages[incoming.count] = message
        incoming.count += 1
      }
      for flight in others { flights.push(flight) }
      if destination == 0 {
        first.receive(&incoming, now: now, handler: &firstHandler)
      } else {
        second.receive(&incoming, now: now, handler: &secondHandler)
      }
    }
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore

/// Hosts, each an engine with its user's callbacks, and the links between them, in virtual time on one thread: the real
/// protocol core, and everything that happens follows from the seed.
///
/// Make hosts, then links between them, then `run`. See docs/simulation.md.
public struct SimulatedNetwork<H: Handler>: ~Copyable {
  /// The virtual time.
  public private(set) var now: Instant = 1_000_000_000
  /// Changes with every datagram that is sent, what is in it and what becomes of it.
  public private(set) var traceHash: UInt64 = 0x9E37_79B9_7F4A_7C15
  /// Datagrams sent.
  public private(set) var datagrams: UInt64 = 0
  /// Times that a host was woken.
  public private(set) var wakes: UInt64 = 0
  /// Hosts wake only at multiples of this, as behind a network card that coalesces interrupts; 0 is at once.
  public var coalescing: Nanoseconds = 0
  /// Whether amplification is checked, and how often more than three times what came from an unproved address went there.
  package var checksAmplification = false
  package internal(set) var amplifications = 0
  /// Whether the congestion window is checked.
  package var checksCongestion = false
  var exchanged: [ExchangeKey: Exchange] = [:]
  /// Whether datagrams for connections that are over are watched as they arrive, and what they did.
  package var watchesLateArrivals = false
  package internal(set) var late = LateArrivals()
  /// What becomes of the segments that a link is given, if somebody wants to know.
  package var ledger: ResendLedger?
  /// What leaves from here on, if it is to be kept.
  package var recorded: [RecordedDatagram]?
  /// Links keep only both ends of long datagrams.
  package var elidesPayloads = false

  package var hosts = Slots<Int, SimulatedHost<H>>(count: 8)
  /// Hosts that were added.
  public private(set) var hostCount = 0
  var links = Slots<Int, LinkState>(count: 8)
  private var linkCount = 0
  /// The link from each host to each, by `from * 256 + to`; -1 is none.
  private var routes = [Int32](repeating: -1, count: 65_536)
  private var hostOfAddress: [Address: Int] = [:]
  private var random: SeededRandom
  private var sequence: UInt64 = 0
  var cells: ReceivePool
  private var ends = ReceivePool(cellBytes: Self.endBytes, maximumBytes: 1)
  private var incoming: DatagramBatch
  /// Datagrams in it.
  private var incomingCount = 0
  /// Whether a host gets equal datagrams that arrive one behind the other as one message, as UDP_GRO has it.
  package var mergesArrivals = true
  var outgoing: DatagramBatch
  private let messageCapacity: Int

  /// Repeats everything from host 0 to host 1 under an address of its own, ahead of the original; and whether it passes on what
  /// it is answered, as if from host 1.
  package var spoofer: Address?
  package var spooferForwards = false

  /// Addresses that stand for hosts.
  package var relays: [Address: Relay] = [:]

  /// Somebody on the way to host 0.
  package var tap: Tap?

  /// The tag, and before it the headers, the longest ACK option, and of the payload the first 24 bytes at least.
  private static var endBytes: Int { 128 }
  private static var shortestElided: Int { 1300 }

  /// - Parameters:
  ///   - largestDatagram: the most bytes that a host of this network sends as one datagram.
  ///   - batchMessages: datagrams that a host takes at once.
  public init(seed: UInt64, largestDatagram: Int = 1500, batchMessages: Int = 64) {
    random = SeededRandom(seed: seed)
    messageCapacity = (max(largestDatagram, 1500) + 63) & ~63
    cells = ReceivePool(cellBytes: messageCapacity, maximumBytes: 1 << 33)
    incoming = DatagramBatch(messages: batchMessages, messageCapacity: messageCapacity)
    outgoing = DatagramBatch(messages: 8, messageCapacity: 65_536)
  }

  // MARK: Making a world

  /// Adds a host at `address`; its keys and its randomness follow from the seed.
  /// - Returns: its number, 0 … 255.
  @discardableResult
  public mutating func addHost(
    _ handler: H, at address: Address, configuration: EngineConfiguration = EngineConfiguration()
  ) -> Int {
    var drawn = random
    defer { random = drawn }
    return addHost(handler, at: address, configuration: configuration, random: &drawn)
  }

  /// Whose keys follow from a randomness of its own, so that the others have the same with it and without.
  package mutating func addHost(
    _ handler: H, at address: Address, configuration: EngineConfiguration, random: inout SeededRandom
  ) -> Int {
    precondition(hostCount < 256, "a simulated network has at most 256 hosts")
    if hostCount == hosts.count { hosts.grow(to: 2 * hostCount) }
    let suite = ClearSuite(seed: random.next())
    var secret = SecretKey(repeating: 0)
    var elements = secret.mutableSpan
    var bytes = unsafe elements.mutableBytes
    suite.random(&bytes)
    hosts.insert(
      SimulatedHost(
        handler, suite: suite, configuration: configuration, secretKey: secret, seed: random.next(), address: address,
        now: now), at: hostCount)
    hostOfAddress[address] = hostCount
    hostCount += 1
    return hostCount - 1
  }

  /// Adds a link, which carries nothing until `route` says what.
  /// - Returns: its number.
  public mutating func addLink(_ link: Link) -> Int {
    if linkCount == links.count { links.grow(to: 2 * linkCount) }
    links.insert(LinkState(link), at: linkCount)
    linkCount += 1
    return linkCount - 1
  }

  /// Has datagrams from one host to another take this link. Links may be shared.
  public mutating func route(from source: Int, to destination: Int, over link: Int) {
    precondition(source < hostCount && destination < hostCount && link < linkCount)
    routes[source * 256 + destination] = Int32(link)
  }

  /// Keeps only both ends of long datagrams from now on, for payloads that nobody looks at behind their first 8 bytes: then as many
  /// can be under way as a long path holds.
  package mutating func protectHeads() {
    ends = ReceivePool(cellBytes: Self.endBytes, maximumBytes: 1 << 32)
    for host in 0..<hostCount { hosts[host].suite.protectedBytes = Self.endBytes - 16 }
  }

  /// The link that datagrams from one host to another take.
  package func link(from source: Int, to destination: Int) -> Int? {
    let link = Int(routes[source * 256 + destination])
    return link < 0 ? nil : link
  }

  // MARK: Reaching into it

  /// A link's behaviour; it may be changed at any time.
  public subscript(link number: Int) -> Link {
    get { links[number].link(at: now) }
    set { links[number].change(to: newValue, now: now) }
  }

  /// What a link has done so far.
  public func counters(ofLink number: Int) -> LinkCounters { links[number].counters }

  /// Calls `body` with a host's engine and handler, as if from one of its callbacks.
  @discardableResult
  public mutating func onHost<Result>(
    _ host: Int, _ body: (inout Engine, inout H) throws -> Result
  ) rethrows -> Result {
    wake(host)
    return try hosts[host].reach(body)
  }

  /// Reads a host's engine and handler.
  public func readHost<Result>(_ host: Int, _ body: (borrowing Engine, borrowing H) throws -> Result) rethrows -> Result
  {
    try body(hosts[host].engine, hosts[host].handler)
  }

  /// What a NAT does: the host is at another address from now on, and what goes to the earlier one is lost.
  public mutating func rebind(_ host: Int, to address: Address) {
    hostOfAddress[hosts[host].address] = nil
    hosts[host].address = address
    hostOfAddress[address] = host
  }

  /// Where a host is now.
  public func address(of host: Int) -> Address { hosts[host].address }

  /// A host's process ends without a word to anybody, and is started anew, with the same identity and configuration: all its
  /// connections are lost.
  public mutating func restart(_ host: Int, _ handler: H) {
    hosts[host].restart(handler, seed: random.next(), now: now + hosts[host].clockAhead)
  }

  /// The host's clock is this much ahead of the world's from now on; a monotonic clock is only ever set forward.
  public mutating func setClock(_ host: Int, ahead: Nanoseconds) { hosts[host].clockAhead = ahead }
  /// How much later than `now` it is by a host's own clock, in nanoseconds.
  public func clockAhead(_ host: Int) -> Nanoseconds { hosts[host].clockAhead }

  /// A host sends so many datagrams a second at most, as a process does that has one core: with this many in its socket its
  /// engine is asked for no more until they have left.
  public mutating func limitSending(of host: Int, datagramsPerSecond: UInt64, socket: UInt64) {
    hosts[host].sendingTime = max(1_000_000_000 / datagramsPerSecond, 1)
    hosts[host].socketTime = socket * hosts[host].sendingTime
  }

  // MARK: Time

  /// Goes on until `isDone` or `limit` nanoseconds have passed.
  /// - Returns: whether it was done.
  @discardableResult
  public mutating func run(
    for limit: Nanoseconds, until isDone: (borrowing SimulatedNetwork<H>) -> Bool = { _ in false }
  ) -> Bool {
    let end = now + limit
    for host in 0..<hostCount { hosts[host].isDirty = true }
    while !isDone(self) {
      if !advance(until: end) { return isDone(self) }
    }
    return true
  }

  /// What happens next, at `end` at the latest, after hosts have been reached into.
  package mutating func step(until end: Instant) {
    for host in 0..<hostCount { hosts[host].isDirty = true }
    _ = advance(until: end)
  }

  /// - Returns: whether anything happens before `end`.
  mutating func advance(until end: Instant) -> Bool {
    transmitAll()
    var next = Instant.never
    for host in 0..<hostCount { next = min(next, wakeTime(of: host)) }
    if next > end {
      now = max(now, end)
      return false
    }
    now = max(now, next)
    for host in 0..<hostCount where wakeTime(of: host) <= now { wake(host) }
    return true
  }

  private func wakeTime(of host: Int) -> Instant {
    var deadline = hosts[host].engine.nextDeadline
    if deadline != .never { deadline = max(deadline, hosts[host].clockAhead) - hosts[host].clockAhead }
    var next = min(deadline, hosts[host].inbox.nextArrival)
    // It has more to send than its socket took.
    if hosts[host].isDirty { next = min(next, max(hosts[host].mayTransmitAt, now)) }
    guard coalescing > 0, next != .never else { return next }
    return (next + coalescing - 1) / coalescing * coalescing
  }

  private mutating func wake(_ host: Int) {
    wakes += 1
    hosts[host].isDirty = true
    let local = now + hosts[host].clockAhead
    // As a reactor does it: a timer that is set while datagrams are received waits for the next turn.
    let isDue = hosts[host].engine.nextDeadline <= local
    let received = hosts[host].datagramsReceived
    while deliver(host, local) {}
    if isDue || hosts[host].datagramsReceived == received {
      hosts[host].expire(now: local)
    } else {
      hosts[host].engine.pass(to: local)
    }
  }

  // MARK: Moving datagrams

  /// Puts a datagram of anyone's making on its way to a host, at once.
  package mutating func inject(_ bytes: RawSpan, from source: Address, to host: Int) {
    guard bytes.byteCount <= messageCapacity, let cell = cells.store(bytes) else { return }
    var flight = Flight()
    flight.cell = cell
    flight.length = UInt32(bytes.byteCount)
    send(flight, from: source, to: host, at: now)
  }

  private mutating func transmitAll() {
    for _ in 0..<4096 {
      var isQuiet = true
      for host in 0..<hostCount where hosts[host].isDirty && hosts[host].mayTransmitAt <= now {
        if checksCongestion { hosts[host].noteInFlight() }
        hosts[host].transmit(into: &outgoing, now: now + hosts[host].clockAhead)
        if checksCongestion { hosts[host].checkInFlight() }
        if outgoing.count == 0 {
          hosts[host].isDirty = false
        } else {
          isQuiet = false
          launch(from: host)
        }
      }
      if isQuiet { return }
    }
    preconditionFailure("a host goes on sending without a pause")
  }

  private mutating func launch(from host: Int) {
    let source = hosts[host].address
    for index in 0..<outgoing.count {
      let message = outgoing.messages[index]
      var destination = hostOfAddress[message.address] ?? -1
      if destination < 0, spooferForwards, message.address == spoofer { destination = 0 }
      if checksAmplification { noteSent(host, to: message.address, bytes: message.length) }
      let relay = destination < 0 ? relays[message.address] : nil
      if let relay { destination = relay.host }
      let route = destination < 0 ? -1 : relay?.link ?? Int(routes[host * 256 + destination])
      var at = 0
      while at < message.length {
        let length = min(message.segmentSize, message.length - at)
        precondition(maySend(length, from: host), "no datagram has \(length) bytes")
        recorded?.append(
          RecordedDatagram(
            time: now, host: host, destination: message.address,
            bytes: Self.copy(outgoing, message.offset + at, length)))
        carry(
          offset: message.offset + at, length, from: host, relay?.source ?? source, to: destination, over: route,
          ecn: message.ecn, isSpoofed: host == 0 && destination == 1)
        at += length
      }
    }
    outgoing.clear()
  }

  private mutating func carry(
    offset: Int, _ length: Int, from host: Int, _ source: Address, to destination: Int, over route: Int, ecn: UInt8,
    isSpoofed: Bool
  ) {
    datagrams += 1
    hosts[host].datagramsSent += 1
    trace(now ^ UInt64(length) << 48 ^ UInt64(host) << 40)
    let id = outgoing.arena.bytes(offset, 8).bigEndian64(0)
    let packetNumber = outgoing.arena.bytes(offset + 8, 8).bigEndian64(0)
    trace(id ^ packetNumber ^ outgoing.arena.bytes(offset + length - 8, 8).bigEndian64(0))
    guard route >= 0, length <= messageCapacity else {
      trace(1)
      return
    }
    if isSpoofed, let spoofer {
      var flight = keep(offset: offset, length)
      flight.ecn = ecn
      send(flight, from: spoofer, to: destination, at: now + links[route].link.delay / 2)
    }
    let departure = hosts[host].departure(now: now)
    switch links[route].carry(length, knowsECN: ecn != 0, random: &random, now: departure) {
    case .dropped:
      trace(2)
      if ledger != nil { note(offset, length, over: route, arrival: nil) }
    case .arrives(let arrival, let isMarked, let isCorrupted, let copyAt):
      trace(arrival)
      if ledger != nil { note(offset, length, over: route, arrival: isCorrupted ? nil : arrival) }
      var flight = keep(offset: offset, length)
      flight.ecn = links[route].ecn(ecn, isMarked: isMarked)
      if watchesLateArrivals {
        flight.isToConnection = hosts[destination].has(id)
        // Where sealed datagrams have their packet number, which never becomes that large here, a key begins.
        flight.isHandshake = packetNumber >> 32 != 0
      }
      if isCorrupted, !flight.isElided {
        cells.flip(bit: Int(random.below(UInt64(length) * 8)), of: flight.cell)
      }
      send(flight, from: source, to: destination, at: arrival)
      if destination == 0, let noticed = tap?.notices(from: host) {
        listen(noticed, offset, length, from: host, arrival)
      }
      if let copyAt {
        var copy = keep(offset: offset, length)
        copy.ecn = flight.ecn
        (copy.isToConnection, copy.isHandshake) = (flight.isToConnection, flight.isHandshake)
        copy.isCopy = true
        send(copy, from: source, to: destination, at: copyAt)
      }
    }
  }

  /// Keeps a copy of what passes, or repeats it ahead of the original under another address.
  private mutating func listen(
    _ noticed: Tap.Noticed, _ offset: Int, _ length: Int, from host: Int, _ arrival: Instant
  ) {
    switch noticed {
    case .keeps:
      let copy = Self.copy(outgoing, offset, length)
      tap?.keep(copy, from: host, arrival: arrival)
    case .repeats(let address):
      send(keep(offset: offset, length), from: address, to: 0, at: now)
    }
  }

  private static func copy(_ batch: borrowing DatagramBatch, _ offset: Int, _ length: Int) -> [UInt8] {
    let bytes = batch.arena.bytes(offset, length)
    return (0..<length).map { bytes.byte($0) }
  }

  /// Copies a datagram out of the outgoing batch.
  private mutating func keep(offset: Int, _ length: Int) -> Flight {
    var flight = Flight()
    flight.length = UInt32(length)
    flight.isElided =
      elidesPayloads && length >= Self.shortestElided
      && !HandshakeParameters.isMessage1(outgoing.arena.bytes(offset, length))
    let cell =
      flight.isElided
      ? Self.keepEnds(outgoing, offset, length, in: &ends) : Self.keep(outgoing, offset, length, in: &cells)
    guard let cell else { preconditionFailure("too many datagrams under way") }
    flight.cell = cell
    return flight
  }

  private static func keep(
    _ batch: borrowing DatagramBatch, _ offset: Int, _ length: Int, in pool: inout ReceivePool
  ) -> UInt32? {
    pool.store(batch.arena.bytes(offset, length))
  }

  private static func keepEnds(
    _ batch: borrowing DatagramBatch, _ offset: Int, _ length: Int, in pool: inout ReceivePool
  ) -> UInt32? {
    guard let cell = pool.reserve() else { return nil }
    pool.write(batch.arena.bytes(offset, endBytes - 16), to: cell, at: 0)
    pool.write(batch.arena.bytes(offset + length - 16, 16), to: cell, at: endBytes - 16)
    return cell
  }

  private mutating func send(_ flight: Flight, from source: Address, to host: Int, at arrival: Instant) {
    sequence += 1
    var flight = flight
    flight.arrival = arrival
    flight.sequence = sequence
    flight.source = source
    hosts[host].inbox.push(flight)
  }

  /// Hands a host what has arrived, a batch of it. - Returns: whether there may be more.
  private mutating func deliver(_ host: Int, _ local: Instant) -> Bool {
    let now = now
    while incomingCount < incoming.messages.count, let flight = hosts[host].inbox.pop(by: now) {
      if watchesLateArrivals, watch(flight, to: host, local) { continue }
      place(flight, for: host)
    }
    guard incomingCount > 0 else { return false }
    let isFull = incomingCount == incoming.messages.count
    receiveIncoming(host, local)
    return isFull
  }

  mutating func receiveIncoming(_ host: Int, _ local: Instant) {
    hosts[host].receive(&incoming, now: local)
    incoming.clear()
    incomingCount = 0
  }

  /// Puts a datagram that has arrived into the batch: behind the last one, if that was as long.
  mutating func place(_ flight: Flight, for host: Int) {
    var message = Message()
    let length = Int(flight.length)
    message.offset = incoming.used
    message.length = length
    message.segmentSize = length
    message.address = flight.source
    message.ecn = flight.ecn
    if flight.isElided {
      let kept = unsafe ends.bytes(flight.cell, Self.endBytes)
      incoming.write(kept.extracting(0..<Self.endBytes - 16), at: message.offset)
      incoming.write(kept.extracting(Self.endBytes - 16..<Self.endBytes), at: message.offset + length - 16)
      ends.release(flight.cell)
    } else {
      incoming.write(unsafe cells.bytes(flight.cell, length), at: message.offset)
      cells.release(flight.cell)
    }
    if mergesArrivals, incoming.count > 0, joins(message, incoming.messages[incoming.count - 1]) {
      incoming.messages[incoming.count - 1].length += length
    } else {
      incoming.messages[incoming.count] = message
      incoming.count += 1
    }
    incoming.used += length
    incomingCount += 1
    hosts[host].datagramsReceived += 1
    if checksAmplification {
      exchanged[ExchangeKey(host: host, address: flight.source), default: Exchange()].received += length
    }
  }

  /// A shorter one ends a message; 64 are the most.
  private func joins(_ message: Message, _ last: Message) -> Bool {
    guard message.length > 0, message.length <= last.segmentSize else { return false }
    return message.address == last.address && message.ecn == last.ecn && last.length % last.segmentSize == 0
      && last.length < 64 * last.segmentSize
  }

  /// Datagrams under way.
  public var underWay: Int {
    var count = 0
    for host in 0..<hostCount { count += hosts[host].inbox.count }
    return count
  }

  @inline(__always)
  private mutating func trace(_ value: UInt64) {
    traceHash = (traceHash ^ value) &* 0x9FB2_1C65_1E98_DF25
    traceHash ^= traceHash >> 29
  }
}

extension DatagramBatch {
  fileprivate mutating func write(_ bytes: RawSpan, at offset: Int) {
    var target = arena.mutableBytes(offset, bytes.byteCount)
    target.copy(bytes, to: 0)
  }
}

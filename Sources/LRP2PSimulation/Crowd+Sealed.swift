// SPDX-License-Identifier: MIT
import LRP2PCore

/// An ACK as no peer of ours writes it.
struct ForgedAck {
  var lastInOrder: UInt32 = .max
  var window: UInt32 = 1000
  var largest: UInt64 = 0
  /// One interval, from the first number above the last in-order one.
  var runs: [(count: UInt32, isFirstReceived: Bool)] = []

  var segment: [UInt8] {
    var arena = Arena(byteCount: 1200)
    var bytes = arena.mutableBytes(0, 1200)
    Segment.writeAck(flags: 0, lastInOrder: lastInOrder, window: min(window, 0xFF_FFFF), into: &bytes)
    var at = Segment.ackLength
    for value in [largest, 0, 0, 0, 0, 0, runs.isEmpty ? 0 : 1] { Varint.write(value, into: &bytes, at: &at) }
    if let first = runs.first {
      Varint.write(0, into: &bytes, at: &at)
      Varint.write(UInt64(runs.count) << 1 | (first.isFirstReceived ? 1 : 0), into: &bytes, at: &at)
      for run in runs where at < 1190 { Varint.write(UInt64(run.count), into: &bytes, at: &at) }
    }
    let written = arena.bytes(0, at)
    return (0..<at).map { written.byte($0) }
  }
}

// Authentic datagrams of hostile peers that have let their engines go.
extension Crowd {
  mutating func seal(_ segment: [UInt8], _ number: Int, from address: Address? = nil) {
    var datagram = [UInt8](repeating: 0, count: 16) + segment + [UInt8](repeating: 0, count: 16)
    if datagram.count < Datagram.minimumLength { return }
    datagram.setWord(0, attackers[number].remoteID)
    datagram.setWord(8, attackers[number].packetNumber)
    ClearSuite.seal(
      &datagram, packetNumber: attackers[number].packetNumber, key: attackers[number].key,
      protectedBytes: network.hosts[0].suite.protectedBytes)
    attackers[number].packetNumber += 1
    send(datagram, attackers[number].host, from: address)
  }

  mutating func seal(_ hostility: Hostility, _ number: Int) {
    switch hostility {
    case .lyingWindows: lie(number)
    case .ackRuns: acknowledgeInRuns(number)
    case .optimisticAcks: acknowledgeAll(number)
    case .gaps:
      for _ in 0..<8 {
        attackers[number].segments += 1
        let length = random.happens(0.5) ? 1 : Int(random.below(1300))
        seal(data(1 + attackers[number].segments, length: length), number)
      }
    case .pieces:
      attackers[number].segments += 1
      seal(piece(1 + attackers[number].segments % 20), number)
    case .tinySegments:
      for _ in 0..<8 {
        seal(data(1 + attackers[number].segments, length: 1), number)
        attackers[number].segments += 1
      }
    case .malformed: seal(malformed(), number)
    case .pings:
      for _ in 0..<8 { ping(number) }
    case .accepted: sendAccepted(number)
    case .abandoned, .garbage, .forgedIDs, .replays, .handshakeFlood, .falseAcks, .stalls: break
    }
  }

  /// What was accepted acts on what it sees of the server's end.
  private mutating func sendAccepted(_ number: Int) {
    guard var peer = attackers[number].accepted,
      let view = PeerView(network.hosts[0].engine, id: attackers[number].remoteID)
    else { return }
    if acceptedRandom.happens(0.1) { stopOrGoOn(number) }
    for _ in 0..<8 {
      let segment = peer.segment(view)
      send(peer.seal(segment, suite: network.hosts[0].suite), attackers[number].host)
    }
    attackers[number].accepted = peer
    measure(number)
  }

  /// The server reads what it sends, or does not.
  private mutating func stopOrGoOn(_ number: Int) {
    let stops = acceptedRandom.happens(0.5)
    let peer = Peer(connectionID: attackers[number].remoteID)
    network.onHost(0) { engine, _ in if stops { engine.pause(peer) } else { engine.resume(peer) } }
  }

  /// Then nobody goes on with it.
  var isBeyondBounds: Bool { mostWindowBytes > HostileHosts.mostBytes }

  /// What its connection costs the server beside the pool.
  private mutating func measure(_ number: Int) {
    guard let slot = network.hosts[0].engine.peers.slot(of: attackers[number].remoteID),
      network.hosts[0].engine.peers.flows.contains(slot)
    else { return }
    mostWindowBytes = max(mostWindowBytes, network.hosts[0].engine.peers.flows[slot].receivingBytes)
  }

  // MARK: Data

  private mutating func data(_ sequence: UInt32, length: Int, flags: UInt8 = 0) -> [UInt8] {
    [UInt8(Segment.dataLength), flags] + Self.big(sequence) + randomBytes(max(length, 0))
  }

  private mutating func piece(_ sequence: UInt32) -> [UInt8] {
    let total: UInt16 = 1300
    let offset = UInt16(64 * random.below(20))
    let head: [UInt8] = [12, 0] + Self.big(sequence) + [SegmentOption.fragment, 4]
    return head + [UInt8(offset >> 8), UInt8(offset & 255), UInt8(total >> 8), UInt8(total & 255)] + randomBytes(64)
  }

  private static func big(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32($0))) }
  }

  /// What parsers have to refuse, or to skip.
  private mutating func malformed() -> [UInt8] {
    let flags = UInt8(truncatingIfNeeded: random.next())
    switch random.below(8) {
    case 0: return randomBytes(6 + Int(random.below(100)))
    case 1: return [UInt8(random.below(256)), flags] + randomBytes(10 + Int(random.below(200)))
    // Options of all kinds and lengths.
    case 2: return [UInt8(40), 0] + Self.big(1) + randomBytes(60)
    // Pieces beyond their segment.
    case 3: return [12, 0] + Self.big(5) + [SegmentOption.fragment, 4] + randomBytes(4 + Int(random.below(300)))
    // Blocks of an ACK.
    case 4: return [9, SegmentFlag.ack] + Self.big(0) + randomBytes(3 + Int(random.below(300)))
    case 5: return [9, SegmentFlag.ack] + Self.big(0) + [0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 0] + randomBytes(40)
    // CONTROL of every kind but CLOSE, with too little behind it.
    case 6:
      let kind = [1, 2, 3, 4, 6, 77][Int(random.below(6))]
      return [6, SegmentFlag.control, 0, UInt8(kind), 0, 1] + randomBytes(Int(random.below(12)))
    default: return [6, SegmentFlag.control, 0, 5, 0, 0] + randomBytes(Int(random.below(4)))
    }
  }

  private mutating func ping(_ number: Int) {
    // From other addresses too: each CHALLENGE is to be answered to where it came from.
    let address =
      random.happens(0.1) ? Address(ipv4: 0x0C00_0000 + UInt32(random.below(1 << 16)), port: 4000) : nil
    if random.happens(0.5) {
      seal([6, SegmentFlag.control | SegmentFlag.ackNow, 0, 1] + randomBytes(2), number, from: address)
    } else {
      seal([6, SegmentFlag.control, 0, 3, 0, 0] + randomBytes(8), number, from: address)
    }
  }

  // MARK: ACK

  /// What the server has sent, as whoever receives it all would know.
  private func serverSent(_ number: Int) -> (base: UInt32, next: UInt32, largest: UInt64)? {
    guard let slot = network.hosts[0].engine.peers.slot(of: attackers[number].remoteID),
      network.hosts[0].engine.peers.rows[slot].phase == .established,
      network.hosts[0].engine.peers.flows.contains(slot)
    else { return nil }
    let largest = max(network.hosts[0].engine.peers.rows[slot].sendPacketNumber, 1) - 1
    return (
      network.hosts[0].engine.peers.flows[slot].send.base, network.hosts[0].engine.peers.flows[slot].send.next, largest
    )
  }

  private mutating func acknowledgeAll(_ number: Int) {
    guard let sent = serverSent(number) else { return }
    var ack = ForgedAck()
    (ack.lastInOrder, ack.largest, ack.window) = (sent.next &- 1, sent.largest, 0xFF_FFFF)
    seal(ack.segment, number)
  }

  private mutating func lie(_ number: Int) {
    guard let sent = serverSent(number) else { return }
    var ack = ForgedAck()
    ack.largest = sent.largest
    ack.lastInOrder = random.happens(0.5) ? sent.next &- 1 : sent.base &- 1
    ack.window = [0, 1, 2, 3, 1000, 0xFF_FFFF][Int(random.below(6))]
    seal(ack.segment, number)
  }

  private mutating func acknowledgeInRuns(_ number: Int) {
    guard let sent = serverSent(number) else { return }
    var ack = ForgedAck()
    ack.largest = sent.largest
    ack.window = 0xFF_FFFF
    if random.happens(0.3) {
      ack.lastInOrder = sent.next &- 1
    } else {
      // As far back as it takes, also to before what is outstanding.
      let count = min(sent.next, 512)
      guard count > 1 else { return }
      ack.lastInOrder = sent.next &- count &- 1
      ack.runs = (0..<count).map { (1, $0 == 0 && sent.next & 1 == 0) }
    }
    seal(ack.segment, number)
  }

  // MARK: Handshake

  /// A first message that can be made many of.
  mutating func learnMessage1(_ host: Int, _ stream: Int) {
    let peer = network.hosts[host].handler.streams[stream].peer
    message1 = Self.handshakeMessage(network.hosts[host].engine, peer)
  }

  private static func handshakeMessage(_ engine: borrowing Engine, _ peer: Peer) -> [UInt8] {
    guard let slot = engine.peers.slot(of: peer.connectionID), engine.peers.handshakes.contains(slot) else { return [] }
    let bytes = engine.peers.handshakes[slot].datagram.bytes(0, engine.peers.handshakes[slot].length)
    return (0..<bytes.byteCount).map { bytes.byte($0) }
  }

  mutating func flood(_ host: Int) {
    guard message1.count >= Datagram.smallestPath else { return }
    let address = Address(
      ipv4: 0x1000_0000 + UInt32(random.below(random.happens(0.5) ? 4096 : 1 << 24)),
      port: 1024 + UInt16(random.below(60_000)))
    switch random.below(10) {
    case 0..<6:
      // Another id, key and dial: nothing tells it from an honest one.
      var bytes = message1
      let id = random.next()
      bytes.setWord(0, id)
      for offset in stride(from: 8, to: 40, by: 8) { bytes.setWord(offset, random.next()) }
      bytes.setWord(HandshakeParameters.message1ReceiveID, id)
      if random.happens(0.2) { bytes = Array(bytes.prefix(Datagram.smallestPath)) }
      if floodIDs.count < 256 { floodIDs.append((id, address)) } else { floodIDs[Int(id & 255)] = (id, address) }
      send(bytes, host, from: address)
    case 6:
      let length = 40 + Int(random.below(1100))
      // The shortest are the original peer's.
      if length > 40 { refusable += 1 }
      send(Array(message1.prefix(length)), host, from: address)
      // From elsewhere: what an address may be answered is counted over all that came from there.
      var other = address
      other.port ^= 1
      if random.happens(0.4) { send(randomBytes(40), host, from: other) }
    case 7:
      // One bit is wrong.
      var bytes = message1
      bytes[Int(random.below(UInt64(bytes.count)))] ^= 1 << UInt8(random.below(8))
      send(bytes, host, from: address)
    default:
      guard !floodIDs.isEmpty else { return }
      let entry = floodIDs[Int(random.below(UInt64(floodIDs.count)))]
      var bytes = randomBytes(72 + Int(random.below(200)))
      bytes.setWord(0, entry.id)
      send(bytes, host, from: entry.address)
    }
  }
}

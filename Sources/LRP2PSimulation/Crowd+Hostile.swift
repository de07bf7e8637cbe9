// SPDX-License-Identifier: MIT
import LRP2PCore

/// What hostile peers do; those of one host do the same.
enum Hostility: String, CaseIterable {
  /// Random bytes.
  case garbage
  /// Ids of live connections of others, under their addresses and their own, random bytes behind them; and resets of these.
  case forgedIDs = "forged_id"
  /// What others have sent, once more.
  case replays = "replay"
  /// First messages from everywhere: valid ones, cut ones, the original peer's, false cookies, false third messages.
  case handshakeFlood = "handshake_flood"
  /// ACKs for what was never sent.
  case falseAcks = "false_ack"
  /// Windows that close, shrink and lie.
  case lyingWindows = "lying_window"
  /// ACKs with as many runs as they may have.
  case ackRuns = "ack_runs"
  /// ACKs for everything that was sent, whether it arrived or not.
  case optimisticAcks = "optimistic_ack"
  /// Data behind a gap that never closes.
  case gaps = "gap_kept_open"
  /// Pieces of segments that never become whole.
  case pieces = "piece"
  /// In order, a byte at a time.
  case tinySegments = "tiny_segment"
  /// Authentic datagrams that nobody can parse.
  case malformed
  /// PINGs and CHALLENGEs, as many as they can.
  case pings = "ping"
  /// Readers that stop for ever.
  case stalls = "stalled_reader"
  /// Connections that are opened, and left.
  case abandoned
  /// What `HostileProfile` has: numbers at all boundaries, gaps kept open, and the like. Of some hosts, whatever was drawn for
  /// them.
  case accepted

  /// Those that are drawn.
  static var drawn: [Hostility] { allCases.filter { $0 != .accepted } }

  /// Whether they speak past their engine, which hears and says nothing any more.
  var isSilent: Bool {
    switch self {
    case .garbage, .forgedIDs, .replays, .handshakeFlood, .falseAcks, .stalls: false
    case .lyingWindows, .ackRuns, .optimisticAcks, .gaps, .pieces, .tinySegments, .malformed, .pings, .abandoned,
      .accepted:
      true
    }
  }

  /// What they ask for.
  var role: CrowdRole {
    switch self {
    case .falseAcks, .lyingWindows, .ackRuns, .optimisticAcks, .stalls, .accepted: .download
    case .gaps, .pieces, .tinySegments, .malformed: .upload
    case .garbage, .forgedIDs, .replays, .handshakeFlood, .pings, .abandoned: .idle
    }
  }
}

/// A hostile peer.
struct Attacker {
  var host = 0
  var stream = -1
  var rounds = 0
  /// Of its connection, when it speaks past its engine.
  var key = TrafficKey()
  var remoteID: UInt64 = 0
  var packetNumber: UInt64 = 0
  /// Segments sent, of those kinds that number them themselves.
  var segments: UInt32 = 0
  /// Of `Hostility.accepted`.
  var accepted: HostilePeer?
}

struct AttackerHost {
  var host = 0
  var hostility = Hostility.garbage
  var peers = 0
  var sent: UInt64 = 0
}

extension Crowd {
  /// Datagrams a second for each hostile peer, on average.
  private static var zeal: Double { 12 }

  mutating func addAttackers(_ count: Int) {
    let hosts = min(max(count / 6, 1), 60)
    // In one world all do everything, in another most do the same.
    let weights = Hostility.drawn.map { _ in
      let drawn = Double(random.below(1000)) / 1000
      return drawn * drawn * drawn + 0.02
    }
    for _ in 0..<hosts {
      var host = AttackerHost()
      var drawn = Double(random.below(1_000_000)) / 1e6 * weights.reduce(0, +)
      var index = 0
      while index < weights.count - 1, drawn >= weights[index] {
        drawn -= weights[index]
        index += 1
      }
      host.hostility = Hostility.drawn[index]
      // From a randomness of its own, so that all others do what they did before there were these.
      if acceptedRandom.happens(0.2) { host.hostility = .accepted }
      var handler = CrowdHandler()
      handler.random = SeededRandom(seed: random.next())
      handler.stalls = host.hostility == .stalls
      // Some share a network.
      let network: UInt32 = 0x0B00_0000 + UInt32(random.below(40)) << 8
      host.host = addHost(handler, at: Address(ipv4: network + UInt32(attackerHosts.count) + 1, port: 3000), loss: 0)
      attackerHosts.append(host)
    }
    for number in 0..<count {
      var attacker = Attacker()
      let host = number % hosts
      attacker.host = host
      attackerHosts[host].peers += 1
      if attackerHosts[host].hostility == .accepted {
        let profiles = HostileProfile.allCases.filter(\.isSilent)
        let profile = profiles[Int(acceptedRandom.below(UInt64(profiles.count)))]
        attacker.accepted = HostilePeer(profile, seed: acceptedRandom.next())
      }
      attackers.append(attacker)
      dialLater(members.count + number, after: random.below(Self.dialling))
    }
  }

  /// Somebody hears what honest peers send.
  mutating func tapPeers(seed: UInt64) {
    var tap = Tap(seed: ~seed)
    tap.hosts = 1..<honestHosts + 1
    tap.keeps = 0.002
    tap.repeats = random.happens(0.5) ? 0.002 : 0
    tap.addresses = attackerHosts.map { network.address(of: $0.host) }
    network.tap = tap
  }

  mutating func dialAttacker(_ number: Int) {
    let host = attackerHosts[attackers[number].host]
    var request = CrowdRequest()
    request.isHostile = true
    request.role = host.hostility.role
    // Some of them have nothing outstanding at the server.
    if host.hostility == .accepted, number & 1 == 1 { request.role = .idle }
    request.number = members.count + number
    request.round = attackers[number].rounds
    attackers[number].rounds += 1
    attackers[number].stream = network.onHost(host.host) { engine, handler in
      handler.dial(request, to: Self.server, engine: &engine)
    }
    if message1.isEmpty { learnMessage1(host.host, attackers[number].stream) }
    if host.hostility == .stalls || host.hostility == .abandoned { count(host.hostility.rawValue) }
  }

  /// Hostile peers that have a connection let their engines go, and keep the keys.
  mutating func silence() {
    for number in attackers.indices where attackers[number].stream >= 0 {
      let host = attackerHosts[attackers[number].host]
      guard host.hostility.isSilent else { continue }
      let peer = network.hosts[host.host].handler.streams[attackers[number].stream].peer
      var attacker = attackers[number]
      Self.takeKeys(network.hosts[host.host].engine, peer, &attacker)
      attackers[number] = attacker
    }
    for host in attackerHosts where host.hostility.isSilent {
      network[link: 2 * (host.host - 1)].isDown = true
      network[link: 2 * (host.host - 1) + 1].isDown = true
    }
  }

  private static func slot(_ peer: Peer, _ engine: borrowing Engine) -> Slot? {
    guard let slot = engine.peers.slot(of: peer.connectionID) else { return nil }
    let isForwarding = engine.peers.rows[slot].phase == .superseded
    let found = isForwarding ? engine.peers.slot(of: engine.peers.rows[slot].remoteID) : slot
    guard let found, engine.peers.rows[found].phase == .established else { return nil }
    return found
  }

  private static func takeKeys(_ engine: borrowing Engine, _ peer: Peer, _ attacker: inout Attacker) {
    guard let slot = slot(peer, engine) else { return }
    attacker.key = engine.peers.keys[PeerTable.sealingRow(slot)]
    attacker.remoteID = engine.peers.rows[slot].remoteID
    attacker.packetNumber = engine.peers.rows[slot].sendPacketNumber
    _ = attacker.accepted?.takeKeys(engine, peer)
  }

  mutating func endAttackers() {
    count("spoofed_copy", network.tap?.repeatCount ?? 0)
    network.tap = nil
    for host in attackerHosts {
      network.onHost(host.host) { engine, handler in
        for stream in handler.streams where stream.closed == nil { engine.close(stream.peer, code: 1) }
      }
    }
  }

  // MARK: Strike

  /// What hostile peers do in one step.
  mutating func strike() {
    guard !attackers.isEmpty, !isBeyondBounds else { return }
    let mean = Double(attackers.count) * Self.zeal * Double(Self.step) / 1e9
    var left = Int(mean) + (random.happens(mean - mean.rounded(.down)) ? 1 : 0)
    while left > 0 {
      let number = Int(random.below(UInt64(attackers.count)))
      left -= max(strike(number), 1)
    }
  }

  /// - Returns: datagrams sent.
  private mutating func strike(_ number: Int) -> Int {
    let host = attackers[number].host
    guard attackers[number].stream >= 0 else { return 0 }
    let hostility = attackerHosts[host].hostility
    let before = attackerHosts[host].sent
    if hostility.isSilent {
      guard attackers[number].remoteID != 0 else { return 0 }
      seal(hostility, number)
    } else {
      switch hostility {
      case .garbage: garbage(host)
      case .forgedIDs: forge(host)
      case .replays: replay(host)
      case .handshakeFlood: flood(host)
      case .falseAcks: acknowledgeFalsely(number)
      default: break
      }
    }
    let sent = attackerHosts[host].sent - before
    if sent > 0 { count(hostility.rawValue, sent) }
    return Int(sent)
  }

  mutating func send(_ bytes: [UInt8], _ host: Int, from address: Address? = nil) {
    attackerHosts[host].sent += 1
    let source = address ?? network.address(of: attackerHosts[host].host)
    unsafe network.inject(bytes.span.bytes, from: source, to: 0)
  }

  mutating func randomBytes(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var word: UInt64 = 0
    for index in 0..<count {
      if index & 7 == 0 { word = random.next() }
      bytes[index] = UInt8(truncatingIfNeeded: word >> (8 * UInt64(index & 7)))
    }
    return bytes
  }

  private mutating func garbage(_ host: Int) {
    let length = 1 + Int(random.happens(0.3) ? random.below(60) : random.below(1400))
    // As long as a first message of the original peer, and it may be one.
    if length != 40 { refusable += 1 }
    send(randomBytes(length), host)
  }

  private mutating func forge(_ host: Int) {
    let victim = members[Int(random.below(UInt64(members.count)))]
    guard victim.stream >= 0 else { return }
    if random.happens(0.1) {
      forgeReset(host, victim.host, network.hosts[victim.host].handler.streams[victim.stream].peer)
      return
    }
    var id = network.hosts[victim.host].handler.streams[victim.stream].remoteID
    guard id != 0 else { return }
    // Now and then the right slot, and somebody who was there before.
    if random.happens(0.2) { id ^= 1 << (24 + random.below(40)) }
    let epoch = random.happens(0.2) ? random.below(8) << 24 : 0
    let packetNumber = random.happens(0.1) ? random.next() : random.below(2000) | epoch
    var bytes = randomBytes(38 + Int(random.below(1300)))
    bytes.setWord(0, id)
    bytes.setWord(8, packetNumber)
    if bytes.count != 40 { refusable += 1 }
    send(bytes, host, from: random.happens(0.5) ? network.address(of: victim.host) : nil)
  }

  /// An honest peer would have lost its connection, but for the token.
  private mutating func forgeReset(_ host: Int, _ victim: Int, _ peer: Peer) {
    guard let slot = Self.slot(peer, network.hosts[victim].engine) else { return }
    var bytes = random.happens(0.5) ? randomBytes(38) : [UInt8](repeating: 0, count: 38)
    bytes.setWord(0, network.hosts[victim].engine.peers.rows[slot].connectionID)
    bytes.setWord(8, HandshakeKind.reset.word)
    refusable += 1
    send(bytes, host, from: network.address(of: victim))
  }

  private mutating func replay(_ host: Int) {
    guard let tap = network.tap, !tap.kept.isEmpty else { return }
    let kept = tap.kept[Int(random.below(UInt64(tap.kept.count)))]
    guard kept.arrival + .milliseconds(5) < network.now,
      let slot = network.hosts[0].engine.peers.slot(of: kept.bytes.word(0)),
      network.hosts[0].engine.peers.rows[slot].phase == .established
    else { return }
    refusable += 1
    send(kept.bytes, host, from: random.happens(0.3) ? network.address(of: kept.host) : nil)
  }

  /// A real connection's ACK for what was never sent: the server ends it, and it is dialled again.
  private mutating func acknowledgeFalsely(_ number: Int) {
    let host = attackerHosts[attackers[number].host]
    let stream = network.hosts[host.host].handler.streams[attackers[number].stream]
    guard stream.closed == nil else {
      guard random.happens(0.1) else { return }
      attackers[number].stream = -1
      dialLater(members.count + number, after: random.below(.seconds(1)))
      return
    }
    guard stream.connectedAt > 0, let slot = Self.slot(stream.peer, network.hosts[host.host].engine) else { return }
    var attacker = attackers[number]
    Self.takeKeys(network.hosts[host.host].engine, stream.peer, &attacker)
    attackers[number] = attacker
    network.hosts[host.host].engine.peers.rows[slot].sendPacketNumber += 1
    var ack = ForgedAck()
    if random.happens(0.5) {
      ack.largest = 1 << 30
    } else {
      ack.lastInOrder = UInt32(10_000 + random.below(1 << 30))
    }
    if random.happens(0.2) { ack.runs = [(0x7F_FFFF, true)] }
    seal(ack.segment, number)
  }
}

extension [UInt8] {
  mutating func setWord(_ offset: Int, _ value: UInt64) {
    for index in 0..<8 { self[offset + index] = UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64(index))) }
  }

  func word(_ offset: Int) -> UInt64 { unsafe span.bytes.bigEndian64(offset) }
}

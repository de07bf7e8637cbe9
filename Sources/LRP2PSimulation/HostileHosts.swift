// SPDX-License-Identifier: MIT
import LRP2PCore

/// Hosts with one hostile peer each, all of which dial host 0 of a network. What they do is drawn from a randomness of their own.
struct HostileHosts {
  private struct Member {
    var host: Int
    var peer: HostilePeer
    /// Its connection, as its engine knows it, and since when.
    var dialled: Peer?
    var since: Instant = 0
    /// A connection of its has ended in order; it only asks now.
    var hasEnded = false
    var askedAt: Instant = 0
    /// As the server knows it, while it is established there.
    var accepted: Peer?
    var isPaused = false
  }

  private var members: [Member] = []
  private var random: SeededRandom
  private let epochBits: UInt64
  private(set) var sent: UInt64 = 0
  private(set) var sentBy: [String: UInt64] = [:]
  /// The most bytes that one of their connections had at the server for what it receives, pool aside, and whose.
  private(set) var mostWindowBytes = 0
  private(set) var mostWindowProfile = ""
  /// Of whom the server has taken numbers that lie in no window.
  private(set) var confusedProfile = ""
  /// The most retransmissions that were kept of one, beyond four for each number that its window has room for.
  private(set) var mostResends = 0
  /// More numbers are outstanding than any window has, or more bytes are used than the bound: a run need not go on.
  private(set) var isBeyondBounds = false
  /// Whether the server's reader of their bytes stops now and then.
  var stopsReaders = true

  static var network: Address { Address(ipv4: 0x0B00_0000, port: 0) }
  /// So much is sent to whoever asks at all: one that acknowledges what it has not had gets it at once.
  static var bytes: UInt64 { 1 << 22 }
  /// Beside its pool's cells no connection needs more: that is for a window of a hundred thousand packets.
  static var mostBytes: Int { 1 << 20 }
  static var mostKept: Int { 256 }

  init(seed: UInt64, epochBits: UInt64) {
    random = SeededRandom(seed: seed)
    self.epochBits = epochBits
  }

  var count: Int { members.count }

  /// - Parameter link: each way; it draws nothing if it loses nothing and does not reorder.
  mutating func add(
    _ profile: HostileProfile, to network: inout SimulatedNetwork<BulkHandler>, configuration: EngineConfiguration,
    link: Link
  ) {
    var handler = BulkHandler(bytesToSend: profile == .lingering ? 1000 : nil)
    handler.hostileBytes = 0
    let address = Address(ipv4: 0x0B00_0001 + UInt32(members.count), port: profile.isReader ? 3001 : 3000)
    let host = network.addHost(handler, at: address, configuration: configuration, random: &random)
    network.route(from: host, to: 0, over: network.addLink(link))
    network.route(from: 0, to: host, over: network.addLink(link))
    members.append(Member(host: host, peer: HostilePeer(profile, seed: random.next())))
  }

  // MARK: Acting

  /// Each sends so many datagrams, or does what leads to that.
  mutating func act(_ network: inout SimulatedNetwork<BulkHandler>, datagrams: Int, server: Address) {
    for index in members.indices {
      if members[index].hasEnded {
        ask(index, &network)
      } else if members[index].peer.hasKeys {
        strike(index, &network, datagrams: datagrams)
      } else {
        connect(index, &network, server)
      }
    }
    measure(network)
  }

  private func setLinks(_ index: Int, _ network: inout SimulatedNetwork<BulkHandler>, isDown: Bool) {
    for (from, to) in [(members[index].host, 0), (0, members[index].host)] {
      if let link = network.link(from: from, to: to) { network[link: link].isDown = isDown }
    }
  }

  private mutating func connect(_ index: Int, _ network: inout SimulatedNetwork<BulkHandler>, _ server: Address) {
    let host = members[index].host
    guard let dialled = members[index].dialled else {
      guard network.now >= members[index].since else { return }
      setLinks(index, &network, isDown: false)
      members[index].dialled = network.onHost(host) { engine, _ in try? engine.connect(to: server, expecting: .anyone) }
      members[index].since = network.now
      return
    }
    // The server knows of it when message 3 has come.
    let id = network.hosts[host].handler.streams.last { $0.peer == dialled }?.remoteID ?? 0
    let accepted = id == 0 ? nil : network.hosts[0].handler.streams.last { $0.ownID == id }?.peer
    guard let accepted else {
      // The dial has failed.
      if network.now > members[index].since + .seconds(20) { members[index].dialled = nil }
      return
    }
    guard members[index].peer.takeKeys(network.hosts[host].engine, dialled, epochBits: epochBits) else {
      members[index].dialled = nil
      return
    }
    members[index].accepted = accepted
    members[index].isPaused = false
    if members[index].peer.profile.isSilent { setLinks(index, &network, isDown: true) }
  }

  private mutating func strike(_ index: Int, _ network: inout SimulatedNetwork<BulkHandler>, datagrams: Int) {
    guard let view = PeerView(network.hosts[0].engine, id: members[index].peer.remoteID) else {
      lost(index, &network)
      return
    }
    if stopsReaders, random.happens(0.2) { stopOrGoOn(index, &network) }
    guard members[index].peer.profile.isSilent else { return }
    for _ in 0..<datagrams { send(members[index].peer.segment(view), index, &network) }
  }

  private mutating func stopOrGoOn(_ index: Int, _ network: inout SimulatedNetwork<BulkHandler>) {
    guard let accepted = members[index].accepted else { return }
    members[index].isPaused.toggle()
    let isPaused = members[index].isPaused
    network.onHost(0) { engine, _ in
      if isPaused { engine.pause(accepted) } else { engine.resume(accepted) }
    }
  }

  /// The server does not have the connection any more, or it rests.
  private mutating func lost(_ index: Int, _ network: inout SimulatedNetwork<BulkHandler>) {
    let id = members[index].peer.remoteID
    if let slot = network.hosts[0].engine.peers.slot(of: id) {
      switch network.hosts[0].engine.peers.rows[slot].phase {
      case .established:
        // It is woken.
        send(HostilePeer.question, index, &network)
        return
      case .lingering where members[index].peer.profile == .lingering:
        members[index].hasEnded = true
        return
      default: break
      }
    }
    members[index].peer.forgetKeys()
    if let dialled = members[index].dialled {
      network.onHost(members[index].host) { engine, _ in engine.close(dialled, code: 1) }
    }
    if let accepted = members[index].accepted {
      // What it has sent is read, and the connection is over for the server's user, too.
      network.onHost(0) { engine, _ in engine.resume(accepted) }
    }
    members[index].dialled = nil
    members[index].accepted = nil
    members[index].since = network.now + .milliseconds(20) + random.below(.milliseconds(200))
  }

  private mutating func ask(_ index: Int, _ network: inout SimulatedNetwork<BulkHandler>) {
    guard network.now >= members[index].askedAt + .milliseconds(500) else { return }
    members[index].askedAt = network.now
    send(HostilePeer.question, index, &network)
  }

  private mutating func send(_ segment: [UInt8], _ index: Int, _ network: inout SimulatedNetwork<BulkHandler>) {
    let datagram = members[index].peer.seal(segment, suite: network.hosts[0].suite)
    sent += 1
    sentBy["hostile_" + members[index].peer.profile.rawValue, default: 0] += 1
    unsafe network.inject(datagram.span.bytes, from: network.address(of: members[index].host), to: 0)
  }

  /// Those that only ask go on; all others end.
  mutating func goOnAsking(_ network: inout SimulatedNetwork<BulkHandler>) {
    for index in members.indices where members[index].hasEnded { ask(index, &network) }
  }

  mutating func end(_ network: inout SimulatedNetwork<BulkHandler>) {
    for index in members.indices where !members[index].hasEnded {
      setLinks(index, &network, isDown: false)
      let dialled = members[index].dialled
      let accepted = members[index].accepted
      network.onHost(members[index].host) { engine, _ in if let dialled { engine.close(dialled, code: 1) } }
      network.onHost(0) { engine, _ in if let accepted { engine.resume(accepted) } }
      guard members[index].peer.hasKeys else { continue }
      // Its engine may know less than the other end has had.
      send(RawSegment.control(Control.close, RawSegment.big(1)), index, &network)
      members[index].peer.forgetKeys()
    }
  }

  // MARK: What they cost

  private mutating func measure(_ network: borrowing SimulatedNetwork<BulkHandler>) {
    for member in members {
      guard let slot = network.hosts[0].engine.peers.slot(of: member.peer.remoteID),
        network.hosts[0].engine.peers.flows.contains(slot)
      else { continue }
      let bytes = network.hosts[0].engine.peers.flows[slot].receivingBytes
      if bytes > mostWindowBytes {
        mostWindowBytes = bytes
        mostWindowProfile = member.peer.profile.rawValue
        if bytes > Self.mostBytes { isBeyondBounds = true }
      }
      let view = PeerView(network.hosts[0].engine, id: member.peer.remoteID)
      if let view, !view.isWithinBounds {
        isBeyondBounds = true
        confusedProfile = member.peer.profile.rawValue
      }
      let kept = network.hosts[0].engine.peers.flows[slot].send.resendsRemembered
      mostResends = max(mostResends, kept - 4 * network.hosts[0].engine.peers.flows[slot].send.ring.count)
    }
  }

  func judge(_ checks: inout Checks) {
    checks.require(confusedProfile.isEmpty, "numbers of a hostile peer are beyond all windows (\(confusedProfile))")
    checks.require(
      mostWindowBytes <= Self.mostBytes,
      "a hostile peer's receive window took \(mostWindowBytes) bytes (\(mostWindowProfile))")
    checks.require(
      mostResends <= Self.mostKept, "of a hostile peer \(mostResends) retransmissions too many were remembered")
  }
}

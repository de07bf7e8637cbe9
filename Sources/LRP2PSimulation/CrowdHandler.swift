// SPDX-License-Identifier: MIT
import LRP2PCore

/// What a peer of a crowd wants of the server.
enum CrowdRole: UInt8, CaseIterable {
  /// As much as it can get.
  case download
  /// Some bytes, then nothing, then some again over another connection.
  case session
  /// To send at a rate of its own.
  case upload
  /// To be answered, one request after another.
  case echo
  /// To stay.
  case idle
}

/// The first sixteen bytes of what a peer sends: what it wants, and who it is.
struct CrowdRequest: Equatable {
  static var length: UInt64 { 16 }

  var role = CrowdRole.idle
  /// What it sends and receives is not looked at.
  var isHostile = false
  /// Bytes of a session.
  var bytes: UInt32 = 0
  /// Of the peer, and of its connections.
  var number = 0
  var round = 0

  /// Two words.
  var encoded: (UInt64, UInt64) {
    (UInt64(bytes) << 16 | UInt64(role.rawValue) << 8 | (isHostile ? 1 : 0), UInt64(number) << 24 | UInt64(round))
  }

  init() {}

  init?(_ words: (UInt64, UInt64)) {
    guard let role = CrowdRole(rawValue: UInt8(truncatingIfNeeded: words.0 >> 8)) else { return nil }
    self.role = role
    isHostile = words.0 & 1 != 0
    bytes = UInt32(truncatingIfNeeded: words.0 >> 16)
    number = Int(words.1 >> 24)
    round = Int(words.1 & 0xFF_FFFF)
  }
}

/// Either end of a crowd's connections: peers that ask, and the server that does what they ask for.
struct CrowdHandler: Handler {
  struct Stream {
    var peer: Peer
    var request = CrowdRequest()
    /// The server: whether the request has come.
    var isKnown = false
    var dialledAt: Instant = 0
    var connectedAt: Instant = 0
    var remoteID: UInt64 = 0
    var offered: UInt64 = 0
    var received: UInt64 = 0
    var acknowledged: UInt64 = 0
    /// The first bytes, as they come.
    var head: (UInt64, UInt64) = (0, 0)
    /// How far the own stream has left for the first time.
    var filled: UInt64 = 0
    var roundTrips = 0
    var hasFinishedSending = false
    /// It is to finish as soon as it is connected.
    var leavesAtOnce = false
    var isFinished = false
    var finishedAt: Instant = 0
    var closed: CloseReason?
  }

  private(set) var streams: [Stream] = []
  private var streamOfSlot: [Int32] = []
  var isServer = false
  var random = SeededRandom(seed: 0)
  /// Readers stop at once, for ever.
  var stalls = false
  var mismatches = 0
  var violations = 0
  var openConnections = 0
  /// Honest connections that have another address, of which there are none.
  var moves = 0

  /// What is offered beyond what is acknowledged: enough to be held back by the server only.
  private static var ahead: UInt64 { 32_768 }

  /// Of a long segment links keep its first bytes only; of those eight are written and looked at.
  private static func looked(_ bytes: Int) -> Int { bytes > 1200 ? 8 : bytes }

  // MARK: Asking

  /// Dials the server.
  /// - Returns: the stream's index.
  mutating func dial(_ request: CrowdRequest, to server: Address, engine: inout Engine) -> Int {
    guard let peer = try? engine.connect(to: server, expecting: .anyone) else { preconditionFailure("a free slot") }
    var stream = Stream(peer: peer)
    stream.request = request
    stream.isKnown = true
    stream.dialledAt = engine.now
    return add(stream)
  }

  private mutating func add(_ stream: Stream) -> Int {
    let slot = stream.peer.slot.index
    while streamOfSlot.count <= slot { streamOfSlot.append(-1) }
    streamOfSlot[slot] = Int32(streams.count)
    streams.append(stream)
    openConnections += 1
    return streams.count - 1
  }

  private func index(_ peer: Peer) -> Int {
    guard peer.slot.index < streamOfSlot.count else { return -1 }
    let index = Int(streamOfSlot[peer.slot.index])
    return index >= 0 && streams[index].peer == peer ? index : -1
  }

  /// Offers so many bytes more.
  mutating func send(_ bytes: UInt64, on index: Int, engine: inout Engine) {
    guard !streams[index].hasFinishedSending, streams[index].closed == nil else { return }
    streams[index].offered += bytes
    engine.offer(streams[index].peer, upTo: streams[index].offered)
  }

  mutating func finish(_ index: Int, engine: inout Engine) {
    guard !streams[index].hasFinishedSending, streams[index].closed == nil else { return }
    guard streams[index].connectedAt > 0 else {
      streams[index].leavesAtOnce = true
      return
    }
    streams[index].hasFinishedSending = true
    engine.finish(streams[index].peer)
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    if info.isIncoming {
      if index(peer) >= 0 { violations += 1 }
      _ = add(Stream(peer: peer))
    }
    let index = index(peer)
    guard index >= 0, streams[index].connectedAt == 0 else {
      violations += 1
      return
    }
    streams[index].connectedAt = engine.now
    guard !info.isIncoming else { return }
    streams[index].remoteID = Self.remoteID(peer, engine)
    if stalls { engine.pause(peer) }
    send(CrowdRequest.length, on: index, engine: &engine)
    switch streams[index].request.role {
    case .session: finish(index, engine: &engine)
    case .echo: ask(index, engine: &engine)
    case .download, .upload, .idle: break
    }
    if streams[index].leavesAtOnce { finish(index, engine: &engine) }
  }

  private static func remoteID(_ peer: Peer, _ engine: borrowing Engine) -> UInt64 {
    guard var slot = engine.peers.slot(of: peer.connectionID) else { return 0 }
    if engine.peers.rows[slot].phase == .superseded {
      guard let winner = engine.peers.slot(of: engine.peers.rows[slot].remoteID) else { return 0 }
      slot = winner
    }
    return engine.peers.rows[slot].remoteID
  }

  private mutating func ask(_ index: Int, engine: inout Engine) {
    send(16 + random.below(1000), on: index, engine: &engine)
  }

  // MARK: Answering

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    let index = index(peer)
    guard index >= 0, !streams[index].isFinished, streams[index].closed == nil else {
      violations += 1
      return
    }
    let offset = streams[index].received
    streams[index].received += UInt64(bytes.byteCount)
    guard streams[index].isKnown else {
      learn(bytes, at: offset, index, engine: &engine)
      return
    }
    guard !streams[index].request.isHostile else { return }
    mismatches += StreamBytes.mismatches(bytes, at: offset, count: Self.looked(bytes.byteCount))
    guard streams[index].request.role == .echo else { return }
    if isServer {
      send(UInt64(bytes.byteCount), on: index, engine: &engine)
    } else if streams[index].received == streams[index].offered {
      streams[index].roundTrips += 1
      ask(index, engine: &engine)
    }
  }

  /// The request comes, and something behind it.
  private mutating func learn(_ bytes: RawSpan, at offset: UInt64, _ index: Int, engine: inout Engine) {
    let end = min(bytes.byteCount, Int(CrowdRequest.length - offset))
    for at in 0..<end {
      let head = streams[index].head
      streams[index].head = (head.0 << 8 | head.1 >> 56, head.1 << 8 | UInt64(bytes.byte(at)))
    }
    guard streams[index].received >= CrowdRequest.length else { return }
    streams[index].isKnown = true
    guard let request = CrowdRequest(streams[index].head) else {
      streams[index].request.isHostile = true
      return
    }
    streams[index].request = request
    if !request.isHostile {
      mismatches += StreamBytes.mismatches(
        bytes.extracting(end..<bytes.byteCount), at: CrowdRequest.length, count: min(bytes.byteCount - end, 8))
    }
    switch request.role {
    case .download:
      send(Self.ahead, on: index, engine: &engine)
    case .session:
      send(UInt64(request.bytes), on: index, engine: &engine)
      finish(index, engine: &engine)
    case .echo:
      send(streams[index].received, on: index, engine: &engine)
    case .upload, .idle: break
    }
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    let index = index(peer)
    guard index >= 0, offset > streams[index].acknowledged else {
      violations += 1
      return
    }
    streams[index].acknowledged = offset
    guard isServer, streams[index].request.role == .download else { return }
    let target = offset + Self.ahead
    // Not for every acknowledgement.
    guard target >= streams[index].offered + Self.ahead / 4 else { return }
    send(target - streams[index].offered, on: index, engine: &engine)
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    let index = index(peer)
    guard index >= 0, !streams[index].isFinished else {
      violations += 1
      return
    }
    streams[index].isFinished = true
    streams[index].finishedAt = engine.now
    finish(index, engine: &engine)
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    let index = index(peer)
    guard index >= 0, offset >= streams[index].acknowledged else {
      violations += 1
      return
    }
    StreamBytes.write(
      into: &bytes, at: offset, count: min(bytes.byteCount, max(Self.looked(bytes.byteCount), offset == 0 ? 24 : 0)))
    let end = offset + UInt64(bytes.byteCount)
    if end > streams[index].filled { streams[index].filled = end }
    guard offset < CrowdRequest.length, streams[index].remoteID != 0 else { return }
    let words = streams[index].request.encoded
    for at in Int(offset)..<Int(min(end, CrowdRequest.length)) {
      let word = at < 8 ? words.0 : words.1
      bytes.setByte(at - Int(offset), UInt8(truncatingIfNeeded: word >> (56 - 8 * UInt64(at & 7))))
    }
  }

  /// Whoever has stopped reading goes on when there is nothing left to wait for.
  mutating func draining(_ peer: Peer, reason: CloseReason, engine: inout Engine) { engine.resume(peer) }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    let index = index(peer)
    guard index >= 0 else {
      violations += 1
      return
    }
    if streams[index].closed != nil { violations += 1 }
    streams[index].closed = reason
    openConnections -= 1
  }

  mutating func moved(_ peer: Peer, to address: Address, engine: inout Engine) {
    let index = index(peer)
    if index < 0 || !streams[index].request.isHostile { moves += 1 }
  }
}

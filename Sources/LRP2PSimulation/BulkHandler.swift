// SPDX-License-Identifier: MIT
import LRP2PCore

/// Sends and receives streams whose bytes are a function of their offset, checks every byte that comes, and keeps the books
/// that a run is judged by. State is kept by slot: no dictionary is asked for a datagram.
package struct BulkHandler: Handler {
  /// One connection of this host.
  package struct Stream {
    package var peer: Peer
    package var isIncoming: Bool
    /// The ids that datagrams to this end, and to the other, carry.
    package var ownID: UInt64 = 0
    package var remoteID: UInt64 = 0
    /// It was, or will be, closed by this end without waiting.
    package var isAborted = false
    /// What comes from there is anything.
    package var isHostile = false
    /// Bytes to send; they are finished with the connection's first callback.
    package var toSend: UInt64 = 0
    package var received: UInt64 = 0
    package var acknowledged: UInt64 = 0
    package var isFinished = false
    package var connectedAt: Instant = 0
    package var firstByteAt: Instant = 0
    /// When the stream's end was reached.
    package var finishedAt: Instant = 0
    /// How far the stream has left for the first time.
    package var filled: UInt64 = 0
    package var closed: CloseReason?
  }

  /// All connections so far, in the order of their beginning.
  package internal(set) var streams: [Stream] = []
  /// The index in `streams` by slot; -1 is none.
  private var streamOfSlot: [Int32] = []
  /// Each connection sends up to so many bytes, drawn anew; 0 leaves it to `bytesToSend`.
  package var mostBytes: UInt64 = 0
  package var random = SeededRandom(seed: 0)
  /// How probable it is, at each call of `received`, that the reader stops: until its timer fires, or some other callback has it
  /// go on.
  package var pauses = 0.0
  package private(set) var pauseCount: UInt64 = 0
  private var paused: [Peer] = []
  /// How probable it is, at each call of `received`, that this end closes the connection there and then.
  package var aborts = 0.0
  package var abortRandom = SeededRandom(seed: 0)
  package private(set) var abortCount: UInt64 = 0
  /// What accepted, and dialled, connections send; they finish behind it unless it is `nil`.
  package var bytesToSend: UInt64?
  package var remembered: RememberedPath?
  package var congestion: CongestionAlgorithm?
  /// Nobody reads what comes, until `readOn`.
  package var stopsReading = false
  /// Connections from this network, IPv4 /16, are hostile. From an odd port they want so many bytes, else none.
  package var hostileNetwork: Address?
  package var hostileBytes: UInt64 = 0
  /// Only the first eight bytes of each segment are written and looked at.
  package var looksAtHeads = false
  package var mismatches = 0
  /// Callbacks that contradict earlier ones.
  package var violations = 0
  package var openConnections = 0
  package var moves = 0
  /// What is spoken over every connection, and what whoever dials says of itself, but for hostile ones.
  package var agreed: ApplicationProtocol?
  package var payload: [UInt8]?
  /// Nobody is there, so nobody moves there.
  package var shunned: Address?

  package init(bytesToSend: UInt64?) { self.bytesToSend = bytesToSend }

  /// How many of a segment's bytes are written and looked at.
  private func count(_ bytes: Int) -> Int { looksAtHeads ? min(bytes, 8) : bytes }

  private func index(_ peer: Peer) -> Int {
    let slot = peer.index
    guard slot < streamOfSlot.count else { return -1 }
    let index = Int(streamOfSlot[slot])
    return index >= 0 && streams[index].peer == peer ? index : -1
  }

  package mutating func admission(of key: PublicKey, from address: Address, payload: RawSpan) -> Admission {
    guard let expected = self.payload, hostileNetwork.map({ !address.sharesNetwork($0) }) ?? true else {
      return .accepted
    }
    if !payload.isEqual(to: expected) { violations += 1 }
    return .accepted
  }

  package mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    if index(peer) >= 0 || info.applicationProtocol != agreed { violations += 1 }
    while streamOfSlot.count <= peer.index { streamOfSlot.append(-1) }
    streamOfSlot[peer.index] = Int32(streams.count)
    var stream = Stream(peer: peer, isIncoming: info.isIncoming)
    stream.connectedAt = engine.now
    if let hostileNetwork, info.address.sharesNetwork(hostileNetwork) {
      beginHostile(stream, port: info.address.port, engine: &engine)
      return
    }
    if mostBytes > 0 {
      // Some send nothing, some little.
      bytesToSend = random.happens(0.15) ? random.below(3000) : random.below(mostBytes)
    }
    stream.toSend = bytesToSend ?? 0
    (stream.ownID, stream.remoteID) = Self.ids(peer, engine)
    streams.append(stream)
    openConnections += 1
    if stopsReading { engine.pause(peer) }
    if let congestion { engine.setCongestionControl(congestion, for: peer) }
    if let remembered { engine.useRememberedPath(remembered, for: peer) }
    if let bytesToSend {
      engine.offer(peer, upTo: bytesToSend)
      engine.finish(peer)
    }
  }

  /// All readers go on.
  package mutating func readOn(engine: inout Engine) {
    stopsReading = false
    for stream in streams where stream.closed == nil { engine.resume(stream.peer) }
  }

  /// The stream's end follows the other's.
  private mutating func beginHostile(_ stream: Stream, port: UInt16, engine: inout Engine) {
    var stream = stream
    stream.isHostile = true
    stream.toSend = port & 1 == 1 ? hostileBytes : 0
    (stream.ownID, stream.remoteID) = Self.ids(stream.peer, engine)
    streams.append(stream)
    openConnections += 1
    engine.offer(stream.peer, upTo: stream.toSend)
  }

  private static func ids(_ peer: Peer, _ engine: borrowing Engine) -> (own: UInt64, remote: UInt64) {
    guard var slot = engine.peers.slot(of: peer.connectionID) else { return (0, 0) }
    if engine.peers.rows[slot].phase == .superseded {
      guard let winner = engine.peers.slot(of: engine.peers.rows[slot].remoteID) else { return (0, 0) }
      slot = winner
    }
    return (engine.peers.rows[slot].connectionID, engine.peers.rows[slot].remoteID)
  }

  package mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    let index = index(peer)
    guard index >= 0, !streams[index].isFinished, streams[index].closed == nil, !streams[index].isAborted else {
      violations += 1
      return
    }
    let offset = streams[index].received
    if offset == 0 { streams[index].firstByteAt = engine.now }
    if !streams[index].isHostile {
      mismatches += StreamBytes.mismatches(bytes, at: offset, count: count(bytes.byteCount))
    }
    streams[index].received += UInt64(bytes.byteCount)
    if pauses > 0 {
      resumeSome(engine: &engine)
      pauseSometimes(peer, engine: &engine)
    }
    if aborts > 0, abortRandom.happens(aborts) {
      streams[index].isAborted = true
      engine.close(peer, code: 7, reason: "chaos")
      abortCount += 1
    }
  }

  private mutating func pauseSometimes(_ peer: Peer, engine: inout Engine) {
    guard random.happens(pauses) else { return }
    engine.pause(peer)
    if paused.isEmpty { engine.setTimer(at: engine.now + random.below(.milliseconds(200)), token: 0) }
    paused.append(peer)
    pauseCount += 1
  }

  /// From within a batch, so that what comes next in it finds what was stored and not yet handed over.
  private mutating func resumeSome(engine: inout Engine) {
    guard !paused.isEmpty, random.happens(0.05) else { return }
    engine.resume(paused.remove(at: Int(random.below(UInt64(paused.count)))))
  }

  package mutating func timerFired(token: UInt64, engine: inout Engine) {
    for peer in paused { engine.resume(peer) }
    paused = []
  }

  package mutating func finished(_ peer: Peer, engine: inout Engine) {
    let index = index(peer)
    guard index >= 0, !streams[index].isFinished, !streams[index].isAborted else {
      violations += 1
      return
    }
    if engine.applicationProtocol(of: peer) != agreed { violations += 1 }
    streams[index].isFinished = true
    streams[index].finishedAt = engine.now
    if streams[index].isHostile { engine.finish(peer) }
  }

  package mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    let index = index(peer)
    if index < 0 || offset < streams[index].acknowledged { violations += 1 }
    StreamBytes.write(into: &bytes, at: offset, count: count(bytes.byteCount))
    let end = offset + UInt64(bytes.byteCount)
    if index >= 0, end > streams[index].filled { streams[index].filled = end }
  }

  package mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    let index = index(peer)
    guard index >= 0, offset > streams[index].acknowledged, !streams[index].isAborted else {
      violations += 1
      return
    }
    streams[index].acknowledged = offset
    if pauses > 0 { resumeSome(engine: &engine) }
  }

  package mutating func draining(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    let index = index(peer)
    if index < 0 || streams[index].closed != nil || streams[index].isAborted { violations += 1 }
  }

  package mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    let index = index(peer)
    guard index >= 0 else { return }
    if streams[index].closed != nil { violations += 1 }
    streams[index].closed = reason
    openConnections -= 1
  }

  package mutating func moved(_ peer: Peer, to address: Address, engine: inout Engine) {
    moves += 1
    if address == shunned { violations += 1 }
  }
}

extension RawSpan {
  fileprivate func isEqual(to bytes: [UInt8]) -> Bool {
    byteCount == bytes.count && bytes.indices.allSatisfy { byte($0) == bytes[$0] }
  }
}

extension Address {
  /// IPv4, the first 16 bits.
  func sharesNetwork(_ other: Address) -> Bool { high == other.high && low >> 16 == other.low >> 16 }
}

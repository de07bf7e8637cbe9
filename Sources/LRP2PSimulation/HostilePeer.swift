// SPDX-License-Identifier: MIT
import LRP2PCore

/// What a peer does that has been accepted, owns its keys, and means harm: every segment is well formed and authentic, and its
/// numbers lie where comparisons change their answer, or it takes of the other end what it can.
package enum HostileProfile: String, CaseIterable, Sendable {
  /// Data with sequence numbers at all boundaries.
  case numbers
  /// ACKs with last in-order numbers, windows, runs and packet numbers at all boundaries.
  case acks
  /// Pieces of all offsets and lengths.
  case pieces
  /// FIN at all boundaries.
  case ends
  /// Single bytes at the very edge of the window.
  case edge
  /// Behind a gap that is never filled: a byte in each segment, and as many as fit.
  case earlyBytes = "early_bytes"
  case earlySegments = "early_segments"
  /// Answers every probe, and tells of everything but one segment that was sent again.
  case undescribed
  /// Acknowledges whatever was sent, whether it came or not; and nothing, ever.
  case acknowledgesAll = "acknowledges_all"
  case acknowledgesNothing = "acknowledges_nothing"
  /// Windows that open, close and lie.
  case windows
  /// Ends in order, and then goes on asking whether it was heard.
  case lingering
  /// Any of these, one after another.
  case mixed

  /// Whether its engine has to stay silent: what it says would undo what the profile does.
  var isSilent: Bool { self != .lingering }

  /// Whether it is about what the other end sends, so that something has to be sent to it.
  package var isReader: Bool {
    switch self {
    case .acks, .undescribed, .acknowledgesAll, .acknowledgesNothing, .windows, .mixed: true
    case .numbers, .pieces, .ends, .edge, .earlyBytes, .earlySegments, .lingering: false
    }
  }
}

/// One such peer, behind its handshake.
package struct HostilePeer {
  package let profile: HostileProfile
  /// Under which the other end knows it, and what it seals with.
  package private(set) var remoteID: UInt64 = 0
  private var key = TrafficKey()
  private var packetNumber: UInt64 = 0
  private var epochBits: UInt64 = 24
  private var random: SeededRandom
  private var sent: UInt32 = 0
  /// What it never tells of is this number and what stood behind it.
  private var concealed: UInt32?

  package init(_ profile: HostileProfile, seed: UInt64) {
    self.profile = profile
    random = SeededRandom(seed: seed)
  }

  package var hasKeys: Bool { remoteID != 0 }

  /// Takes over what its engine has agreed on. - Returns: whether there is a connection.
  package mutating func takeKeys(_ engine: borrowing Engine, _ peer: Peer, epochBits: UInt64 = 24) -> Bool {
    guard var slot = engine.peers.slot(of: peer.connectionID) else { return false }
    if engine.peers.rows[slot].phase == .superseded {
      guard let winner = engine.peers.slot(of: engine.peers.rows[slot].remoteID) else { return false }
      slot = winner
    }
    guard engine.peers.rows[slot].phase == .established else { return false }
    key = engine.peers.keys[PeerTable.sealingRow(slot)]
    remoteID = engine.peers.rows[slot].remoteID
    packetNumber = engine.peers.rows[slot].sendPacketNumber
    self.epochBits = epochBits
    // What its engine has still to say goes its own way.
    if !profile.isSilent { packetNumber += 256 }
    (sent, concealed) = (0, nil)
    return true
  }

  package mutating func forgetKeys() { remoteID = 0 }

  /// A datagram for the other end.
  package mutating func seal(_ segment: [UInt8], suite: ClearSuite) -> [UInt8] {
    var datagram = [UInt8](repeating: 0, count: 16) + segment + [UInt8](repeating: 0, count: 16)
    datagram.setWord(0, remoteID)
    datagram.setWord(8, packetNumber)
    ClearSuite.seal(&datagram, packetNumber: packetNumber, key: key, protectedBytes: suite.protectedBytes)
    packetNumber += 1
    if packetNumber & (1 << epochBits - 1) == 0 { key = TrafficKeys.next(key, suite: suite) }
    return datagram
  }

  // MARK: Segments

  /// What it sends next to an end that stands at `view`.
  package mutating func segment(_ view: PeerView) -> [UInt8] {
    guard profile == .mixed else { return segment(profile, view) }
    let others = HostileProfile.allCases.filter { $0 != .mixed }
    return segment(others[Int(random.below(UInt64(others.count)))], view)
  }

  /// Asks whether it was heard.
  package static var question: [UInt8] { RawSegment.control(Control.ping, flags: SegmentFlag.ackNow) }

  private mutating func segment(_ profile: HostileProfile, _ view: PeerView) -> [UInt8] {
    sent &+= 1
    switch profile {
    case .numbers:
      return RawSegment.data(received(view), flags: flags(), bytes(length()))
    case .acks: return ack(view)
    case .pieces: return piece(view)
    case .ends:
      return RawSegment.data(
        random.happens(0.5) ? received(view) : view.next &+ UInt32(random.below(UInt64(max(view.window, 1)))),
        flags: random.happens(0.5) ? SegmentFlag.fin : 0, bytes(Int(random.below(3))))
    case .edge:
      let edge = view.delivered &+ view.window &- 1 &- UInt32(random.below(random.happens(0.9) ? 2 : 4000))
      return RawSegment.data(edge, flags: SegmentFlag.ackNow, bytes(1))
    case .earlyBytes: return RawSegment.data(early(view), bytes(1))
    case .earlySegments: return RawSegment.data(early(view), bytes(1362))
    case .undescribed: return conceal(view)
    case .acknowledgesAll: return RawSegment.ack(view.sendNext &- 1, window: 0xFF_FFFF, largest: view.newest)
    case .acknowledgesNothing, .lingering, .mixed: return Self.question
    case .windows:
      let ahead = UInt32(random.below(UInt64(min(view.sendNext &- view.base, 1 << 20)) + 1))
      return RawSegment.ack(view.base &- 1 &+ ahead, window: oneOf(Boundary.windows), largest: view.newest)
    }
  }

  /// What follows in the window behind the next number; from the front again when it is full.
  private func early(_ view: PeerView) -> UInt32 { view.next &+ 1 &+ sent % max(view.window &- 2, 1) }

  private mutating func oneOf<Number>(_ numbers: [Number]) -> Number {
    numbers[Int(random.below(UInt64(numbers.count)))]
  }

  /// Mostly none, as else no two of these numbers ever meet.
  private mutating func delta() -> UInt32 { random.happens(0.6) ? 0 : oneOf(Boundary.deltas) }

  private mutating func bytes(_ count: Int) -> [UInt8] {
    let word = random.next()
    return (0..<count).map { UInt8(truncatingIfNeeded: word >> UInt64($0 & 7)) }
  }

  private mutating func length() -> Int { random.happens(0.7) ? Int(random.below(3)) : Int(random.below(1362)) }

  private mutating func flags() -> UInt8 {
    var flags: UInt8 = random.happens(0.3) ? SegmentFlag.ackNow : 0
    // It ends most connections.
    if random.happens(0.01) { flags |= SegmentFlag.fin }
    if random.happens(0.1) { flags |= SegmentFlag.rto | SegmentFlag.syn }
    return flags
  }

  /// A sequence number of its own.
  private mutating func received(_ view: PeerView) -> UInt32 {
    let from = oneOf([view.next, view.delivered, view.highest, view.delivered &+ view.window])
    // Now and then what is really next, so that something moves.
    if random.happens(0.1) { return view.next }
    let distance = oneOf(Boundary.distances)
    return (random.happens(0.5) ? from &+ distance : from &- distance) &+ delta()
  }

  private mutating func piece(_ view: PeerView) -> [UInt8] {
    let (offset, total) = (oneOf(Boundary.lengths), oneOf(Boundary.lengths))
    let near = view.next &+ UInt32(random.below(24))
    let number = random.happens(0.3) ? received(view) : near
    // Mostly in order, as else nothing but the parser sees it.
    if random.happens(0.3) || offset >= total {
      let start = UInt16(64 * random.below(20))
      return RawSegment.piece(number, flags: 0, offset: start, total: 1300, bytes(random.happens(0.5) ? 64 : 20))
    }
    return RawSegment.piece(
      number, flags: flags(), offset: offset, total: total, bytes(Int(oneOf([1, 20, 63, 64, 128]))))
  }

  private mutating func ack(_ view: PeerView) -> [UInt8] {
    var last = view.base &- 1
    // What is out of bounds ends the connection, so that not all is.
    if random.happens(0.3) {
      let from = oneOf([view.base &- 1, view.sendNext &- 1, view.edge])
      let distance = oneOf(Boundary.distances)
      last = (random.happens(0.5) ? from &+ distance : from &- distance) &+ delta()
    } else if random.happens(0.5) {
      last = view.sendNext &- 1
    }
    var largest = view.newest
    if random.happens(0.1) { largest = random.happens(0.5) ? 0 : view.newest + random.below(2) }
    if random.happens(0.02) { largest = oneOf(Boundary.packetNumbers) }
    var intervals: [RawSegment.Interval] = []
    for _ in 0..<(random.happens(0.2) ? Int(random.below(4)) : 0) {
      let runs = (0..<1 + random.below(3)).map { _ in oneOf(Boundary.runs) }
      let start = random.happens(0.5) ? UInt32(random.below(64)) : oneOf(Boundary.runs)
      intervals.append(RawSegment.Interval(start: start, isFirstReceived: random.happens(0.5), runs: runs))
    }
    return RawSegment.ack(
      last, window: oneOf(Boundary.windows), largest: largest, intervals, packets: packets(largest))
  }

  /// Runs of packet numbers that mostly fit what was sent, and where they do not are malformed.
  private mutating func packets(_ largest: UInt64) -> [UInt64] {
    guard random.happens(0.4) else { return [] }
    if random.happens(0.1) { return [UInt64(oneOf(Boundary.runs)), oneOf(Boundary.packetNumbers), 1] }
    return (0..<1 + random.below(12)).map { _ in 1 + random.below(min(largest, 200) / 8 + 1) }
  }

  /// Has three segments sent again, and tells from then on of what stands behind the first two only.
  private mutating func conceal(_ view: PeerView) -> [UInt8] {
    let outstanding = view.sendNext &- view.base
    guard outstanding >= 8 else {
      return RawSegment.ack(view.base &- 1, window: 64, largest: view.newest)
    }
    var first: UInt32 = 2
    if concealed != view.base {
      concealed = view.base
      first = 0
    }
    return RawSegment.ack(
      view.base &- 1, window: outstanding, largest: view.newest,
      [RawSegment.Interval(start: first, isFirstReceived: false, runs: [3 - first, outstanding - 3])])
  }
}

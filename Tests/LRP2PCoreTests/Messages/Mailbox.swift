// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Keeps what it is told of messages.
struct Mailbox: Handler {
  struct Mail: Equatable {
    var lane: Lane
    var bytes: [UInt8]
  }

  var peers: [Peer] = []
  var mail: [Mail] = []
  var outcomes: [UInt64: MessageOutcome] = [:]
  var writables: [Peer] = []
  var groupWritables: [PeerGroup] = []
  var closed: [Peer: CloseReason] = [:]
  var drainings = 0
  var streamReceived: UInt64 = 0
  var isFinished = false
  /// Sent as soon as its peer is writable.
  var pending: [Peer: [UInt8]] = [:]
  /// Closes who sends a message that begins with this byte.
  var closesOn: UInt8?
  /// Stops the stream's reader behind so many bytes.
  var pausesAt: UInt64 = .max
  /// Called behind `closed`, or twice.
  var violations = 0
  /// Bytes of the stream that are wrong.
  var mismatches = 0

  var texts: [[UInt8]] { mail.map(\.bytes) }
  /// The first byte of each message.
  var firsts: [UInt8] { mail.map { $0.bytes.first ?? 0 } }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) { peers.append(peer) }

  mutating func received(_ peer: Peer, message bytes: RawSpan, lane: Lane, engine: inout Engine) {
    if closed[peer] != nil { violations += 1 }
    mail.append(Mail(lane: lane, bytes: (0..<bytes.byteCount).map { bytes.byte($0) }))
    if let closesOn, bytes.byteCount > 0, bytes.byte(0) == closesOn { engine.close(peer, code: 5) }
  }

  mutating func outcome(_ peer: Peer, token: UInt64, _ outcome: MessageOutcome, engine: inout Engine) {
    if closed[peer] != nil || outcomes[token] != nil { violations += 1 }
    outcomes[token] = outcome
  }

  mutating func writable(_ peer: Peer, engine: inout Engine) {
    writables.append(peer)
    if let bytes = pending[peer], engine.send(peer, bytes) == .queued { pending[peer] = nil }
  }
  mutating func writable(_ group: PeerGroup, engine: inout Engine) { groupWritables.append(group) }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    for index in 0..<bytes.byteCount where bytes.byte(index) != StreamHandler.byte(at: streamReceived + UInt64(index)) {
      mismatches += 1
    }
    streamReceived += UInt64(bytes.byteCount)
    if streamReceived >= pausesAt { engine.pause(peer) }
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    for index in 0..<bytes.byteCount { bytes.setByte(index, StreamHandler.byte(at: offset + UInt64(index))) }
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) { isFinished = true }
  mutating func draining(_ peer: Peer, reason: CloseReason, engine: inout Engine) { drainings += 1 }
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if closed[peer] != nil { violations += 1 }
    closed[peer] = reason
  }
}

typealias MailWorld = World<Mailbox>

enum Mail {
  /// Two hosts with a connection on which nobody has said anything: the handles of the first, and of the second.
  static func open(
    seed: UInt64 = 1, link: Link = Link(), configure: (inout EngineConfiguration) -> Void = { _ in },
    second: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> (MailWorld) {
    var configuration = EngineConfiguration()
    configure(&configuration)
    var other = configuration
    second(&other)
    var world = MailWorld(
      seed: seed, configuration: configuration, second: other, link: link, firstHandler: Mailbox(),
      secondHandler: Mailbox())
    _ = try world.first.connect(to: MailWorld.secondAddress, expecting: .anyone)
    let isOpen = world.run(for: .seconds(20)) { !$0.firstHandler.peers.isEmpty && !$0.secondHandler.peers.isEmpty }
    #expect(isOpen)
    _ = world.run(for: .milliseconds(500))
    return world
  }

  static func dialled(_ world: borrowing MailWorld) throws -> Peer { try #require(world.firstHandler.peers.first) }
  static func accepted(_ world: borrowing MailWorld) throws -> Peer { try #require(world.secondHandler.peers.first) }

  /// A message that is told from others by its first byte, and wholly known.
  static func text(_ first: UInt8, _ length: Int) -> [UInt8] {
    (0..<length).map { $0 == 0 ? first : UInt8(truncatingIfNeeded: $0 &* 7 &+ Int(first)) }
  }

  /// What belongs to connections, or to messages, and is in use.
  static func inUse(_ engine: borrowing Engine, _ name: String) -> Int {
    engine.tables.first { "\($0.name)" == name }?.inUse ?? -1
  }

  /// Both sides close, and nothing of them is left.
  ///
  /// - Parameter checksStream: whether both streams are honest.
  static func expectNothingLeft(
    _ world: inout MailWorld, checksStream: Bool = true, location: SourceLocation = #_sourceLocation
  ) {
    for peer in world.firstHandler.peers { world.first.close(peer, code: 1) }
    for peer in world.secondHandler.peers { world.second.close(peer, code: 1) }
    _ = world.run(for: .seconds(120))
    let left = (world.first.tables + world.second.tables).filter { $0.inUse != 0 }.map { "\($0.inUse) \($0.name)" }
    #expect(left.isEmpty, sourceLocation: location)
    let (first, second) = (world.first.statistics.poolBytesInUse, world.second.statistics.poolBytesInUse)
    #expect(first + second == 0, "\(first) and \(second) bytes of the pools", sourceLocation: location)
    #expect(world.first.messageBytesInUse + world.second.messageBytesInUse == 0, sourceLocation: location)
    #expect(world.firstHandler.violations + world.secondHandler.violations == 0, sourceLocation: location)
    let mismatches = world.firstHandler.mismatches + world.secondHandler.mismatches
    #expect(mismatches == 0 || !checksStream, sourceLocation: location)
  }
}

extension MessageFrame {
  /// A frame and its bytes.
  static func bytes(
    _ kind: Kind, lane: UInt8 = 0, isOrdered: Bool = true, number: UInt32 = 0, offset: Int = 0, total: Int = 0,
    _ payload: [UInt8] = [], isLast: Bool = false
  ) -> [UInt8] {
    var frame = MessageFrame()
    frame.kind = kind
    frame.lane = lane
    frame.isOrdered = isOrdered
    frame.number = number
    frame.offset = offset
    frame.total = total
    frame.length = payload.count
    return written(room: 64) {
      var at = 0
      frame.write(into: &$0, at: &at, isLast: isLast)
      return at
    } + payload
  }
}

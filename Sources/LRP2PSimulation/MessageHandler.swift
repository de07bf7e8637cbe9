// SPDX-License-Identifier: MIT
import LRP2PCore

/// Sends messages, and a stream beside them, on every connection, as its seed has it, and checks what comes: nothing twice, nothing that was
/// not sent, nothing out of order in an ordered lane, every byte; and in the end that nothing reliable is missing.
package struct MessageHandler: Handler {
  /// One message, as both sides know it by its lane and number.
  package struct Sent: Hashable, Sendable {
    package var lane: UInt8
    package var number: UInt32
  }

  /// What is sent on each connection.
  package struct Plan: Sendable {
    /// Messages, and how many at a time.
    package var count = 200
    package var burst = 8
    package var interval: Nanoseconds = .milliseconds(10)
    /// Bytes of the longest, and how many of a hundred are longer than a datagram.
    package var longest = 20_000
    package var long = 5
    /// How many of a hundred are sent once only, and how many have a deadline, this far ahead.
    package var unreliable = 0
    package var dated = 0
    package var patience: Nanoseconds = .milliseconds(50)
    package var lanes = 4
    /// Of the stream.
    package var streamBytes: UInt64 = 0

    package init() {}
  }

  package struct Progress {
    package var sent = 0
    package var numbers = [UInt32](repeating: 0, count: 16)
    /// Those without a deadline that are sent until they arrive, and all others.
    package var reliable: Set<Sent> = []
    package var others: Set<Sent> = []
    package var outcomes: [UInt64: MessageOutcome] = [:]
    package var received: Set<Sent> = []
    package var newest = [UInt32?](repeating: nil, count: 16)
    package var streamReceived: UInt64 = 0
    package var streamAcknowledged: UInt64 = 0
    package var isFinished = false
    package var closed: CloseReason?
    package var isStopped = false
    fileprivate var random: SeededRandom

    fileprivate init(seed: UInt64) { random = SeededRandom(seed: seed) }
  }

  package let plan: Plan
  package let lanes: [LaneConfiguration]
  /// The lanes of the peer.
  package let seed: UInt64
  package var peers: [Peer: Progress] = [:]
  package var mismatches = 0
  package var violations: [String] = []
  package var fullAnswers = 0
  /// How old messages were when they came, by the time in their head.
  package var longestAge: Nanoseconds = 0
  /// How long a datagram may take.
  package var longestPath: Nanoseconds = .never
  /// Stops reading the stream of every peer after so many bytes, for so long.
  package var pausesAt: UInt64 = .max
  package var pause: Nanoseconds = 0

  package init(plan: Plan, lanes: [LaneConfiguration], seed: UInt64) {
    self.plan = plan
    self.lanes = lanes
    self.seed = seed
  }

  private static var head: Int { 24 }

  /// Of a message with this lane, number and time of sending.
  private static func content(_ message: Sent, at time: Instant, until deadline: Instant, length: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: max(length, head))
    bytes[0] = message.lane
    for index in 0..<4 { bytes[1 + index] = UInt8(truncatingIfNeeded: message.number >> (8 * UInt32(index))) }
    for index in 0..<8 { bytes[8 + index] = UInt8(truncatingIfNeeded: time >> (8 * UInt64(index))) }
    for index in 0..<8 { bytes[16 + index] = UInt8(truncatingIfNeeded: deadline >> (8 * UInt64(index))) }
    for index in bytes.indices.dropFirst(head) { bytes[index] = byte(message, index) }
    return bytes
  }

  private static func byte(_ message: Sent, _ index: Int) -> UInt8 {
    StreamHandler.byte(at: UInt64(index) &+ UInt64(message.number) &* 77_777 &+ UInt64(message.lane) &* 13)
  }

  package mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    peers[peer] = Progress(seed: seed ^ peer.connectionID)
    if plan.streamBytes > 0 { engine.offer(peer, upTo: plan.streamBytes) }
    sendSome(peer, &engine)
  }

  /// Sends what the plan has next, and sets the time for more.
  private mutating func sendSome(_ peer: Peer, _ engine: inout Engine) {
    guard var progress = peers[peer], progress.closed == nil, !progress.isStopped else { return }
    defer { peers[peer] = progress }
    for _ in 0..<plan.burst where progress.sent < plan.count {
      let lane = UInt8(progress.random.next() % UInt64(plan.lanes))
      let message = Sent(lane: lane, number: progress.numbers[Int(lane)])
      let isLong = Int(progress.random.next() % 100) < plan.long
      let longest = UInt64(min(plan.longest, engine.maximumMessage(of: peer)))
      let length = Int(progress.random.next() % (isLong ? longest : 200))
      var options = MessageOptions(lane: Lane(rawValue: lane)!)
      options.isReliable = Int(progress.random.next() % 100) >= plan.unreliable
      if Int(progress.random.next() % 100) < plan.dated { options.until = engine.now + plan.patience }
      options.token = UInt64(lane) << 32 | UInt64(message.number) | 1 << 40
      switch engine.send(peer, Self.content(message, at: engine.now, until: options.until, length: length), options) {
      case .queued: break
      case .full:
        fullAnswers += 1
        progress.isStopped = true
        return
      case .tooLong, .unsupported, .ended:
        violations.append("a message was not taken")
        return
      }
      let isPlain = options.isReliable && options.until == .never && lanes[Int(lane)].whenFull == .refuse
      if isPlain { progress.reliable.insert(message) } else { progress.others.insert(message) }
      progress.numbers[Int(lane)] += 1
      progress.sent += 1
    }
    if progress.sent < plan.count {
      engine.setTimer(at: engine.now + plan.interval, token: peer.connectionID)
    } else {
      engine.finish(peer)
    }
  }

  package mutating func writable(_ peer: Peer, engine: inout Engine) {
    guard peers[peer]?.isStopped ?? false else { return }
    peers[peer]?.isStopped = false
    sendSome(peer, &engine)
  }

  package mutating func timerFired(token: UInt64, engine: inout Engine) {
    engine.resume(Peer(connectionID: ~token))
    sendSome(Peer(connectionID: token), &engine)
  }

  package mutating func received(_ peer: Peer, message bytes: RawSpan, lane: Lane, engine: inout Engine) {
    guard var progress = peers[peer], progress.closed == nil, bytes.byteCount >= Self.head else {
      violations.append("a message of nobody")
      return
    }
    var number: UInt32 = 0
    for index in 0..<4 { number |= UInt32(bytes.byte(1 + index)) << (8 * UInt32(index)) }
    var time: Instant = 0
    for index in 0..<8 { time |= UInt64(bytes.byte(8 + index)) << (8 * UInt64(index)) }
    longestAge = max(longestAge, engine.now - min(time, engine.now))
    var deadline: Instant = 0
    for index in 0..<8 { deadline |= UInt64(bytes.byte(16 + index)) << (8 * UInt64(index)) }
    // A long one has left in parts, and one of an ordered lane may have waited for others.
    if !lanes[lane.index].isOrdered, bytes.byteCount < 1000, deadline < .never - longestPath,
      engine.now > deadline + longestPath
    {
      violations.append("\(engine.now - deadline) ns after its time")
    }
    let message = Sent(lane: bytes.byte(0), number: number)
    if message.lane != lane.rawValue { violations.append("on another lane") }
    for index in Self.head..<bytes.byteCount where bytes.byte(index) != Self.byte(message, index) { mismatches += 1 }
    if !progress.received.insert(message).inserted { violations.append("\(message) twice") }
    if lanes[Int(message.lane)].isOrdered, let newest = progress.newest[Int(message.lane)], newest >= number {
      violations.append("\(message) behind \(newest)")
    }
    progress.newest[Int(message.lane)] = number
    peers[peer] = progress
  }

  package mutating func outcome(_ peer: Peer, token: UInt64, _ outcome: MessageOutcome, engine: inout Engine) {
    if peers[peer]?.outcomes[token] != nil { violations.append("two outcomes of \(token)") }
    peers[peer]?.outcomes[token] = outcome
  }

  package mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard let before = peers[peer]?.streamReceived else { return }
    for index in 0..<bytes.byteCount where bytes.byte(index) != StreamHandler.byte(at: before + UInt64(index)) {
      mismatches += 1
    }
    peers[peer]?.streamReceived += UInt64(bytes.byteCount)
    guard before < pausesAt, before + UInt64(bytes.byteCount) >= pausesAt else { return }
    engine.pause(peer)
    engine.setTimer(at: engine.now + pause, token: ~peer.connectionID)
  }

  package mutating func finished(_ peer: Peer, engine: inout Engine) { peers[peer]?.isFinished = true }

  package mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    for index in 0..<bytes.byteCount { bytes.setByte(index, StreamHandler.byte(at: offset + UInt64(index))) }
  }

  package mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    peers[peer]?.streamAcknowledged = offset
  }

  package mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if peers[peer]?.closed != nil { violations.append("closed twice") }
    peers[peer]?.closed = reason
  }

  /// What is wrong between what one side has sent and the other has received, when both have finished.
  package static func judge(_ sent: Progress, _ received: Progress) -> [String] {
    var wrong: [String] = []
    let missing = sent.reliable.subtracting(received.received)
    if !missing.isEmpty { wrong.append("\(missing.count) reliable messages are missing, of \(sent.reliable.count)") }
    let strange = received.received.subtracting(sent.reliable).subtracting(sent.others)
    if !strange.isEmpty { wrong.append("\(strange.count) messages were never sent") }
    for (token, outcome) in sent.outcomes {
      let message = Sent(lane: UInt8(truncatingIfNeeded: token >> 32), number: UInt32(truncatingIfNeeded: token))
      if outcome == .acknowledged, !received.received.contains(message) {
        wrong.append("\(message) is acknowledged, and has not come")
      }
      if outcome == .dropped, received.received.contains(message) {
        wrong.append("\(message) has come, and was dropped")
      }
      if outcome != .acknowledged, sent.reliable.contains(message) {
        wrong.append("\(message) is reliable, and \(outcome)")
      }
    }
    for message in sent.reliable.union(sent.others)
    where sent.outcomes[UInt64(message.lane) << 32 | UInt64(message.number) | 1 << 40] == nil {
      wrong.append("no outcome of \(message), which has come: \(received.received.contains(message))")
    }
    return wrong
  }
}

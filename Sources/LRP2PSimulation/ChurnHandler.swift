// SPDX-License-Identifier: MIT
import LRP2PCore

/// One end of a churn's connections. It keeps a record for each connection that exists, by slot, and judges it when it ends:
/// what is over leaves nothing behind but counters and the handles of the last few hundred.
struct ChurnHandler: Handler {
  struct Record: BitwiseCopyable {
    /// The handle; 0 is none.
    var peer: UInt64 = 0
    var number: UInt64 = 0
    var received: UInt64 = 0
    var offered: UInt64 = 0
    var acknowledged: UInt64 = 0
    /// When it was dialled or accepted, and when a callback last told of something that had come.
    var begunAt: Instant = 0
    var heardAt: Instant = 0
    var endsAt: Instant = .never
    var isIncoming = false
    var isConnected = false
    /// The number is known: of an incoming one by its first bytes.
    var isNamed = false
    /// Bytes will come no more; bytes will go no more.
    var isFinished = false
    var hasFinished = false
  }

  /// How each connection has ended.
  struct Ends {
    var finished: UInt64 = 0
    var closed: UInt64 = 0
    var left: UInt64 = 0
    /// Other than planned, as the path, a full table or a silent host would have it.
    var timedOut: UInt64 = 0
    var reset: UInt64 = 0
    var unanswered: UInt64 = 0
    var total: UInt64 { finished + closed + left + timedOut + reset + unanswered }
  }

  static let handlesKept = 512
  /// Numbers of the last so many connections that have come are kept: none may come twice.
  private static let numbersKept = 1 << 16

  let salt: UInt64
  let idleTimeout: Nanoseconds
  let handshakeTimeout: Nanoseconds
  let keepsAlive: Bool
  private var records: [Record] = []
  private var random: SeededRandom
  private var numbers: [UInt64]
  /// Handles of connections that are over, the oldest given up first.
  private(set) var stale: [Peer] = []
  private var nextStale = 0
  private(set) var begun: UInt64 = 0
  private(set) var ends = Ends()
  /// Numbers of connections that the other end has told to have lost, until they are taken.
  private var resets: [UInt64] = []
  private(set) var pongs: UInt64 = 0
  private(set) var mostOpen = 0
  private(set) var open = 0
  /// What contradicts the plan of its connection, and the first of it.
  private(set) var violations: UInt64 = 0
  private(set) var firstViolation: String?

  init(salt: UInt64, seed: UInt64, configuration: EngineConfiguration) {
    self.salt = salt
    idleTimeout = configuration.idleTimeout
    handshakeTimeout = configuration.handshakeTimeout
    keepsAlive = configuration.keepAlive > 0
    random = SeededRandom(seed: seed)
    numbers = Array(repeating: .max, count: Self.numbersKept)
  }

  private mutating func violate(_ what: @autoclosure () -> String) {
    violations += 1
    if firstViolation == nil { firstViolation = what() }
  }

  // MARK: Records

  private mutating func insert(_ record: Record) {
    let slot = Peer(connectionID: record.peer).slot.index
    while records.count <= slot { records.append(Record()) }
    if records[slot].peer != 0 { violate("a connection begins in the slot of one that has not ended") }
    records[slot] = record
    begun += 1
    open += 1
    mostOpen = max(mostOpen, open)
  }

  /// The slot of a connection that a callback is about.
  private mutating func slot(_ peer: Peer, _ callback: StaticString) -> Int? {
    let slot = peer.slot.index
    if slot < records.count, records[slot].peer == peer.connectionID { return slot }
    violate("\(callback) for a connection that is over, or of another one's slot")
    return nil
  }

  /// Whether there is a connection with this number.
  func has(_ number: UInt64) -> Bool { records.contains { $0.peer != 0 && $0.isNamed && $0.number == number } }

  mutating func takeResets() -> [UInt64] {
    var taken: [UInt64] = []
    swap(&taken, &resets)
    return taken
  }

  private func isNumberNew(_ number: UInt64) -> Bool { numbers[Int(number) & (Self.numbersKept - 1)] != number }

  // MARK: The dialling side

  /// A dial of this host: what it sends is offered at once.
  mutating func dialled(_ peer: Peer, _ plan: ChurnPlan, engine: inout Engine) {
    var record = Record(peer: peer.connectionID, number: plan.number)
    record.isNamed = true
    (record.begunAt, record.heardAt) = (engine.now, engine.now)
    record.offered = plan.requestBytes
    if plan.shape == .aborted || plan.shape == .stays || (plan.shape == .left && keepsAlive) {
      record.endsAt = engine.now + plan.lifetime
      engine.setTimer(at: plan.shape == .stays ? engine.now + .seconds(2) : record.endsAt, token: peer.connectionID)
    }
    switch plan.shape {
    case .exchange, .bare:
      record.hasFinished = true
    case .callerCloses, .responderCloses, .responderFinishes, .aborted, .left, .stays: break
    }
    insert(record)
    if record.offered > 0 { engine.offer(peer, upTo: record.offered) }
    if record.hasFinished { engine.finish(peer) }
  }

  mutating func timerFired(token: UInt64, engine: inout Engine) {
    let peer = Peer(connectionID: token)
    // It may be over by now, and its slot another's.
    let slot = peer.slot.index
    guard slot < records.count, records[slot].peer == token else { return }
    let plan = ChurnPlan(number: records[slot].number, salt: salt)
    guard records[slot].endsAt > engine.now else {
      if plan.shape != .stays {
        engine.close(peer, code: plan.code)
      } else {
        records[slot].hasFinished = true
        engine.finish(peer)
      }
      return
    }
    // Another small message, or a PING.
    if random.happens(0.2) {
      engine.ping(peer, token: UInt16(truncatingIfNeeded: plan.number) | 1)
    } else {
      records[slot].offered += 1 + random.below(200)
      engine.offer(peer, upTo: records[slot].offered)
    }
    // Some talk all the time, some rest between two words.
    let pause: Nanoseconds = plan.number & 1 == 0 ? .milliseconds(300) : idleTimeout / 2
    engine.setTimer(at: min(engine.now + 1 + random.below(pause), records[slot].endsAt), token: token)
  }

  // MARK: Callbacks

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    if info.isIncoming {
      var record = Record(peer: peer.connectionID)
      (record.isIncoming, record.isConnected) = (true, true)
      (record.begunAt, record.heardAt) = (engine.now, engine.now)
      insert(record)
      return
    }
    guard let slot = slot(peer, "connected") else { return }
    if records[slot].isConnected || records[slot].isIncoming { violate("connected twice") }
    records[slot].isConnected = true
    records[slot].heardAt = engine.now
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard let slot = slot(peer, "received") else { return }
    if records[slot].isFinished || !records[slot].isConnected {
      violate("bytes without a connection, or behind the end")
    }
    if !records[slot].isNamed {
      guard bytes.byteCount >= 8 else {
        violate("a first segment without a number")
        return
      }
      let number = bytes.bigEndian64(0)
      if !isNumberNew(number) { violate("connection \(number) comes twice") }
      numbers[Int(number) & (Self.numbersKept - 1)] = number
      records[slot].number = number
      records[slot].isNamed = true
    }
    let offset = records[slot].received
    if !ChurnPlan.matches(records[slot].number, isAnswer: !records[slot].isIncoming, offset, bytes) {
      violate("bytes of another connection")
    }
    records[slot].received += UInt64(bytes.byteCount)
    records[slot].heardAt = engine.now
    let plan = ChurnPlan(number: records[slot].number, salt: salt)
    if records[slot].isIncoming {
      answer(peer, slot, plan, engine: &engine)
    } else if plan.shape == .callerCloses, records[slot].received == plan.answerBytes {
      engine.close(peer, code: plan.code, reason: "caller")
    }
  }

  private mutating func answer(_ peer: Peer, _ slot: Int, _ plan: ChurnPlan, engine: inout Engine) {
    if plan.shape == .stays {
      records[slot].offered = records[slot].received
    } else if plan.shape == .responderFinishes || records[slot].received == plan.requestBytes {
      records[slot].offered = plan.answerBytes
    }
    if records[slot].offered > 0 { engine.offer(peer, upTo: records[slot].offered) }
    if plan.shape == .responderFinishes, !records[slot].hasFinished {
      records[slot].hasFinished = true
      engine.finish(peer)
    }
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    guard let slot = slot(peer, "finished") else { return }
    if records[slot].isFinished { violate("finished twice") }
    records[slot].isFinished = true
    records[slot].heardAt = engine.now
    if !records[slot].hasFinished {
      records[slot].hasFinished = true
      engine.finish(peer)
    }
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    guard let slot = slot(peer, "fill") else { return }
    if offset < records[slot].acknowledged || offset + UInt64(bytes.byteCount) > records[slot].offered {
      violate("bytes are asked for that were not offered, or are acknowledged")
    }
    ChurnPlan.fill(records[slot].number, isAnswer: records[slot].isIncoming, offset, into: &bytes)
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    guard let slot = slot(peer, "acknowledged") else { return }
    if offset <= records[slot].acknowledged || offset > records[slot].offered { violate("an acknowledgement too many") }
    records[slot].acknowledged = offset
    records[slot].heardAt = engine.now
    guard records[slot].isIncoming, records[slot].isNamed else { return }
    let plan = ChurnPlan(number: records[slot].number, salt: salt)
    if plan.shape == .responderCloses, offset == plan.answerBytes {
      engine.close(peer, code: plan.code, reason: "responder")
    }
  }

  mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine) {
    guard let slot = slot(peer, "pong") else { return }
    if token != UInt16(truncatingIfNeeded: records[slot].number) | 1 { violate("the answer to another one's PING") }
    records[slot].heardAt = engine.now
    pongs += 1
  }

  mutating func moved(_ peer: Peer, to address: Address, engine: inout Engine) { violate("nobody has moved") }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    guard let slot = slot(peer, "closed") else { return }
    judge(records[slot], reason, now: engine.now)
    records[slot] = Record()
    open -= 1
    if stale.count < Self.handlesKept {
      stale.append(peer)
    } else {
      stale[nextStale] = peer
      nextStale = (nextStale + 1) % Self.handlesKept
    }
  }

  // MARK: Judge

  /// Whether the connection could end like this, having done what it has.
  private mutating func judge(_ record: Record, _ reason: CloseReason, now: Instant) {
    let plan = ChurnPlan(number: record.number, salt: salt)
    let isRight: Bool
    switch reason {
    case .finished:
      isRight = isComplete(record, plan)
      ends.finished += 1
    case .local(let code):
      let isOwn =
        record.isIncoming ? plan.shape == .responderCloses : [.callerCloses, .aborted, .left].contains(plan.shape)
      isRight = isOwn && code == plan.code && record.isNamed
      ends.closed += 1
    case .remote(let code, let text):
      isRight = isClosedByPeer(record, plan, code, text)
      ends.closed += 1
    case .idleTimeout:
      // It takes silence to end it.
      isRight = record.isConnected && now >= record.heardAt + idleTimeout
      if record.isNamed, plan.shape == .left { ends.left += 1 } else { ends.timedOut += 1 }
    case .reset:
      // Whether it is true is judged by who sees both ends.
      isRight = record.isConnected
      if record.isNamed { resets.append(record.number) }
      ends.reset += 1
    case .handshakeTimeout:
      isRight = !record.isIncoming && record.received == 0 && now >= record.begunAt + handshakeTimeout
      ends.unanswered += 1
    case .unreachable, .keyRefused, .handshakeFailed, .noCommonProtocol, .protocolViolation, .unsupported,
      .keyExhausted,
      .sequenceExhausted,
      .unreadTimeout:
      isRight = false
    }
    if !isRight { violate("connection \(record.number) (\(plan.shape)) ended with \(reason)") }
  }

  private func isComplete(_ record: Record, _ plan: ChurnPlan) -> Bool {
    guard record.isFinished, record.hasFinished, record.acknowledged == record.offered else { return false }
    // An incoming one that had no bytes is not known by its number.
    guard record.isNamed else { return record.received == 0 && record.offered == 0 }
    switch plan.shape {
    case .stays: return record.isIncoming ? record.received == record.offered : record.received == record.acknowledged
    case .exchange, .bare, .responderFinishes:
      return record.received == (record.isIncoming ? plan.requestBytes : plan.answerBytes)
        && record.offered == (record.isIncoming ? plan.answerBytes : plan.requestBytes)
    case .callerCloses, .responderCloses, .aborted, .left: return false
    }
  }

  private func isClosedByPeer(_ record: Record, _ plan: ChurnPlan, _ code: CloseCode, _ text: String) -> Bool {
    if !record.isNamed {
      // It was aborted before a byte of it came: the code says which one it was.
      return record.isIncoming && ChurnPlan(number: UInt64(code.rawValue), salt: salt).shape == .aborted
    }
    guard code == plan.code else { return false }
    switch plan.shape {
    case .aborted, .left: return record.isIncoming && text.isEmpty
    case .callerCloses: return record.isIncoming && text == "caller"
    case .responderCloses: return !record.isIncoming && text == "responder"
    case .exchange, .bare, .responderFinishes, .stays: return false
    }
  }
}

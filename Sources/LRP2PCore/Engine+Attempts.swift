// The attempts of one dial: each under an id and an ephemeral key of its own, as the original takes a repeated message 1
// for message 3. All stay open, and the first message 2 wins; the user's handle is that of the first attempt. A responder
// keeps a few of them until one is the connection.

extension Engine {
  // MARK: Initiator

  static var maximumAttempts: Int { 5 }
  private static var firstRetry: Nanoseconds { .seconds(1) }

  /// Message 1 of a dial or of one more attempt leaves with the next batch.
  mutating func sendMessage1(_ slot: Int) {
    peers.rows[slot].owesHandshake = true
    makeReady(slot)
  }

  /// Message 1 has been placed: from here on the dial has a clock.
  mutating func message1Left(_ slot: Int) {
    peers.handshakes[slot].sentAt = now
    guard peers.handshakes[slot].started == .never else { return }
    peers.handshakes[slot].started = now
    if peers.handshakes[slot].leader == 0 { scheduleNextAttempt(slot) }
  }

  /// Sets when the dial's next attempt follows: 1, 2, 4 and 8 s after one another.
  mutating func scheduleNextAttempt(_ slot: Int) {
    let attempts = peers.handshakes[slot].attempts
    peers.handshakes[slot].attempts += 1
    peers.handshakes[slot].nextAttempt =
      attempts + 1 < Self.maximumAttempts ? now + Self.firstRetry << UInt64(min(attempts, 3)) : .never
    arm(slot)
  }

  /// Nothing has answered: one more attempt, with a shorter message 1 in case the path carries no longer one.
  mutating func startNextAttempt(_ leader: Int) {
    scheduleNextAttempt(leader)
    // Without a slot to spare the first attempt's own message goes once more.
    if addAttempt(to: leader, length: Datagram.smallestPath) { return }
    peers.handshakes[leader].isRepeated = true
    sendMessage1(leader)
  }

  /// One more attempt of a dial, with a message 1 of `length` bytes.
  /// - Returns: false when there is no slot for it, or the dial has had all.
  @discardableResult
  mutating func addAttempt(to leader: Int, length: Int) -> Bool {
    var index = 0
    let followers = peers.handshakes[leader].followers
    while index < followers.count, followers[index] != 0 { index += 1 }
    guard index < followers.count, let slot = allocate(.dial, address: peers.rows[leader].address)
    else { return false }
    peers.rows[slot].remoteID = peers.rows[slot].connectionID
    let cookie = peers.handshakes[leader].cookie ?? rememberedCookies[peers.rows[leader].address]
    writeMessage1(
      slot, pinned: peers.handshakes[leader].pinned, versions: peers.handshakes[leader].versions,
      token: peers.handshakes[leader].token, cookie: cookie, length: length)
    peers.handshakes[slot].leader = peers.rows[leader].connectionID
    peers.handshakes[leader].followers[index] = peers.rows[slot].connectionID
    sendMessage1(slot)
    return true
  }

  /// An authentic message 2 has come for this attempt: it is the connection from here on, whatever follows; the others
  /// end. What the user has asked for so far, and the user's handle, move to its slot.
  mutating func takeOver(_ slot: Int) {
    guard let leader = peers.slot(of: peers.handshakes[slot].leader), peers.rows[leader].phase == .dialling else {
      dropFollowers(of: slot, but: slot)
      return
    }
    dropFollowers(of: leader, but: slot)
    wheel.cancel(leader)
    peers.rows[leader].wheelDeadline = .never
    peers.exchangeFlows(slot, leader)
    peers.remoteKeys[slot] = peers.remoteKeys[leader]
    peers.flows[slot].handle = peers.rows[leader].connectionID
    peers.flows[slot].mtu = PathMTU(maximum: configuration.maximumDatagram, start: peers.handshakes[slot].length)
    peers.dropHandshake(leader)
    peers.rows[leader].remoteID = peers.rows[slot].connectionID
    peers.handshakes[slot].leader = 0
    move(leader, .overtaken)
  }

  /// Frees the other attempts of a dial that is decided.
  mutating func dropFollowers(of leader: Int, but kept: Int) {
    guard peers.handshakes.contains(leader) else { return }
    let followers = peers.handshakes[leader].followers
    peers.handshakes[leader].followers = .init(repeating: 0)
    for index in 0..<followers.count where followers[index] != 0 {
      guard let slot = peers.slot(of: followers[index]), slot != kept, peers.rows[slot].phase == .dialling else {
        continue
      }
      move(slot, .abandoned)
      move(slot, .lingered)
      free(slot)
    }
  }

  // MARK: Responder

  /// Of one dial's attempts, never 0. The second word goes in by a secret hash of its own: of two words that are only combined
  /// anyone could make many with the same result.
  func attemptHash(_ token: (UInt64, UInt64), _ address: Address) -> UInt64 {
    peers.attempts.hash(token.0 ^ peers.attempts.hash(token.1, address), address) | 1
  }

  /// Half-open handshakes that are kept of one dial. A newer attempt must not end the one before it at once: where the round
  /// trip is longer than the time between them, message 3 of that is under way.
  private static var attemptsKept: Int { 3 }
  /// Attempts of one dial that are answered while any of them is half-open.
  private static var attemptsAnswered: Int { 8 }

  /// The oldest attempt of a dial gives way to a new one.
  /// - Returns: how many attempts of the dial have been answered; `nil` when it has had all.
  mutating func makeRoomForAttempt(_ token: (UInt64, UInt64), _ hash: UInt64, from address: Address) -> Int? {
    var answered = 0
    var count = 0
    var oldest = -1
    var cursor = peers.attempts.cursor(hash)
    while let slot = peers.attempts.next(hash, &cursor) {
      guard peers.handshakes[slot].token == token, peers.rows[slot].address == address else { continue }
      count += 1
      answered = max(answered, peers.handshakes[slot].attempts)
      if oldest < 0 || peers.handshakes[slot].attempts < peers.handshakes[oldest].attempts { oldest = slot }
    }
    if answered >= Self.attemptsAnswered {
      counters.attemptsRefused &+= 1
      return nil
    }
    if count >= Self.attemptsKept {
      counters.halfOpenEvicted &+= 1
      move(oldest, .abandoned)
      free(oldest)
    }
    return answered
  }

  /// One attempt of a dial has become the connection.
  mutating func dropOtherAttempts(of slot: Int) {
    let hash = peers.handshakes[slot].attemptHash
    guard hash != 0 else { return }
    let token = peers.handshakes[slot].token
    peers.attempts.remove(hash, slot: slot)
    peers.handshakes[slot].attemptHash = 0
    var others = InlineArray<4, Int>(repeating: -1)
    var count = 0
    var cursor = peers.attempts.cursor(hash)
    while let other = peers.attempts.next(hash, &cursor), count < others.count {
      guard peers.handshakes[other].token == token, peers.rows[other].address == peers.rows[slot].address else {
        continue
      }
      others[count] = other
      count += 1
    }
    for index in 0..<count {
      move(others[index], .abandoned)
      free(others[index])
    }
  }
}

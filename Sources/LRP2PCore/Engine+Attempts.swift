// The attempts of one dial: each under an id and an ephemeral key of its own, as the original takes a repeated message 1
// for message 3. All stay open, and the first message 2 wins; the user's handle is that of the first attempt. A responder
// keeps them until one is the connection.

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

  /// Whether the dial may have one more attempt beside those that time brings.
  func hasAttempt(beyondTimed leader: Int) -> Bool {
    let followers = peers.handshakes[leader].followers
    var free = 0
    for index in 0..<followers.count where followers[index] == 0 { free += 1 }
    return free > Self.maximumAttempts - peers.handshakes[leader].attempts
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

  private static var shortestDoubt: Nanoseconds { .milliseconds(500) }

  /// A message 2 has come that is well made but not wanted: whoever has read message 1 can make one, under a key of his own. So
  /// the dial does not end with it but a little later, should the true one not come meanwhile.
  mutating func doubt(_ slot: Int, _ reason: CloseReason) {
    let leader = peers.slot(of: peers.handshakes[slot].leader) ?? slot
    guard peers.rows[leader].phase == .dialling, peers.handshakes[leader].doubt == nil else { return }
    peers.handshakes[leader].doubt = reason
    peers.handshakes[leader].doubtEnds =
      now + max(Self.shortestDoubt, 2 * (now - min(peers.handshakes[slot].sentAt, now)))
    arm(leader)
  }

  /// A wanted message 2 has come for this attempt: it is the connection from here on, whatever follows; the others
  /// end. What the user has asked for so far, and the user's handle, move to its slot.
  mutating func takeOver(_ slot: Int) {
    (peers.handshakes[slot].doubt, peers.handshakes[slot].doubtEnds) = (nil, .never)
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

  /// Half-open handshakes of one dial that are known as such. Beyond it, those without proof of their address are strangers' like any
  /// others; of those with proof, the oldest gives way.
  private static var attemptsKept: Int { 16 }
  /// But none gives way that is younger. Who reads message 1 can forge more of the kind, from the same address and with the same
  /// token and cookie: so the honest one is there until message 3 had time to come, and what one cookie buys is a few key
  /// agreements a second.
  private static var attemptKept: Nanoseconds { .seconds(2) }

  enum AttemptRoom {
    /// It is kept as one of the dial's.
    case kept
    /// Nothing links it to the dial.
    case unlinked
    /// It is not answered.
    case none
  }

  /// Whether one more attempt of a dial is answered. Attempts with and without proof of their address are counted apart: what is
  /// forged without a cookie is no obstacle to those that have one.
  mutating func roomForAttempt(
    _ token: (UInt64, UInt64), _ hash: UInt64, from address: Address, isProved: Bool
  ) -> AttemptRoom {
    var count = 0
    var oldest = -1
    var cursor = peers.attempts.cursor(hash)
    while let slot = peers.attempts.next(hash, &cursor) {
      guard peers.handshakes[slot].token == token, peers.rows[slot].address == address,
        peers.handshakes[slot].isProved == isProved
      else { continue }
      count += 1
      if oldest < 0 || peers.handshakes[slot].started < peers.handshakes[oldest].started { oldest = slot }
    }
    guard count >= Self.attemptsKept else { return .kept }
    // Below the mark, where strangers are answered, no attempt ends another, whatever it shows.
    guard isProved, peers.halfOpenCount >= halfOpenMark else { return .unlinked }
    guard peers.handshakes[oldest].started + Self.attemptKept <= now else {
      counters.attemptsRefused &+= 1
      return .none
    }
    counters.halfOpenEvicted &+= 1
    move(oldest, .abandoned)
    free(oldest)
    return .kept
  }

  /// One attempt of a dial has become the connection.
  mutating func dropOtherAttempts(of slot: Int) {
    let hash = peers.handshakes[slot].attemptHash
    guard hash != 0 else { return }
    let token = peers.handshakes[slot].token
    peers.attempts.remove(hash, slot: slot)
    peers.handshakes[slot].attemptHash = 0
    // Those with proof of their address and those without.
    var others = InlineArray<32, Int>(repeating: -1)
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

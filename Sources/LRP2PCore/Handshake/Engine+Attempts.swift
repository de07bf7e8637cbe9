// The attempts of one dial: each under an id and an ephemeral key of its own, as the original takes a repeated message 1
// for message 3. All stay open, and the first message 2 wins; the user's handle is that of the first attempt. A responder
// keeps them until one is the connection.

extension Engine {
  // MARK: Initiator

  static var maximumAttempts: Int { 5 }
  /// When a second attempt follows the first: nothing has answered for three times the round trip that is expected.
  private var firstRetry: Nanoseconds {
    max(RoundTripEstimate(expected: configuration.initialRoundTrip).initialProbeTimeout, Self.shortestRetry)
  }
  /// All attempts of a dial take some seconds, so that a moment without a network is not the end of it.
  private static var shortestRetry: Nanoseconds { .milliseconds(250) }

  /// Message 1 of a dial or of one more attempt leaves with the next batch.
  mutating func sendMessage1(_ slot: Slot) {
    peers.rows[slot].owesHandshake = true
    makeReady(slot)
  }

  /// Message 1 has been placed: from here on the dial has a clock.
  mutating func message1Left(_ slot: Slot) {
    peers.handshakes[slot].sentAt = now
    guard peers.handshakes[slot].started == .never else { return }
    peers.handshakes[slot].started = now
    if peers.handshakes[slot].firstAttempt == 0 { scheduleNextAttempt(slot) }
  }

  /// Sets when the dial's next attempt follows: 1, 2, 4 and 8 s after one another where no other round trip is expected.
  mutating func scheduleNextAttempt(_ slot: Slot) {
    let attempts = peers.handshakes[slot].attempts
    peers.handshakes[slot].attempts += 1
    peers.handshakes[slot].nextAttempt =
      attempts + 1 < Self.maximumAttempts ? now + firstRetry << UInt64(min(attempts, 3)) : .never
    arm(slot)
  }

  /// Nothing has answered: one more attempt, with a shorter message 1 in case the path carries no longer one.
  mutating func startNextAttempt(_ firstAttempt: Slot) {
    scheduleNextAttempt(firstAttempt)
    // Without a slot to spare the first attempt's own message goes once more.
    if addAttempt(to: firstAttempt, length: Datagram.smallestPath) { return }
    peers.handshakes[firstAttempt].isRepeated = true
    sendMessage1(firstAttempt)
  }

  /// Whether the dial may have one more attempt beside those that time brings.
  func hasAttempt(beyondTimed firstAttempt: Slot) -> Bool {
    let retries = peers.handshakes[firstAttempt].retries
    var free = 0
    for index in 0..<retries.count where retries[index] == 0 { free += 1 }
    return free > Self.maximumAttempts - peers.handshakes[firstAttempt].attempts
  }

  /// One more attempt of a dial, with a message 1 of `length` bytes.
  /// - Returns: false when there is no slot for it, or the dial has had all.
  @discardableResult
  mutating func addAttempt(to firstAttempt: Slot, length: Int) -> Bool {
    var index = 0
    let retries = peers.handshakes[firstAttempt].retries
    while index < retries.count, retries[index] != 0 { index += 1 }
    guard index < retries.count, let slot = allocate(.dial, address: peers.rows[firstAttempt].address)
    else { return false }
    peers.rows[slot].remoteID = peers.rows[slot].connectionID
    let cookie = peers.handshakes[firstAttempt].cookie ?? rememberedCookies[peers.rows[firstAttempt].address]
    writeMessage1(
      slot, pinned: peers.handshakes[firstAttempt].pinned, versions: peers.handshakes[firstAttempt].versions,
      token: peers.handshakes[firstAttempt].token, cookie: cookie, length: length)
    peers.handshakes[slot].firstAttempt = peers.rows[firstAttempt].connectionID
    peers.handshakes[firstAttempt].retries[index] = peers.rows[slot].connectionID
    sendMessage1(slot)
    return true
  }

  private static var shortestDoubt: Nanoseconds { .milliseconds(500) }

  /// A message 2 has come that is well made but not wanted: whoever has read message 1 can make one, under a key of his own. So
  /// the dial does not end with it but a little later, should the true one not come meanwhile.
  mutating func doubt(_ slot: Slot, _ reason: CloseReason) {
    let firstAttempt = peers.slot(of: peers.handshakes[slot].firstAttempt) ?? slot
    guard peers.rows[firstAttempt].phase == .dialling, peers.handshakes[firstAttempt].doubt == nil else { return }
    peers.handshakes[firstAttempt].doubt = reason
    peers.handshakes[firstAttempt].doubtEnds =
      now + max(Self.shortestDoubt, 2 * (now - min(peers.handshakes[slot].sentAt, now)))
    arm(firstAttempt)
  }

  /// A wanted message 2 has come for this attempt: it is the connection from here on, whatever follows; the others
  /// end. What the user has asked for so far, and the user's handle, move to its slot.
  mutating func takeOver(_ slot: Slot) {
    (peers.handshakes[slot].doubt, peers.handshakes[slot].doubtEnds) = (nil, .never)
    guard let firstAttempt = peers.slot(of: peers.handshakes[slot].firstAttempt),
      peers.rows[firstAttempt].phase == .dialling
    else {
      dropRetries(of: slot, but: slot)
      return
    }
    dropRetries(of: firstAttempt, but: slot)
    schedule.cancel(firstAttempt, &peers)
    peers.exchangeFlows(slot, firstAttempt)
    peers.remoteKeys[slot] = peers.remoteKeys[firstAttempt]
    peers.headers[slot].handle = peers.rows[firstAttempt].connectionID
    peers.flows[slot].mtu = PathMTU(maximum: configuration.maximumDatagram, start: peers.handshakes[slot].length)
    var payload = ProgramBytes()
    swap(&payload, &peers.handshakes[firstAttempt].payload)
    swap(&payload, &peers.handshakes[slot].payload)
    peers.dropHandshake(firstAttempt)
    peers.rows[firstAttempt].remoteID = peers.rows[slot].connectionID
    peers.handshakes[slot].firstAttempt = 0
    move(firstAttempt, .overtaken)
  }

  /// Frees the other attempts of a dial that is decided.
  mutating func dropRetries(of firstAttempt: Slot, but kept: Slot) {
    guard peers.handshakes.contains(firstAttempt) else { return }
    let retries = peers.handshakes[firstAttempt].retries
    peers.handshakes[firstAttempt].retries = .init(repeating: 0)
    for index in 0..<retries.count where retries[index] != 0 {
      guard let slot = peers.slot(of: retries[index]), slot != kept, peers.rows[slot].phase == .dialling else {
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
    var oldest: Slot?
    var cursor = peers.attempts.cursor(hash)
    while let slot = peers.attempts.next(hash, &cursor) {
      guard peers.handshakes[slot].token == token, peers.rows[slot].address == address,
        peers.handshakes[slot].isProved == isProved
      else { continue }
      count += 1
      if let oldest, peers.handshakes[oldest].started <= peers.handshakes[slot].started { continue }
      oldest = slot
    }
    guard count >= Self.attemptsKept, let oldest else { return .kept }
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
  mutating func dropOtherAttempts(of slot: Slot) {
    let hash = peers.handshakes[slot].attemptHash
    guard hash != 0 else { return }
    let token = peers.handshakes[slot].token
    peers.attempts.remove(hash, slot: slot)
    peers.handshakes[slot].attemptHash = 0
    // Those with proof of their address and those without.
    var others = InlineArray<32, Slot>(repeating: slot)
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

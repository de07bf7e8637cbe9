// SPDX-License-Identifier: MIT
/// Finds out whether a peer that was heard from a new address can be reached there (RFC 9000, section 8.2), and whether
/// it can still be reached at the old one: then the new address is somebody's who repeats its datagrams, or not needed. Unless the
/// peer says that it wants to be reached there (SWITCH): then the new one alone counts.
package struct PathValidation: BitwiseCopyable {
  /// A CHALLENGE must not be shorter than the segment with its 8 bytes.
  package static var shortestChallenge: Int {
    Datagram.headerLength + Segment.controlLength + Control.challengeLength + Datagram.tagLength
  }
  private static var maximumAttempts: Int { 3 }
  /// The new path may be much longer than the old one, whose probe timeout this is about (RFC 9000, 8.2.4).
  private static var shortestTrial: Nanoseconds { .seconds(1) }
  private static var shortestHoldOff: Nanoseconds { .seconds(1) }

  package private(set) var isActive = false
  package private(set) var candidate = Address.none
  private var newChallenge: UInt64 = 0
  package private(set) var oldChallenge: UInt64 = 0
  /// Bytes of authentic datagrams from the candidate, and bytes sent there.
  private var received = 0
  private var sent = 0
  private var started: Instant = 0
  private var attempts = 0
  private var isAnswered = false
  /// The peer itself has asked for the candidate (SWITCH): the old address is not asked, and the candidate is the peer's as soon
  /// as it answers.
  package private(set) var isSwitch = false
  /// SWITCH's bytes, for the RESPONSE then.
  package private(set) var switchValue: UInt64 = 0
  /// A SWITCH that comes before begins nothing.
  private var switchPauseUntil: Instant = 0
  /// A SWITCH with a lower packet number has been overtaken: by another, or, unless it is from the candidate, by the datagram that
  /// began the validation of that.
  private var switchFloor: UInt64
  private var candidateFloor: UInt64 = 0
  package private(set) var owesNew = false
  package private(set) var owesOld = false
  /// When to repeat, to give up, or to switch.
  package private(set) var deadline: Instant = .never
  /// No validation begins before.
  package private(set) var holdOffUntil: Instant = 0
  /// Nor, before this, one of the address that the peer has left by SWITCH. Others are not late, they are moves: of its NAT, say.
  private var pauseUntil: Instant = 0
  private var left = Address.none
  /// When the first CHALLENGE left for the candidate, and the round trip once one was answered.
  private var challengeSent: Instant = .never
  package private(set) var roundTrip: Nanoseconds = 0

  // Answers owed to the other side's challenges: two, as it may ask both our addresses at once.
  package private(set) var responses = InlineArray<2, UInt64>(repeating: 0)
  package private(set) var responseAddresses = InlineArray<2, Address>(repeating: .none)
  package private(set) var responseCount = 0

  /// - Parameter newest: the highest packet number of the peer so far.
  package init(holdOffUntil: Instant = 0, newest: UInt64? = nil) {
    self.holdOffUntil = holdOffUntil
    switchFloor = newest.map { $0 &+ 1 } ?? 0
  }

  package var isQuiet: Bool { !isActive && responseCount == 0 }

  package var newChallengeValue: UInt64 { newChallenge }
  package var owesAnything: Bool { responseCount > 0 || owesOld || (owesNew && allowance >= Self.shortestChallenge) }

  /// What may go to the candidate now: three times what came from there.
  package var allowance: Int { 3 * received - sent }

  /// An authentic datagram of `bytes` came from an address that is not the peer's.
  /// - Parameter isNewest: whether it has the highest packet number so far; others are late, not new.
  /// - Returns: whether a validation is to begin: call `begin`.
  package mutating func heard(from address: Address, bytes: Int, isNewest: Bool, now: Instant) -> Bool {
    if isActive {
      if address == candidate { received += bytes }
      // A candidate that does not answer gives way to one that was heard of later.
      return address != candidate && isNewest && attempts > 1 && !isAnswered && !isLate(address, now)
    }
    return isNewest && now >= holdOffUntil && !isLate(address, now)
  }

  /// Whether what comes from there may have been on its way when the peer left.
  private func isLate(_ address: Address, _ now: Instant) -> Bool { address == left && now < pauseUntil }

  /// - Parameter packetNumber: of the datagram that begins it.
  package mutating func begin(
    _ address: Address, bytes: Int, packetNumber: UInt64 = 0, challenges: (UInt64, UInt64), probeTimeout: Nanoseconds,
    now: Instant
  ) {
    isActive = true
    candidate = address
    candidateFloor = packetNumber
    (newChallenge, oldChallenge) = challenges
    received = bytes
    sent = 0
    started = now
    attempts = 1
    isAnswered = false
    challengeSent = .never
    isSwitch = false
    owesNew = true
    owesOld = true
    deadline = now + probeTimeout
  }

  // MARK: SWITCH

  package enum SwitchStart {
    /// Another one has come just before; it will be repeated.
    case tooEarly
    /// A validation of this address runs, which is for the SWITCH from here on, if it was not.
    case goesOn
    /// The same, and the address has answered: the peer is there.
    case moves
    /// Call `begin`, then `serve`.
    case begins
  }

  /// Whether a SWITCH from `address` is the peer's latest word: neither another SWITCH nor a move has overtaken it. Data may have, as
  /// it may still take another path.
  package func isLatest(_ packetNumber: UInt64, from address: Address) -> Bool {
    packetNumber >= switchFloor && (address == candidate || packetNumber >= candidateFloor)
  }

  /// It is heeded.
  package mutating func heeded(_ packetNumber: UInt64) { switchFloor = packetNumber &+ 1 }

  /// The latest SWITCH has these bytes, and `address`, where it came from, is not the peer's.
  package mutating func switches(
    to address: Address, _ value: UInt64, probeTimeout: Nanoseconds, now: Instant
  ) -> SwitchStart {
    let isUnderWay = isActive && candidate == address
    if isUnderWay, isSwitch, switchValue == value { return .goesOn }
    guard now >= switchPauseUntil else { return .tooEarly }
    switchPauseUntil = now + probeTimeout
    guard isUnderWay else { return .begins }
    if isSwitch {
      switchValue = value
      return .goesOn
    }
    if isAnswered {
      switchValue = value
      isSwitch = true
      end(holdOff: 0, now: now)
      return .moves
    }
    started = now
    attempts = 1
    owesNew = true
    deadline = now + probeTimeout
    serve(value)
    return .goesOn
  }

  /// The validation that has begun is for a SWITCH with these bytes.
  package mutating func serve(_ value: UInt64) {
    isSwitch = true
    switchValue = value
    owesOld = false
  }

  /// Both sides know by SWITCH where the peer is, and that it is not at `old`. What it sends from there until it has its answer, or
  /// what is late on that path, begins no validation for as long as a SWITCH may be repeated.
  package mutating func settle(leaving old: Address, probeTimeout: Nanoseconds, now: Instant) {
    let pause = max(8 * probeTimeout, Self.shortestHoldOff)
    // One is remembered: where two were left in a row, all addresses wait.
    let hasLeftAnother = now < pauseUntil && left != old
    end(holdOff: hasLeftAnother ? pause : 0, now: now)
    left = old
    pauseUntil = now + pause
  }

  /// The peer says by SWITCH that it is where it was taken to be: not at a candidate, and once more if it had no answer.
  package mutating func settleHere(probeTimeout: Nanoseconds, now: Instant) {
    if isActive {
      settle(leaving: candidate, probeTimeout: probeTimeout, now: now)
    } else if now < pauseUntil {
      pauseUntil = now + max(8 * probeTimeout, Self.shortestHoldOff)
    }
  }

  /// What is kept over a rest of both pauses.
  package var restingHoldOff: Instant { max(holdOffUntil, pauseUntil) }

  package enum Verdict {
    case nothing
    /// The old address answers: the peer stays there.
    case stay
    /// The peer is at the candidate.
    case move
  }

  /// Whether a validation waits for these 8 bytes.
  package func asks(_ value: UInt64) -> Bool {
    isActive && (value == newChallenge || (value == oldChallenge && !isSwitch))
  }

  /// Whether a move to `address` that was heard of now would wait: for the last one's failure to be long enough ago, or until nothing
  /// is late any more.
  package func putsOff(_ address: Address, now: Instant) -> Bool {
    !isActive && (now < holdOffUntil || isLate(address, now))
  }

  /// A RESPONSE with these 8 bytes has come.
  package mutating func answered(_ value: UInt64, probeTimeout: Nanoseconds, now: Instant) -> Verdict {
    guard isActive else { return .nothing }
    if value == oldChallenge, !isSwitch {
      end(holdOff: max(3 * probeTimeout, Self.shortestHoldOff), now: now)
      return .stay
    }
    guard value == newChallenge else { return .nothing }
    if !isAnswered {
      isAnswered = true
      owesNew = false
      roundTrip = now - min(challengeSent, now)
    }
    return decide(probeTimeout: probeTimeout, now: now)
  }

  /// The clock has reached `deadline`.
  package mutating func expired(probeTimeout: Nanoseconds, now: Instant) -> Verdict {
    guard isActive, deadline <= now else { return .nothing }
    if isAnswered { return decide(probeTimeout: probeTimeout, now: now) }
    guard attempts < Self.maximumAttempts || now < started + Self.shortestTrial else {
      end(holdOff: max(3 * probeTimeout, Self.shortestHoldOff), now: now)
      return .stay
    }
    attempts += 1
    owesNew = true
    owesOld = !isSwitch
    deadline = now + probeTimeout << UInt64(min(attempts - 1, 10))
    return .nothing
  }

  /// The old address has a probe timeout's time to answer too, unless the peer has said that it is not the one any more.
  private mutating func decide(probeTimeout: Nanoseconds, now: Instant) -> Verdict {
    guard isSwitch || now >= started + probeTimeout else {
      deadline = started + probeTimeout
      return .nothing
    }
    end(holdOff: 0, now: now)
    return .move
  }

  private mutating func end(holdOff: Nanoseconds, now: Instant) {
    isActive = false
    owesNew = false
    owesOld = false
    deadline = .never
    holdOffUntil = now + holdOff
  }

  package mutating func sentNew(bytes: Int, now: Instant) {
    sent += bytes
    owesNew = false
    // Which of several an answer is to cannot be told: the round trip counts from the first.
    challengeSent = min(challengeSent, now)
  }

  package mutating func sentOld() { owesOld = false }

  /// The peer asks whether `address` reaches us; a third question before the first is answered replaces the last.
  /// - Returns: whether none had to give way.
  package mutating func owe(_ response: UInt64, to address: Address) -> Bool {
    let hasRoom = responseCount < 2
    if !hasRoom { responseCount = 1 }
    responses[responseCount] = response
    responseAddresses[responseCount] = address
    responseCount += 1
    return hasRoom
  }

  package mutating func sentResponse() {
    // What goes to a candidate is paid by what came from there.
    if isActive, responseAddresses[responseCount - 1] == candidate { sent += Self.shortestChallenge }
    responseCount -= 1
  }
}

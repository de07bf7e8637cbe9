/// Finds out whether a peer that was heard from a new address can be reached there (RFC 9000, section 8.2), and whether
/// it can still be reached at the old one: then the new address is somebody's who repeats its datagrams, or not needed.
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
  package private(set) var owesNew = false
  package private(set) var owesOld = false
  /// When to repeat, to give up, or to switch.
  package private(set) var deadline: Instant = .never
  /// No validation begins before.
  package private(set) var holdOffUntil: Instant = 0
  /// When the last CHALLENGE left for the candidate, and the round trip once it was answered.
  private var challengeSent: Instant = 0
  package private(set) var roundTrip: Nanoseconds = 0

  // Answers owed to the other side's challenges: two, as it may ask both our addresses at once.
  package private(set) var responses = InlineArray<2, UInt64>(repeating: 0)
  package private(set) var responseAddresses = InlineArray<2, Address>(repeating: .none)
  package private(set) var responseCount = 0

  package init(holdOffUntil: Instant = 0) { self.holdOffUntil = holdOffUntil }

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
      return address != candidate && isNewest && attempts > 1 && !isAnswered
    }
    return isNewest && now >= holdOffUntil
  }

  package mutating func begin(
    _ address: Address, bytes: Int, challenges: (UInt64, UInt64), probeTimeout: Nanoseconds, now: Instant
  ) {
    isActive = true
    candidate = address
    (newChallenge, oldChallenge) = challenges
    received = bytes
    sent = 0
    started = now
    attempts = 1
    isAnswered = false
    owesNew = true
    owesOld = true
    deadline = now + probeTimeout
  }

  package enum Verdict {
    case nothing
    /// The old address answers: the peer stays there.
    case stay
    /// The peer is at the candidate.
    case move
  }

  /// Whether a validation waits for these 8 bytes.
  package func asks(_ value: UInt64) -> Bool { isActive && (value == oldChallenge || value == newChallenge) }

  /// Whether a move that was heard of now would wait for the last one's failure to be long enough ago.
  package func putsOff(now: Instant) -> Bool { !isActive && now < holdOffUntil }

  /// A RESPONSE with these 8 bytes has come.
  package mutating func answered(_ value: UInt64, probeTimeout: Nanoseconds, now: Instant) -> Verdict {
    guard isActive else { return .nothing }
    if value == oldChallenge {
      end(holdOff: max(3 * probeTimeout, Self.shortestHoldOff), now: now)
      return .stay
    }
    guard value == newChallenge else { return .nothing }
    if !isAnswered {
      isAnswered = true
      owesNew = false
      roundTrip = now - challengeSent
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
    owesOld = true
    deadline = now + probeTimeout << UInt64(min(attempts - 1, 10))
    return .nothing
  }

  /// The old address has a probe timeout's time to answer too.
  private mutating func decide(probeTimeout: Nanoseconds, now: Instant) -> Verdict {
    guard now >= started + probeTimeout else {
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
    if attempts == 1 { challengeSent = now }
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

// SPDX-License-Identifier: MIT
/// When one peer is owed an ACK: at once on a new gap, FIN, a CE change, a reopened window or ACK-NOW; otherwise
/// after as many packets as it asked for, within its announced delay and at least four times a round trip; but where a
/// round trip has passed since the packet before, a quarter of a millisecond may pass, too.
package struct AckSchedule: BitwiseCopyable {
  package private(set) var largest: UInt64 = 0
  private var largestArrived: Instant = 0
  /// When the last ACK left.
  private var lastTold: Instant = 0
  package private(set) var hasLargest = false
  private var owed = 0
  /// Ack-eliciting datagrams since the start.
  package private(set) var elicitingReceived: UInt64 = 0
  package private(set) var isUrgent = false
  /// Packets until a gap is told; 0 when none waits to be.
  private var untilGapIsTold = 0
  package private(set) var deadline: Instant = .never
  package private(set) var duplicates: UInt64 = 0
  package private(set) var ect0: UInt64 = 0
  package private(set) var ect1: UInt64 = 0
  package private(set) var ce: UInt64 = 0

  package init() {}

  /// What is kept of it while nothing is owed.
  package struct Rest: BitwiseCopyable {
    fileprivate var largest: UInt64 = 0
    package internal(set) var duplicates: UInt64 = 0
    fileprivate var ect0: UInt64 = 0
    fileprivate var ect1: UInt64 = 0
    fileprivate var ce: UInt64 = 0
    fileprivate var elicitingReceived: UInt32 = 0
    fileprivate var hasLargest = false

    package init() {}
  }

  package var rest: Rest {
    var rest = Rest()
    rest.largest = largest
    rest.hasLargest = hasLargest
    rest.elicitingReceived = UInt32(clamping: elicitingReceived)
    rest.duplicates = duplicates
    rest.ect0 = ect0
    rest.ect1 = ect1
    rest.ce = ce
    return rest
  }

  package init(from rest: Rest) {
    largest = rest.largest
    hasLargest = rest.hasLargest
    elicitingReceived = UInt64(rest.elicitingReceived)
    duplicates = rest.duplicates
    ect0 = rest.ect0
    ect1 = rest.ect1
    ce = rest.ce
  }

  /// Nothing that was received waits for its ACK.
  package var isQuiet: Bool { owed == 0 && !isUrgent && deadline == .never }

  /// An ack-eliciting datagram has arrived.
  package mutating func received(
    packetNumber: UInt64, ecn: UInt8, ratio: Int, maximumDelay: Nanoseconds, roundTrip: Nanoseconds, now: Instant
  ) {
    let isAlone = now &- largestArrived >= roundTrip
    if !hasLargest || packetNumber > largest {
      largest = packetNumber
      largestArrived = now
      hasLargest = true
    }
    switch ecn & 3 {
    case 1: ect1 &+= 1
    case 2: ect0 &+= 1
    case 3:
      ce &+= 1
      isUrgent = true
    default: break
    }
    owed += 1
    elicitingReceived &+= 1
    if owed >= ratio { isUrgent = true }
    if untilGapIsTold > 0 {
      untilGapIsTold -= 1
      if untilGapIsTold == 0 { isUrgent = true }
    }
    waitAtMost(maximumDelay, roundTrip: roundTrip, isAlone: isAlone, now: now)
  }

  /// One more is owed.
  private mutating func waitAtMost(
    _ maximumDelay: Nanoseconds, roundTrip: Nanoseconds, isAlone: Bool, now: Instant
  ) {
    var delay = roundTrip == 0 ? maximumDelay : roundTrip / 4
    // One request in each round trip, whose answer takes the ACK along: on a short path a quarter of it would be over before
    // the next comes, and each wait for that end in a timer's interrupt. Who waits for room to send has sent several; who waits for
    // the ACK of each single packet does not wait long.
    if isAlone { delay = max(delay, Self.shortestWaitAlone) }
    deadline = min(deadline, now + min(maximumDelay, delay))
  }

  private static var shortestWaitAlone: Nanoseconds { .microseconds(250) }

  /// Whether several packets may be told of at once: not while the number of those to come matters, nor while the connection is
  /// young and acknowledges more often.
  package var takesRuns: Bool { untilGapIsTold == 0 && elicitingReceived >= Self.youth }

  /// So many ack-eliciting packets a connection is young for.
  package static var youth: UInt64 { 256 }

  /// As `received` for each of `count` packets with numbers in a row, when `takesRuns`.
  package mutating func received(
    _ count: Int, from packetNumber: UInt64, ecn: UInt8, ratio: Int, maximumDelay: Nanoseconds,
    roundTrip: Nanoseconds, now: Instant
  ) {
    let others = count - 1
    received(
      packetNumber: packetNumber + UInt64(others), ecn: ecn, ratio: ratio - others, maximumDelay: maximumDelay,
      roundTrip: roundTrip, now: now)
    switch ecn & 3 {
    case 1: ect1 &+= UInt64(others)
    case 2: ect0 &+= UInt64(others)
    case 3: ce &+= UInt64(others)
    default: break
    }
    owed += others
    elicitingReceived &+= UInt64(others)
    if others > 0 { waitAtMost(maximumDelay, roundTrip: roundTrip, isAlone: false, now: now) }
  }

  package mutating func duplicate() { duplicates &+= 1 }
  package mutating func demand() { isUrgent = true }

  /// A new gap. Nobody takes what is missing there for lost before two more packets have come (RFC 9002, 6.1.1), so that
  /// is when it is told; or in a moment, if they do not come.
  package mutating func gapOpened(roundTrip: Nanoseconds, now: Instant) {
    if untilGapIsTold == 0 { untilGapIsTold = 2 }
    deadline = min(deadline, now + min(max(roundTrip / 32, .milliseconds(1)), .milliseconds(25)))
  }

  /// Whether a datagram that leaves anyway takes the ACK along, due or not. Not one in each of many short round trips: it would
  /// hold up what it goes with, at both ends, and tell little.
  package func goesAlong(now: Instant) -> Bool {
    hasLargest && (isDue(now: now) || (owed > 0 && now &- lastTold >= Self.shortestPause))
  }

  private static var shortestPause: Nanoseconds { .microseconds(100) }

  package func isDue(now: Instant) -> Bool { hasLargest && (isUrgent || deadline <= now) }

  package mutating func didSendAck(now: Instant) {
    lastTold = now
    owed = 0
    isUrgent = false
    untilGapIsTold = 0
    deadline = .never
  }

  package func header(now: Instant) -> AckBlock {
    AckBlock(
      largestPacketNumber: largest, delayMicroseconds: now > largestArrived ? (now - largestArrived) / 1000 : 0,
      duplicates: duplicates, ect0: ect0, ect1: ect1, ce: ce)
  }
}

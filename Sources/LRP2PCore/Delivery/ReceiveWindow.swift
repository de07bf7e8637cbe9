// SPDX-License-Identifier: MIT
/// What one peer has sent us: the next number expected, what arrived early, and what waits for a reader.
package struct ReceiveWindow: ~Copyable {
  // Not private: a debug build fails on private types in generic storage (Swift 6.3).
  package struct Stored: BitwiseCopyable {
    var place = ReceivePool.Place()
    var length: UInt16 = 0

    /// A segment of messages, of which the stream's reader gets nothing. No payload is as long.
    static var messages: Stored {
      var stored = Stored()
      stored.length = .max
      return stored
    }
    var isMessages: Bool { length == .max }
  }

  /// Everything before has arrived.
  package internal(set) var next: UInt32
  /// In order, and not handed to the user, as the reader has stopped.
  var unread = Queue<Stored>(minimumCapacity: 1, filler: Stored())
  /// As many numbers before `next` as are unread: where the window begins. Message segments leave nothing unread, so a reader that stops
  /// does not stop them.
  package var delivered: UInt32 { next &- UInt32(truncatingIfNeeded: unread.count) }
  /// Highest number seen, plus one.
  package internal(set) var highest: UInt32
  var early = SequenceBitmap()
  /// Runs of early numbers.
  var earlyRuns = 0
  /// Gaps that have opened since the last ACK; where one has been filled since, and where that went on to before it.
  var gapsOpened = 0
  var filled = SequenceRange()
  var hasFilled = false
  var filledBefore: UInt32
  /// What has come early, by number from `next` on.
  var stored: Column<Stored>
  /// Cells of the pool that it has, the one that was stored into last, and bytes that it has charged for what finds them again.
  package internal(set) var cells = 0
  var openCell = ReceivePool.Open()
  package internal(set) var charged = 0
  /// The same for what is unread, and for messages that wait for others or for the rest of them.
  var unreadCharged = 0
  package internal(set) var messageCharged = 0
  /// Cells of segments that have come in part.
  var pieceCells = 0
  /// Early numbers that are stored.
  var earlyCount = 0
  private var finNumber: UInt32 = 0
  private var hasFin = false
  package private(set) var isFinDelivered = false
  package var isPaused = false
  /// How far beyond what the reader has taken the peer may go at present, and at most.
  package private(set) var window: UInt32
  let maximum: UInt32
  /// Since when, and from which number on, what arrives is counted.
  private var periodStart: Instant = 0
  private var periodNumber: UInt32
  private var acksInPeriod = 0
  var acksPerRoundTrip = 16
  /// Behind the highest number that the last ACK has allowed. It moves back only where something was refused.
  var promisedEdge: UInt32
  /// Something was refused for want of room, and the window has not opened wholly since (`ReceiveWindow+Edge`).
  package internal(set) var isPressed = false
  /// The lowest number refused since the last ACK, if one was.
  var refusedFrom: UInt32 = 0
  var hasRefused = false
  /// Where the next ACK starts its rotation through older runs.
  var rotation: UInt32
  /// The peer was asked last to hold its stream back (`ReceiveWindow+Hold`).
  package internal(set) var tellsHold = false

  static var smallestStore: Int { 4 }

  package init(first: UInt32, window: UInt32, maximum: UInt32? = nil) {
    next = first
    highest = first
    self.maximum = maximum ?? window
    self.window = window
    periodNumber = first
    promisedEdge = first &+ self.window
    rotation = first
    filledBefore = first
    stored = Column(repeating: Stored(), count: Self.smallestStore)
  }

  /// An ACK is about to be written. The window becomes four times what arrives in a round trip: enough for a sender that
  /// doubles, and for the gaps of three round trips. It is packets that count, not how far their numbers lie ahead: those cost
  /// nothing. A reader that has stopped earns nothing.
  package mutating func tune(roundTrip: Nanoseconds, now: Instant) {
    acksInPeriod += 1
    let roundTrip = max(roundTrip, .milliseconds(1))
    let elapsed = now &- periodStart
    guard elapsed >= roundTrip else { return }
    let periods = Double(elapsed) / Double(roundTrip)
    let arrived = Double(arrivals.ahead(of: periodNumber)) / periods
    acksPerRoundTrip = max(Int(Double(acksInPeriod) / periods), 1)
    periodStart = now
    periodNumber = arrivals
    acksInPeriod = 0
    guard !isPaused, window < maximum else { return }
    window = max(window, UInt32(min(4 * arrived, Double(maximum))))
  }

  /// Counts the segments that were taken: each is in order, or stored early.
  private var arrivals: UInt32 { next &+ UInt32(earlyCount) }

  package enum Arrival {
    /// The next bytes in order: hand them over straight from the datagram, then call `deliveredDirectly`.
    case direct
    case storedInOrder
    /// Stored; `opensGap` when numbers before it are missing that were not known to be.
    case storedEarly(opensGap: Bool)
    case duplicate
    case beyondWindow
    case poolExhausted
    /// Data behind FIN, or a second, different FIN.
    case violation
  }

  /// Takes the segment `number`, which may be any.
  package mutating func accept(_ number: UInt32, isFin: Bool, _ bytes: RawSpan, pool: inout ReceivePool) -> Arrival {
    guard number.isWithin(window, from: delivered) else { return outside(number) }
    if number.precedes(next) { return .duplicate }
    if hasFin, finNumber.precedes(number) || (isFin && number != finNumber) { return .violation }
    if isFin, !hasFin, number.precedes(highest &- 1), highest != next || number.precedes(next) { return .violation }
    let isNext = number == next
    if isNext, !isPaused, unread.isEmpty {
      note(number, isFin: isFin)
      return .direct
    }
    if !isNext, isEarly(number) { return .duplicate }
    guard keep(number, bytes, pool: &pool) else { return .poolExhausted }
    return place(number, isFin: isFin, isNext: isNext, pool: &pool)
  }

  /// Takes a segment of messages, whose bytes are the caller's business, as `accept` does one without any.
  package mutating func accept(messages number: UInt32, pool: inout ReceivePool) -> Arrival {
    guard number.isWithin(window, from: delivered) else { return outside(number) }
    if number.precedes(next) || isEarly(number) { return .duplicate }
    if hasFin, finNumber.precedes(number) { return .violation }
    if number == next, earlyRuns == 0 {
      note(number, isFin: false)
      next &+= 1
      return .storedInOrder
    }
    guard keep(number, RawSpan(), isMessages: true, pool: &pool) else { return .poolExhausted }
    return place(number, isFin: false, isNext: number == next, pool: &pool)
  }

  /// A segment is stored: it is in order, or early.
  private mutating func place(_ number: UInt32, isFin: Bool, isNext: Bool, pool: inout ReceivePool) -> Arrival {
    let opensGap = highest.precedes(number)
    if opensGap { gapsOpened += 1 }
    if number.precedes(highest) { noteFilled(number) }
    note(number, isFin: isFin)
    if isNext {
      pass(next &+ 1, pool: &pool)
      absorbEarly(pool: &pool)
      return .storedInOrder
    }
    insertEarly(number)
    return .storedEarly(opensGap: opensGap)
  }

  /// What `accept` does with a segment that is none but the next, when nothing is stored: to be handed over straight from the
  /// datagram, as after `direct`.
  @inline(__always)
  package mutating func acceptsDirectly(_ number: UInt32) -> Bool {
    guard number == next, takesDirectly else { return false }
    note(number, isFin: false)
    return true
  }

  /// Whether the next number would be accepted so.
  @inline(__always)
  package var takesDirectly: Bool { unread.isEmpty && !isPaused && !hasFin && window > 0 }

  /// Whether the reader of the stream has had all that is in order.
  package var keepsUp: Bool { unread.isEmpty && !isPaused }

  private func outside(_ number: UInt32) -> Arrival { number.precedes(delivered) ? .duplicate : .beyondWindow }

  /// Whether a piece of segment `number`, which may be any, is of use.
  package enum Need { case wanted, duplicate, beyondWindow }
  @inline(__always)
  package func need(_ number: UInt32) -> Need {
    guard number.isWithin(window, from: delivered) else {
      return number.precedes(delivered) ? .duplicate : .beyondWindow
    }
    return number.precedes(next) || isEarly(number) ? .duplicate : .wanted
  }

  /// The segment that `accept` called direct has been handed over.
  /// - Returns: whether stored ones, or the end of the stream, may be in order now.
  @inline(__always)
  package mutating func deliveredDirectly(pool: inout ReceivePool) -> Bool {
    next &+= 1
    if earlyRuns > 0 { absorbEarly(pool: &pool) }
    return hasFin || !unread.isEmpty
  }

  /// The next stored segment that is in order, to be handed over; `nil` while the reader has stopped.
  package func nextStored() -> (place: ReceivePool.Place, length: Int)? {
    guard !isPaused, let entry = unread.first else { return nil }
    return (entry.place, Int(entry.length))
  }

  /// It has been.
  package mutating func storedDelivered(to pool: inout ReceivePool) {
    guard let entry = unread.popFirst() else { return }
    give(back: entry.place, to: &pool)
    guard unread.isEmpty else { return }
    pool.refund(unreadCharged)
    unreadCharged = 0
    unread.removeAll()
  }

  /// Whether the peer's FIN has its turn now. True once.
  package mutating func takeFin() -> Bool {
    guard hasFin, !isFinDelivered, unread.isEmpty, next == finNumber &+ 1 else { return false }
    isFinDelivered = true
    return true
  }

  package var hasEarly: Bool { earlyRuns > 0 }

  // Figures.
  package var packetsUnread: Int { unread.count }
  package var packetsBehindGaps: Int { Int(highest &- next) }
  package var promisedPackets: UInt32 { promisedEdge &- next }
  package var windowLeft: Int { promisedEdge.ahead(of: highest) }
  package var storedCount: Int { stored.count }

  @inline(__always)
  private mutating func note(_ number: UInt32, isFin: Bool) {
    if highest.precedes(number &+ 1) { highest = number &+ 1 }
    if isFin {
      hasFin = true
      finNumber = number
    }
  }

  private func isEarly(_ number: UInt32) -> Bool { number.precedes(highest) && early.contains(number) }

  /// `note` has been told of it, and `keep` has made room.
  private mutating func insertEarly(_ number: UInt32) {
    early.insert(number)
    earlyCount += 1
    earlyRuns += 1
    if early.contains(number &- 1) { earlyRuns -= 1 }
    if early.contains(number &+ 1) { earlyRuns -= 1 }
  }

  private mutating func absorbEarly(pool: inout ReceivePool) {
    guard earlyRuns > 0, early.contains(next) else { return }
    let end = early.first(false, from: next, to: highest)
    early.remove(next, upTo: end)
    earlyCount -= Int(end &- next)
    pass(end, pool: &pool)
    earlyRuns -= 1
  }

  /// What is stored before `end` is in order, and waits for the reader.
  private mutating func pass(_ end: UInt32, pool: inout ReceivePool) {
    while next != end {
      let entry = stored[Int(next & UInt32(stored.count - 1))]
      next &+= 1
      if entry.isMessages { continue }
      if unread.count == unread.capacity {
        let more = unread.capacity * MemoryLayout<Stored>.stride
        pool.charge(more)
        unreadCharged += more
      }
      unread.append(entry)
    }
  }

  // MARK: Rest

  /// What is kept of it while nothing waits.
  package struct Rest: BitwiseCopyable {
    fileprivate var next: UInt32 = 0
    fileprivate var window: UInt32 = 0
    fileprivate var promisedEdge: UInt32 = 0

    package init() {}

    package var promisedPackets: UInt32 { promisedEdge &- next }
    package var windowLeft: Int { promisedEdge.ahead(of: next) }
  }

  /// Nothing waits for its turn, or for a reader, and the stream goes on.
  package var isQuiet: Bool {
    unread.isEmpty && highest == next && earlyRuns == 0 && !hasFin && !isPaused && messageCharged == 0 && !tellsHold
  }

  package var rest: Rest {
    var rest = Rest()
    rest.next = next
    rest.window = window
    rest.promisedEdge = promisedEdge
    return rest
  }

  /// Becomes the window of a connection that goes on, in the memory of another; `maximum` is the same for all.
  package mutating func restart(from rest: Rest) {
    next = rest.next
    unread.removeAll()
    highest = rest.next
    early.removeAll()
    earlyRuns = 0
    earlyCount = 0
    gapsOpened = 0
    filled = SequenceRange()
    hasFilled = false
    filledBefore = rest.next
    if stored.count > Self.smallestStore { stored = Column(repeating: Stored(), count: Self.smallestStore) }
    cells = 0
    openCell = ReceivePool.Open()
    charged = 0
    unreadCharged = 0
    messageCharged = 0
    tellsHold = false
    pieceCells = 0
    finNumber = 0
    hasFin = false
    isFinDelivered = false
    isPaused = false
    window = rest.window
    periodStart = 0
    periodNumber = rest.next
    acksInPeriod = 0
    acksPerRoundTrip = 16
    promisedEdge = rest.promisedEdge
    isPressed = false
    hasRefused = false
    rotation = rest.next
  }
}

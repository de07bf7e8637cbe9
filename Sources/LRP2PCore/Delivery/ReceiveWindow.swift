/// What one peer has sent us: the next number expected, what arrived early, and what waits for a reader.
package struct ReceiveWindow: ~Copyable {
  // Not private: a debug build fails on private types in generic storage (Swift 6.3).
  package struct Stored: BitwiseCopyable {
    var cell: UInt32 = ReceivePool.none
    var length: UInt32 = 0
  }

  /// Everything before has arrived.
  package private(set) var next: UInt32
  /// Everything before was handed to the user. Equal to `next` unless the reader has stopped.
  package private(set) var delivered: UInt32
  /// Highest number seen, plus one.
  package private(set) var highest: UInt32
  var early = SequenceBitmap()
  /// Runs of early numbers.
  var earlyRuns = 0
  /// Gaps that have opened since the last ACK; where one has been filled since, and where that went on to before it.
  var gapsOpened = 0
  var filled = SequenceRange()
  var hasFilled = false
  var filledBefore: UInt32
  private var stored: Column<Stored>
  /// Cells of the pool that it has.
  package private(set) var cells = 0
  private var finNumber: UInt32 = 0
  private var hasFin = false
  package private(set) var isFinDelivered = false
  package var isPaused = false
  /// How far beyond what the reader has taken the peer may go at present, and at most.
  package private(set) var window: UInt32
  private let maximum: UInt32
  /// Since when, and from which number on, what arrives is counted.
  private var periodStart: Instant = 0
  private var periodNumber: UInt32
  private var acksInPeriod = 0
  var acksPerRoundTrip = 16
  /// The highest edge promised so far; it never moves back.
  private var promisedEdge: UInt32
  /// Where the next ACK starts its rotation through older runs.
  var rotation: UInt32

  static var smallestStore: Int { 4 }

  package init(first: UInt32, window: UInt32, maximum: UInt32? = nil) {
    next = first
    delivered = first
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
  /// doubles, and for the gaps of three round trips. A reader that has stopped earns nothing.
  package mutating func tune(roundTrip: Nanoseconds, now: Instant) {
    acksInPeriod += 1
    let roundTrip = max(roundTrip, .milliseconds(1))
    let elapsed = now &- periodStart
    guard elapsed >= roundTrip else { return }
    let periods = Double(elapsed) / Double(roundTrip)
    let arrived = Double(highest.distance(since: periodNumber)) / periods
    acksPerRoundTrip = max(Int(Double(acksInPeriod) / periods), 1)
    periodStart = now
    periodNumber = highest
    acksInPeriod = 0
    guard !isPaused, window < maximum else { return }
    window = max(window, UInt32(min(4 * arrived, Double(maximum))))
  }

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

  /// Takes the segment `number`.
  package mutating func accept(_ number: UInt32, isFin: Bool, _ bytes: RawSpan, pool: inout ReceivePool) -> Arrival {
    let ahead = number.distance(since: next)
    if ahead < 0 { return .duplicate }
    guard number.distance(since: delivered) < Int(window) else { return .beyondWindow }
    if hasFin, finNumber.precedes(number) || (isFin && number != finNumber) { return .violation }
    if isFin, !hasFin, number.precedes(highest &- 1), highest != next || number.precedes(next) { return .violation }
    if ahead == 0, !isPaused, delivered == next {
      note(number, isFin: isFin)
      return .direct
    }
    if ahead > 0, isEarly(number) { return .duplicate }
    guard pool.admits(holding: cells), let cell = pool.store(bytes) else { return .poolExhausted }
    cells += 1
    put(number, Stored(cell: cell, length: UInt32(bytes.byteCount)))
    let opensGap = highest.precedes(number)
    if opensGap { gapsOpened += 1 }
    if number.precedes(highest) { noteFilled(number) }
    note(number, isFin: isFin)
    if ahead == 0 {
      next &+= 1
      absorbEarly()
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
  package var takesDirectly: Bool { delivered == next && !isPaused && !hasFin && window > 0 }

  /// Whether a piece of segment `number` is of use.
  package enum Need { case wanted, duplicate, beyondWindow }
  package func need(_ number: UInt32) -> Need {
    if number.distance(since: next) < 0 || isEarly(number) { return .duplicate }
    return number.distance(since: delivered) < Int(window) ? .wanted : .beyondWindow
  }

  /// The segment that `accept` called direct has been handed over.
  /// - Returns: whether stored ones, or the end of the stream, may be in order now.
  @inline(__always)
  package mutating func deliveredDirectly() -> Bool {
    next &+= 1
    delivered &+= 1
    if earlyRuns > 0 { absorbEarly() }
    return hasFin || delivered != next
  }

  /// The next stored segment that is in order, to be handed over; `nil` while the reader has stopped.
  package func nextStored() -> (cell: UInt32, length: Int)? {
    guard !isPaused, delivered != next else { return nil }
    let entry = stored[Int(delivered & UInt32(stored.count - 1))]
    return (entry.cell, Int(entry.length))
  }

  package mutating func storedDelivered() {
    delivered &+= 1
    cells -= 1
  }

  /// Whether the peer's FIN has its turn now. True once.
  package mutating func takeFin() -> Bool {
    guard hasFin, !isFinDelivered, delivered == finNumber &+ 1 else { return false }
    isFinDelivered = true
    return true
  }

  /// Packets beyond the last in-order number that may be sent.
  package mutating func advertise() -> UInt32 {
    let edge = delivered &+ window
    if promisedEdge.precedes(edge) { promisedEdge = edge }
    return UInt32(min(promisedEdge.distance(since: next), 0xFF_FFFF))
  }

  /// Whether the reader has opened the window by at least half since the last ACK told.
  package var reopened: Bool {
    (delivered &+ window).distance(since: promisedEdge) >= Int(window / 2)
      && promisedEdge.distance(since: next) <= Int(window / 2)
  }

  package var hasEarly: Bool { earlyRuns > 0 }

  // Figures.
  package var packetsUnread: Int { next.distance(since: delivered) }
  package var packetsBehindGaps: Int { highest.distance(since: next) }
  package var windowLeft: Int { max(promisedEdge.distance(since: highest), 0) }
  package var storedCount: Int { stored.count }

  /// Gives every cell back.
  package mutating func releaseAll(to pool: inout ReceivePool) {
    cells = 0
    while delivered != next {
      pool.release(stored[Int(delivered & UInt32(stored.count - 1))].cell)
      delivered &+= 1
    }
    releaseEarly(to: &pool)
  }

  /// Gives back what is not in order, and never will be.
  package mutating func releaseEarly(to pool: inout ReceivePool) {
    cells = packetsUnread
    while earlyRuns > 0 {
      let lower = early.first(true, from: next, to: highest)
      let upper = early.first(false, from: lower, to: highest)
      var number = lower
      while number != upper {
        pool.release(stored[Int(number & UInt32(stored.count - 1))].cell)
        number &+= 1
      }
      early.remove(lower, upTo: upper)
      earlyRuns -= 1
    }
  }

  @inline(__always)
  private mutating func note(_ number: UInt32, isFin: Bool) {
    if highest.precedes(number &+ 1) { highest = number &+ 1 }
    if isFin {
      hasFin = true
      finNumber = number
    }
  }

  private func isEarly(_ number: UInt32) -> Bool { number.precedes(highest) && early.contains(number) }

  /// `note` has been told of it.
  private mutating func insertEarly(_ number: UInt32) {
    // One more than the span, so that the neighbours of a number are never its own alias.
    let needed = highest.distance(since: next) + 2
    if needed > early.capacity {
      var capacity = early.capacity
      while capacity < needed { capacity *= 2 }
      early.grow(to: capacity, lower: next, upper: highest)
    }
    early.insert(number)
    earlyRuns += 1
    if early.contains(number &- 1) { earlyRuns -= 1 }
    if early.contains(number &+ 1) { earlyRuns -= 1 }
  }

  private mutating func absorbEarly() {
    guard earlyRuns > 0, early.contains(next) else { return }
    let end = early.first(false, from: next, to: highest)
    early.remove(next, upTo: end)
    next = end
    earlyRuns -= 1
  }

  // MARK: Rest

  /// What is kept of it while nothing waits.
  package struct Rest: BitwiseCopyable {
    fileprivate var next: UInt32 = 0
    fileprivate var window: UInt32 = 0
    fileprivate var promisedEdge: UInt32 = 0

    package init() {}

    package var windowLeft: Int { max(promisedEdge.distance(since: next), 0) }
  }

  /// Nothing waits for its turn, or for a reader, and the stream goes on.
  package var isQuiet: Bool { delivered == next && highest == next && earlyRuns == 0 && !hasFin && !isPaused }

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
    delivered = rest.next
    highest = rest.next
    early.removeAll()
    earlyRuns = 0
    gapsOpened = 0
    filled = SequenceRange()
    hasFilled = false
    filledBefore = rest.next
    if stored.count > Self.smallestStore { stored = Column(repeating: Stored(), count: Self.smallestStore) }
    cells = 0
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
    rotation = rest.next
  }

  /// Gives back what a large window took, if nothing is stored.
  package mutating func shrink() {
    guard delivered == next, earlyRuns == 0, stored.count > Self.smallestStore else { return }
    stored = Column(repeating: Stored(), count: Self.smallestStore)
    early.removeAll()
  }

  // MARK: Storage

  private mutating func put(_ number: UInt32, _ entry: Stored) {
    let needed = number.distance(since: delivered) + 1
    if needed > stored.count {
      var capacity = stored.count
      while capacity < needed { capacity *= 2 }
      var larger = Column(repeating: Stored(), count: capacity)
      for ahead in 0..<stored.count {
        let old = delivered &+ UInt32(ahead)
        larger[Int(old & UInt32(capacity - 1))] = stored[Int(old & UInt32(stored.count - 1))]
      }
      stored = larger
    }
    stored[Int(number & UInt32(stored.count - 1))] = entry
  }
}

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
  private var early = IntervalSet()
  private var stored: Column<Stored>
  private var finNumber: UInt32 = 0
  private var hasFin = false
  package private(set) var isFinDelivered = false
  package var isPaused = false
  package let window: UInt32
  /// The highest edge promised so far; it never moves back.
  private var promisedEdge: UInt32
  /// Where the next ACK starts its rotation through older intervals.
  private var rotation = 0

  package init(first: UInt32, window: UInt32) {
    next = first
    delivered = first
    highest = first
    self.window = window
    promisedEdge = first &+ window
    stored = Column(repeating: Stored(), count: 4)
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
    if ahead > 0, early.contains(number) { return .duplicate }
    guard let cell = pool.store(bytes) else { return .poolExhausted }
    put(number, Stored(cell: cell, length: UInt32(bytes.byteCount)))
    let opensGap = highest.precedes(number)
    note(number, isFin: isFin)
    if ahead == 0 {
      next &+= 1
      absorbEarly()
      return .storedInOrder
    }
    early.insert(SequenceRange(lower: number, upper: number &+ 1))
    return .storedEarly(opensGap: opensGap)
  }

  /// Whether a piece of segment `number` is of use.
  package enum Need { case wanted, duplicate, beyondWindow }
  package func need(_ number: UInt32) -> Need {
    if number.distance(since: next) < 0 || early.contains(number) { return .duplicate }
    return number.distance(since: delivered) < Int(window) ? .wanted : .beyondWindow
  }

  /// The segment that `accept` called direct has been handed over.
  package mutating func deliveredDirectly() {
    next &+= 1
    delivered &+= 1
    absorbEarly()
  }

  /// The next stored segment that is in order, to be handed over; `nil` while the reader has stopped.
  package func nextStored() -> (cell: UInt32, length: Int)? {
    guard !isPaused, delivered != next else { return nil }
    let entry = stored[Int(delivered & UInt32(stored.count - 1))]
    return (entry.cell, Int(entry.length))
  }

  package mutating func storedDelivered() { delivered &+= 1 }

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

  package var hasEarly: Bool { !early.isEmpty }

  /// Gives every cell back.
  package mutating func releaseAll(to pool: inout ReceivePool) {
    while delivered != next {
      pool.release(stored[Int(delivered & UInt32(stored.count - 1))].cell)
      delivered &+= 1
    }
    for i in 0..<early.count {
      var number = early[i].lower
      while number != early[i].upper {
        pool.release(stored[Int(number & UInt32(stored.count - 1))].cell)
        number &+= 1
      }
    }
    early = IntervalSet()
  }

  // MARK: ACK block

  /// How many early intervals fit an ACK whole; beyond that the newest are described, and older ones in rotation.
  private static var wholeIntervals: Int { 120 }
  private static var newestIntervals: Int { 80 }
  private static var rotatedIntervals: Int { 40 }

  /// Writes the runs above the last in-order number.
  package mutating func writeRuns(header: AckBlock, into block: inout MutableRawSpan) -> Int {
    var writer = AckBlockWriter(capacity: block.byteCount)
    var header = header
    if early.isEmpty {
      header.intervalCount = 0
      writer.begin(header, into: &block)
      return writer.length
    }
    if early.count <= Self.wholeIntervals {
      header.intervalCount = 1
      writer.begin(header, into: &block)
      describe(0, early.count, from: next, &writer, &block)
      return writer.length
    }
    header.intervalCount = 2
    writer.begin(header, into: &block)
    let newest = early.count - Self.newestIntervals
    describe(newest, early.count, from: early[newest - 1].upper, &writer, &block)
    if rotation >= newest { rotation = 0 }
    let end = min(rotation + Self.rotatedIntervals, newest)
    describe(rotation, end, from: rotation == 0 ? next : early[rotation - 1].upper, &writer, &block)
    rotation = end
    return writer.length
  }

  /// Early intervals `from ..< to`, each with the gap before it.
  private func describe(
    _ from: Int, _ to: Int, from start: UInt32, _ writer: inout AckBlockWriter, _ block: inout MutableRawSpan
  ) {
    writer.interval(
      start: start &- next, runCount: 2 * (to - from), firstReceived: false, into: &block)
    var previous = start
    for i in from..<to {
      let range = early[i]
      writer.run(range.lower &- previous, into: &block)
      writer.run(range.upper &- range.lower, into: &block)
      previous = range.upper
    }
  }

  // MARK: Storage

  private mutating func note(_ number: UInt32, isFin: Bool) {
    if highest.precedes(number &+ 1) { highest = number &+ 1 }
    if isFin {
      hasFin = true
      finNumber = number
    }
  }

  private mutating func absorbEarly() {
    guard !early.isEmpty, early[0].lower == next else { return }
    next = early[0].upper
    early.removeAll(before: next)
  }

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

/// What one peer was sent and has not yet acknowledged: 16 bytes of metadata for each sequence number, no payload.
///
/// Every segment is outstanding, acknowledged, or waiting to be sent again. First transmissions leave in sequence
/// order, so losses among them are found run by run; retransmissions have a queue in their own order of sending.
package struct SendWindow: ~Copyable {
  /// One segment. The packet number and time are those of its last transmission, in 32 bits each: they are compared
  /// with values less than 2^31 away.
  package struct Sent: BitwiseCopyable {
    /// Stream offset (40 bits), payload length (16), flags (8).
    fileprivate var packed: UInt64 = 0
    package fileprivate(set) var packetNumber: UInt32 = 0
    package fileprivate(set) var microseconds: UInt32 = 0

    fileprivate static var acknowledged: UInt64 { 1 << 56 }
    fileprivate static var lost: UInt64 { 2 << 56 }
    fileprivate static var retransmitted: UInt64 { 4 << 56 }
    fileprivate static var fin: UInt64 { 8 << 56 }
    /// Some transmission of it was taken for lost.
    fileprivate static var suspected: UInt64 { 16 << 56 }
    fileprivate static var offsetMask: UInt64 { (1 << 40) - 1 }

    package var length: Int { Int((packed >> 40) & 0xFFFF) }
    package var isAcknowledged: Bool { packed & Self.acknowledged != 0 }
    package var isLost: Bool { packed & Self.lost != 0 }
    package var isRetransmitted: Bool { packed & Self.retransmitted != 0 }
    package var isFin: Bool { packed & Self.fin != 0 }
  }

  /// A retransmission in order of sending.
  // Not private: a debug build fails on private types in generic storage (Swift 6.3).
  package struct Resend: BitwiseCopyable {
    var number: UInt32 = 0
    var packetNumber: UInt32 = 0
  }

  /// A segment to put on the wire.
  package struct Segment {
    package var number: UInt32
    package var offset: UInt64
    package var length: Int
    package var isFin: Bool
    package var isRetransmission: Bool
    /// Neither lost nor probed for: the end of a stream is repeated.
    package var isRepetition = false
  }

  private var ring: Column<Sent>
  /// Lowest sequence number not covered by the peer's last in-order number.
  package private(set) var base: UInt32
  package private(set) var next: UInt32
  private let first: UInt32
  private var nextOffset: UInt64 = 0
  /// Everything below was acknowledged without a gap.
  package private(set) var acknowledgedOffset: UInt64 = 0
  /// The stream is known to the sender up to here.
  package private(set) var offered: UInt64 = 0
  package private(set) var finRequested = false
  package private(set) var finSent = false
  package private(set) var finAcknowledged = false
  /// Highest sequence number the peer allows.
  package private(set) var edge: UInt32
  private var acknowledged = SequenceBitmap()
  /// Acknowledged, or found lost in its first transmission, or repeated before it was judged.
  private var settled = SequenceBitmap()
  private var lostQueue = Queue<UInt32>(filler: 0)
  private var resends = Queue<Resend>(filler: Resend())
  /// Described missing, too young to be lost: the oldest of them.
  private var suspects = InlineArray<64, Resend>(repeating: Resend())
  private var suspectCount = 0
  /// How many later packets have to be acknowledged before one is lost; and the losses since that last changed.
  private var packetThreshold: Int32 = 3
  private var lossesAtThreshold = 0
  /// Segments outstanding: sent, not acknowledged, not found lost.
  package private(set) var packetsInFlight = 0
  package private(set) var bytesInFlight: UInt64 = 0
  package private(set) var lostPending = 0

  /// A ring of at most so many entries stays when all is acknowledged.
  private static var keptEntries: Int { 16_384 }

  /// What every segment costs beside its payload: header, segment fields, tag.
  package static var overhead: Int { 38 }

  package init(first: UInt32, window: UInt32) {
    self.first = first
    base = first
    next = first
    edge = first &+ window &- 1
    ring = Column(repeating: Sent(), count: 16)
  }

  // MARK: Commands

  /// The peer has said, in the handshake, how many packets it takes before its first ACK.
  package mutating func open(window: UInt32) { edge = first &+ window &- 1 }

  package mutating func offer(upTo offset: UInt64) {
    precondition(!finRequested || offset <= offered, "bytes offered after finish")
    offered = max(offered, offset)
  }

  package mutating func finish() { finRequested = true }

  /// Whether everything, FIN included, has been acknowledged.
  package var isComplete: Bool { finAcknowledged && base == next }
  package var hasOutstanding: Bool { base != next }
  package var hasLost: Bool { lostPending > 0 }
  package var hasNew: Bool { !finSent && (nextOffset < offered || finRequested) }
  /// Whether new data is there and only the peer's window forbids it.
  package var isWindowClosed: Bool { hasNew && edge.precedes(next) }
  package func canSendNew() -> Bool { hasNew && !edge.precedes(next) && next &- base < 0xFF_FFFF }

  // MARK: Choosing what to send

  /// The next segment without sending it: a lost one first, else a new one. Of the lost ones that which the reader waits
  /// for is always welcome; a receiver without memory takes no other.
  package mutating func nextSegment(capacity: Int) -> Segment? {
    if base != next, self[base].isLost { return segment(base, retransmission: true) }
    while let number = lostQueue.first {
      let entry = self[number]
      if !number.precedes(base), entry.isLost, !entry.isAcknowledged {
        return segment(number, retransmission: true)
      }
      lostQueue.popFirst()
    }
    guard canSendNew() else { return nil }
    let length = Int(min(offered - nextOffset, UInt64(capacity)))
    let isFin = finRequested && nextOffset + UInt64(length) == offered
    return Segment(number: next, offset: nextOffset, length: length, isFin: isFin, isRetransmission: false)
  }

  /// The oldest outstanding segment, to be sent again as a probe.
  package func oldestOutstanding() -> Segment? {
    guard base != next else { return nil }
    return segment(base, retransmission: true)
  }

  /// The newest outstanding segment: what it is answered with describes everything before it.
  package func newestOutstanding() -> Segment? {
    guard base != next, !self[next &- 1].isAcknowledged else { return nil }
    return segment(next &- 1, retransmission: true)
  }

  /// The first segment from `number` on that is neither acknowledged nor waits to be sent again, to be repeated.
  package func outstanding(from number: UInt32) -> Segment? {
    var number = number.precedes(base) ? base : number
    while true {
      number = acknowledged.first(false, from: number, to: next)
      guard number.precedes(next) else { return nil }
      if !self[number].isLost {
        var repeated = segment(number, retransmission: true)
        repeated.isRepetition = true
        return repeated
      }
      number &+= 1
    }
  }

  private func segment(_ number: UInt32, retransmission: Bool) -> Segment {
    let entry = self[number]
    return Segment(
      number: number, offset: offset(of: entry), length: entry.length, isFin: entry.isFin,
      isRetransmission: retransmission)
  }

  private func offset(of entry: Sent) -> UInt64 {
    nextOffset &- ((nextOffset &- entry.packed) & Sent.offsetMask)
  }

  /// Records that `segment` leaves now under `packetNumber`.
  package mutating func sent(_ segment: Segment, packetNumber: UInt64, now: Instant) {
    let time = UInt32(truncatingIfNeeded: now / 1000)
    if segment.isRetransmission {
      if self[segment.number].isLost {
        self[segment.number].packed &= ~Sent.lost
        lostPending -= 1
        packetsInFlight += 1
        bytesInFlight += UInt64(segment.length + Self.overhead)
        if lostQueue.first == segment.number { lostQueue.popFirst() }
      }
      self[segment.number].packed |= Sent.retransmitted
      // A first transmission that a probe repeats leaves the order of first sends: the queue of resends judges it.
      settled.insert(segment.number)
      resends.append(Resend(number: segment.number, packetNumber: UInt32(truncatingIfNeeded: packetNumber)))
    } else {
      if next &- base == UInt32(ring.count) { growRing() }
      self[next].packed =
        (segment.offset & Sent.offsetMask) | UInt64(segment.length) << 40 | (segment.isFin ? Sent.fin : 0)
      next &+= 1
      nextOffset += UInt64(segment.length)
      finSent = finSent || segment.isFin
      packetsInFlight += 1
      bytesInFlight += UInt64(segment.length + Self.overhead)
    }
    self[segment.number].packetNumber = UInt32(truncatingIfNeeded: packetNumber)
    self[segment.number].microseconds = time
  }

  /// Whether `number` is the first of this direction (it carries SYN).
  package func isFirst(_ number: UInt32) -> Bool { number == first }

  /// Everything before was acknowledged, whatever the peer's last in-order number says.
  package var contiguousEnd: UInt32 { acknowledged.first(false, from: base, to: next) }

  /// The newest transmission of `number`; `nil` when it is not outstanding.
  package func lastTransmission(of number: UInt32) -> (packetNumber: UInt32, isRetransmitted: Bool)? {
    guard !number.precedes(base), number.precedes(next) else { return nil }
    let entry = self[number]
    return entry.isAcknowledged ? nil : (entry.packetNumber, entry.isRetransmitted)
  }

  // MARK: Acknowledgement

  /// What an ACK changed.
  package struct Outcome {
    package var acknowledgedBytes: UInt64 = 0
    package var acknowledgedPackets = 0
    /// The longest payload among what was acknowledged, and among what was lost.
    package var longestAcknowledged = 0
    package var longestLost = 0
    package var sample: Nanoseconds? = nil
    package var lostPackets = 0
    package var lostBytes: UInt64 = 0
    /// The newest packet number among the lost.
    package var newestLost: UInt32 = 0
    /// The newest transmission that became acknowledged, if any.
    package var hasNewest = false
    package var newestPacketNumber: UInt32 = 0
    /// Segments acknowledged in a transmission that had been taken for lost.
    package var spuriousLosses = 0
    /// When the newest of the lost packets had been sent.
    package var newestLostTime: Instant = 0
    /// When the oldest packet that is missing, but not yet lost, will be.
    package var lossTime: Instant = .never
    package var windowAdvanced = false
  }

  /// An ACK that no honest peer sends.
  package enum Violation: Error { case neverSent }

  /// Takes one ACK: `block` describes runs above `lastInOrder` in `bytes`. If it `tellsNewest`, nothing above what it
  /// describes has arrived.
  /// Cost: the runs, each with a binary search, and what becomes acknowledged or lost.
  package mutating func acknowledge(
    lastInOrder: UInt32, window: UInt32, block: AckBlock, _ bytes: RawSpan, lossDelay: Nanoseconds,
    tellsNewest: Bool = false, now: Instant
  ) throws(Violation) -> Outcome {
    var outcome = Outcome()
    let cumulative = lastInOrder &+ 1
    guard cumulative.distance(since: next) <= 0 else { throw .neverSent }
    let largest = UInt32(truncatingIfNeeded: block.largestPacketNumber)

    let allowed = lastInOrder &+ window
    if edge.precedes(allowed) {
      edge = allowed
      outcome.windowAdvanced = true
    }
    advance(to: cumulative, largest: largest, now: now, &outcome)

    // First pass: what was received, so that a loss is never declared for what this very ACK acknowledges.
    var reader = AckRunReader(block: block, lastInOrder: lastInOrder)
    while let run = reader.next(bytes) {
      let end = run.first &+ run.count
      guard end.distance(since: next) <= 0 else { throw .neverSent }
      if run.received { acknowledge(run.first, end, largest: largest, now: now, &outcome) }
    }

    // Second pass: what is described as missing.
    let threshold = LossThreshold(largest: largest, now: now, delay: lossDelay)
    suspectCount = 0
    var described = InlineArray<8, SequenceRange>(repeating: SequenceRange())
    var describedCount = 0
    reader = AckRunReader(block: block, lastInOrder: lastInOrder)
    while let run = reader.next(bytes) {
      let end = run.first &+ run.count
      if run.startsInterval {
        if describedCount < 8 {
          described[describedCount] = SequenceRange(lower: run.first, upper: end)
          describedCount += 1
        }
      } else if describedCount > 0 {
        described[describedCount - 1].upper = end
      }
      if !run.received { judgeFirstSends(run.first, end, threshold, &outcome) }
    }
    var end = next
    if tellsNewest {
      end = base
      for index in 0..<describedCount where end.precedes(described[index].upper) { end = described[index].upper }
      judgeFirstSends(end, next, threshold, &outcome)
    }
    judgeResends(described, describedCount, missingFrom: end, threshold, &outcome)
    return outcome
  }

  private mutating func advance(to cumulative: UInt32, largest: UInt32, now: Instant, _ outcome: inout Outcome) {
    guard base.precedes(cumulative) else { return }
    let start = base
    while base != cumulative {
      let entry = self[base]
      if !entry.isAcknowledged { settle(base, largest: largest, now: now, &outcome) }
      acknowledgedOffset = offset(of: entry) + UInt64(entry.length)
      base &+= 1
    }
    acknowledged.remove(start, upTo: base)
    settled.remove(start, upTo: base)
    if base == next { shrink() }
  }

  private mutating func acknowledge(
    _ lower: UInt32, _ upper: UInt32, largest: UInt32, now: Instant, _ outcome: inout Outcome
  ) {
    var number = lower.precedes(base) ? base : lower
    while true {
      number = acknowledged.first(false, from: number, to: upper)
      guard number.precedes(upper) else { return }
      let stop = acknowledged.first(true, from: number, to: upper)
      acknowledged.insert(number, upTo: stop)
      settled.insert(number, upTo: stop)
      while number != stop {
        settle(number, largest: largest, now: now, &outcome)
        number &+= 1
      }
    }
  }

  /// One segment becomes acknowledged.
  private mutating func settle(_ number: UInt32, largest: UInt32, now: Instant, _ outcome: inout Outcome) {
    let entry = self[number]
    if entry.isLost {
      lostPending -= 1
    } else {
      packetsInFlight -= 1
      bytesInFlight -= UInt64(entry.length + Self.overhead)
    }
    self[number].packed = (entry.packed | Sent.acknowledged) & ~Sent.lost
    // What arrived although it was taken for lost, and before its repetition could (RFC 9438, 4.9.2).
    if entry.packed & Sent.suspected != 0, entry.isLost || largest.precedes(entry.packetNumber) {
      outcome.spuriousLosses += 1
    }
    if !largest.precedes(entry.packetNumber),
      !outcome.hasNewest || outcome.newestPacketNumber.precedes(entry.packetNumber)
    {
      outcome.hasNewest = true
      outcome.newestPacketNumber = entry.packetNumber
    }
    if entry.isFin { finAcknowledged = true }
    outcome.acknowledgedBytes += UInt64(entry.length + Self.overhead)
    outcome.acknowledgedPackets += 1
    outcome.longestAcknowledged = max(outcome.longestAcknowledged, entry.length)
    if entry.packetNumber == largest { outcome.sample = age(entry, now) }
  }

  private struct LossThreshold {
    var largest: UInt32
    var now: Instant
    var delay: Nanoseconds
  }

  /// Lost by packet threshold (3) or by time; otherwise when it will be by time. `nil`: sent after the largest.
  private func judge(_ entry: Sent, _ threshold: LossThreshold) -> (isLost: Bool, lossTime: Instant)? {
    let behind = Int32(bitPattern: threshold.largest &- entry.packetNumber)
    guard behind > 0 else { return nil }
    let age = age(entry, threshold.now)
    if behind >= packetThreshold || age >= threshold.delay { return (true, threshold.now) }
    return (false, threshold.now + (threshold.delay - age))
  }

  private mutating func judgeFirstSends(
    _ lower: UInt32, _ upper: UInt32, _ threshold: LossThreshold, _ outcome: inout Outcome
  ) {
    var number = lower.precedes(base) ? base : lower
    // First sends are in order: behind the first that is not lost nothing is, and behind the first that was sent
    // after the largest everything was.
    while true {
      number = settled.first(false, from: number, to: upper)
      guard number.precedes(upper), let verdict = judge(self[number], threshold) else { return }
      if verdict.isLost {
        settled.insert(number)
        lose(number, threshold.now, &outcome)
      } else {
        suspect(number, verdict.lossTime, &outcome)
      }
      number &+= 1
    }
  }

  private mutating func judgeResends(
    _ described: InlineArray<8, SequenceRange>, _ describedCount: Int, missingFrom end: UInt32,
    _ threshold: LossThreshold,
    _ outcome: inout Outcome
  ) {
    while let head = resends.first {
      let entry = head.number.precedes(base) ? nil : self[head.number]
      guard let entry, !entry.isAcknowledged, !entry.isLost, entry.packetNumber == head.packetNumber else {
        resends.popFirst()
        continue
      }
      // Not described by this ACK means unknown, not missing: a later one will describe it.
      var isDescribed = !head.number.precedes(end)
      for i in 0..<describedCount
      where !head.number.precedes(described[i].lower) && head.number.precedes(described[i].upper) {
        isDescribed = true
      }
      guard isDescribed else { return }
      guard let verdict = judge(entry, threshold) else { return }
      guard verdict.isLost else {
        suspect(head.number, verdict.lossTime, &outcome)
        return
      }
      resends.popFirst()
      lose(head.number, threshold.now, &outcome)
    }
  }

  /// Remembers a segment that only its age keeps from being lost.
  private mutating func suspect(_ number: UInt32, _ lossTime: Instant, _ outcome: inout Outcome) {
    outcome.lossTime = min(outcome.lossTime, lossTime)
    guard suspectCount < 64 else { return }
    suspects[suspectCount] = Resend(number: number, packetNumber: self[number].packetNumber)
    suspectCount += 1
  }

  /// The time threshold has passed since the last ACK: what it described as missing is lost now.
  package mutating func loseSuspects(lossDelay: Nanoseconds, now: Instant) -> Outcome {
    var outcome = Outcome()
    var kept = 0
    for index in 0..<suspectCount {
      let suspect = suspects[index]
      guard !suspect.number.precedes(base), self[suspect.number].packetNumber == suspect.packetNumber,
        !self[suspect.number].isAcknowledged, !self[suspect.number].isLost
      else { continue }
      let age = age(self[suspect.number], now)
      guard age >= lossDelay else {
        outcome.lossTime = min(outcome.lossTime, now + (lossDelay - age))
        suspects[kept] = suspect
        kept += 1
        continue
      }
      settled.insert(suspect.number)
      lose(suspect.number, now, &outcome)
    }
    suspectCount = kept
    return outcome
  }

  private mutating func lose(_ number: UInt32, _ now: Instant, _ outcome: inout Outcome) {
    let entry = self[number]
    guard !entry.isAcknowledged, !entry.isLost else { return }
    self[number].packed |= Sent.lost | Sent.suspected
    if outcome.lostPackets == 0 || outcome.newestLost.precedes(entry.packetNumber) {
      outcome.newestLost = entry.packetNumber
    }
    outcome.lostBytes += UInt64(entry.length + Self.overhead)
    packetsInFlight -= 1
    bytesInFlight -= UInt64(entry.length + Self.overhead)
    lostQueue.append(number)
    countLoss()
    lostPending += 1
    outcome.lostPackets += 1
    outcome.longestLost = max(outcome.longestLost, entry.length)
    outcome.newestLostTime = max(outcome.newestLostTime, now - min(age(entry, now), now))
  }

  /// Packets taken for lost have arrived: the path reorders by more than was thought (RFC 8985, 6.2.4). The time
  /// threshold bounds what that may cost.
  package mutating func widenReordering() {
    packetThreshold = min(2 * packetThreshold, 1 << 20)
    lossesAtThreshold = 0
  }

  /// What was learnt of reordering is forgotten again by as many losses as make it improbable.
  private mutating func countLoss() {
    guard packetThreshold > 3 else { return }
    lossesAtThreshold += 1
    guard lossesAtThreshold > 1000 else { return }
    packetThreshold = max(packetThreshold / 2, 3)
    lossesAtThreshold = 0
  }

  private func age(_ entry: Sent, _ now: Instant) -> Nanoseconds {
    let microseconds = UInt32(truncatingIfNeeded: now / 1000) &- entry.microseconds
    return UInt64(microseconds) * 1000
  }

  // MARK: Ring

  private subscript(number: UInt32) -> Sent {
    @inline(__always) get { ring[Int(number & UInt32(ring.count - 1))] }
    @inline(__always) set { ring[Int(number & UInt32(ring.count - 1))] = newValue }
  }

  private mutating func growRing() {
    var larger = Column(repeating: Sent(), count: ring.count * 2)
    var number = base
    while number != next {
      larger[Int(number & UInt32(larger.count - 1))] = self[number]
      number &+= 1
    }
    ring = larger
    acknowledged.grow(to: ring.count, lower: base, upper: next)
    settled.grow(to: ring.count, lower: base, upper: next)
  }

  /// Nothing is outstanding: what a large window took is given back.
  private mutating func shrink() {
    guard ring.count > Self.keptEntries else { return }
    ring = Column(repeating: Sent(), count: 16)
    acknowledged = SequenceBitmap()
    settled = SequenceBitmap()
  }
}

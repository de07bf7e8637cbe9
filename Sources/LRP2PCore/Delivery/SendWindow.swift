// SPDX-License-Identifier: MIT
/// What one peer was sent and has not yet acknowledged: 16 bytes of metadata for each sequence number, no payload.
///
/// Every segment is outstanding, acknowledged, or waiting to be sent again: lost, or refused by a peer that had no room for it.
/// First transmissions leave in sequence order, so losses among them are found run by run; retransmissions have a queue in
/// their own order of sending.
package struct SendWindow: ~Copyable {
  /// One segment. The packet number and time are those of its last transmission, in 32 bits each: they are compared
  /// with values less than 2^31 away.
  package struct Sent: BitwiseCopyable {
    /// Stream offset, or where its messages are listed (39 bits), whether it has left twice (1), payload length (15), whether it carries
    /// messages (1), flags (8).
    var packed: UInt64 = 0
    package internal(set) var packetNumber: UInt32 = 0
    package internal(set) var microseconds: UInt32 = 0

    static var acknowledged: UInt64 { 1 << 56 }
    static var lost: UInt64 { 2 << 56 }
    static var retransmitted: UInt64 { 4 << 56 }
    static var fin: UInt64 { 8 << 56 }
    /// Some transmission of it was taken for lost.
    static var suspected: UInt64 { 16 << 56 }
    /// A retransmission of it was lost: the next one is sent twice.
    static var doubled: UInt64 { 32 << 56 }
    /// The peer had no room for it: it waits for the window (`SendWindow+Refused`).
    static var refused: UInt64 { 64 << 56 }
    /// It stands in the queue of what was lost.
    static var queued: UInt64 { 128 << 56 }
    /// It carries messages, and nothing of the stream.
    static var messages: UInt64 { 1 << 55 }
    /// Of what needs a look at more than its length when it is acknowledged.
    static var unusual: UInt64 { acknowledged | lost | fin | suspected | doubled | refused | messages }
    /// Its last transmission has left twice in a row: under the next packet number, too.
    static var twice: UInt64 { 1 << 39 }
    // A window of 2²⁴ of the longest datagrams takes 2³⁸ bytes.
    static var offsetMask: UInt64 { (1 << 39) - 1 }

    package var length: Int { Int((packed >> 40) & 0x7FFF) }
    package var isMessages: Bool { packed & Self.messages != 0 }
    package var isAcknowledged: Bool { packed & Self.acknowledged != 0 }
    package var isLost: Bool { packed & Self.lost != 0 }
    package var isRetransmitted: Bool { packed & Self.retransmitted != 0 }
    package var isFin: Bool { packed & Self.fin != 0 }
    var isDoubled: Bool { packed & Self.doubled != 0 }
    package var isRefused: Bool { packed & Self.refused != 0 }
    var hasLeftTwice: Bool { packed & Self.twice != 0 }
    /// The packet number of the second, where it has left twice.
    var lastPacketNumber: UInt32 { hasLeftTwice ? packetNumber &+ 1 : packetNumber }
    /// Neither acknowledged nor on its way.
    var isWaiting: Bool { packed & (Self.lost | Self.refused) != 0 }
  }

  /// A retransmission in order of sending.
  // Not private: a debug build fails on private types in generic storage (Swift 6.3).
  package struct Resend: BitwiseCopyable {
    var number: UInt32 = 0
    var packetNumber: UInt32 = 0
  }

  /// A segment to put on the wire.
  package struct Segment: BitwiseCopyable {
    package var number: UInt32
    package var offset: UInt64
    package var length: Int
    package var isFin: Bool
    package var isRetransmission: Bool
    /// Neither lost nor probed for: sent once more in case it will be.
    package var isRepetition = false
    /// It carries messages: `offset` is where they are listed. Of a new one nothing is chosen yet, and `length` is what there is room for.
    package var isMessages = false
  }

  package internal(set) var ring: Column<Sent>
  /// Lowest sequence number not covered by the peer's last in-order number.
  package internal(set) var base: UInt32
  package internal(set) var next: UInt32
  let first: UInt32
  private let most: UInt32
  var nextOffset: UInt64 = 0
  /// Everything below was acknowledged without a gap.
  package internal(set) var acknowledgedOffset: UInt64 = 0
  /// The stream is known to the sender up to here.
  package internal(set) var offered: UInt64 = 0
  package internal(set) var finRequested = false
  package internal(set) var finSent = false
  package internal(set) var finAcknowledged = false
  /// Messages wait to be sent, and whether they go before what is new of the stream.
  package var hasMessages = false
  package var prefersMessages = true
  /// The peer's reader of the stream stands still: nothing new of it is to be sent.
  package var isHeld = false
  /// There have been messages: the stream leaves them a part of the peer's window, as its reader may stop before all has been read that is
  /// under way.
  package var keepsRoom = false
  /// Lists of messages that segments carried which are acknowledged now.
  package var acknowledgedMessages = Queue<UInt32>(minimumCapacity: 1, filler: 0)
  /// Highest sequence number that the peer allows; it goes back where the peer has refused something.
  package internal(set) var edge: UInt32
  var acknowledged = SequenceBitmap()
  /// Acknowledged, or found lost in its first transmission, or repeated before it was judged.
  var settled = SequenceBitmap()
  var lostQueue = Queue<UInt32>(filler: 0)
  var resends = Queue<Resend>(filler: Resend())
  /// Those that wait for the peer's window, and how many they are. The set is of use only while there are some.
  var refused = SequenceBitmap()
  package internal(set) var refusedPending = 0
  /// The first of them.
  var firstRefused: UInt32 = 0
  /// Described missing, too young to be lost: the oldest of them.
  var suspects = InlineArray<64, Resend>(repeating: Resend())
  var suspectCount = 0
  /// How many later packets have to be acknowledged before one is lost; and the losses since that last changed.
  var packetThreshold: Int32 = 3
  var lossesAtThreshold = 0
  /// How far the time threshold is widened.
  package internal(set) var reorderingSteps = 0
  var widenedAt: Instant = 0
  /// Segments outstanding: sent, not acknowledged, not found lost.
  package internal(set) var packetsInFlight = 0
  package internal(set) var bytesInFlight: UInt64 = 0
  package internal(set) var lostPending = 0
  /// Segments that were sent once again, and will be twice.
  var doublesPending = 0
  /// Whether there is room on the path for what is sent twice: none where a queue has grown.
  package var mayDouble = true
  /// Each new packet earns a little of what sending one twice costs, so that few are.
  var doublingCredit = 1 << 14

  static var doublingPrice: Int { 256 }
  static var mostDoublingCredit: Int { 1 << 22 }

  static var smallestRing: Int { 16 }

  /// What every segment costs beside its payload: header, segment fields, tag.
  package static var overhead: Int { 38 }

  /// - Parameter most: packets to keep at the most, sent and not acknowledged in order.
  package init(first: UInt32, window: UInt32, most: UInt32 = PacketWindow.largest) {
    self.first = first
    self.most = most
    base = first
    next = first
    edge = first &+ window &- 1
    ring = Column(repeating: Sent(), count: Self.smallestRing)
  }

  // MARK: Commands

  /// The peer has said, in the handshake, how many packets it takes before its first ACK.
  package mutating func open(window: UInt32) { edge = first &+ window &- 1 }

  /// What is offered behind the end of the stream counts for nothing.
  package mutating func offer(upTo offset: UInt64) {
    guard !finRequested else { return }
    offered = max(offered, offset)
  }

  package mutating func finish() { finRequested = true }

  /// Whether everything, FIN included, has been acknowledged.
  package var isComplete: Bool { finAcknowledged && base == next }
  package var hasOutstanding: Bool { base != next }
  package var hasLost: Bool { lostPending + doublesPending > 0 }
  /// Whether the stream has something new. Its end comes after all messages.
  package var hasNew: Bool { !finSent && (nextOffset < offered || (finRequested && !hasMessages)) }
  /// Whether there is data, new or refused before, and only the peer's window forbids it.
  @inline(__always)
  package var isWindowClosed: Bool {
    if refusedPending > 0 { return edge.precedes(firstRefused) }
    return hasMessages ? edge.precedes(next) : hasNew && (isHeld || streamEdge.precedes(next))
  }
  @inline(__always)
  package func canSendNew() -> Bool {
    (hasMessages ? !edge.precedes(next) : mayStream) && next &- base < most
  }
  /// Whether the stream has something new that may be sent, as far as the peer's window goes.
  @inline(__always)
  private var mayStream: Bool { hasNew && !isHeld && !streamEdge.precedes(next) }
  /// The highest number that the stream may have: what an idle window always has room for.
  @inline(__always)
  private var streamEdge: UInt32 { keepsRoom ? edge &- UInt32(max((edge &+ 1).ahead(of: base), 0)) / 4 : edge }
  /// Whether there is anything that neither the stream's end nor the peer's window holds back.
  @inline(__always)
  package var hasData: Bool { hasLost || canSendNew() || canSendRefused }
  /// Bytes that were offered and have not left for the first time.
  package var bytesWaiting: UInt64 { offered > nextOffset ? offered - nextOffset : 0 }
  /// Packets beyond the newest that the peer's window still takes.
  package var windowLeft: Int { (edge &+ 1).ahead(of: next) }

  // MARK: Choosing what to send

  /// The next segment without sending it: a lost one first, else a new one. Of the lost ones that which the reader waits
  /// for is always welcome; a receiver without memory takes no other.
  package mutating func nextSegment(capacity: Int) -> Segment? {
    if base != next, self[base].isLost { return segment(base, retransmission: true) }
    if canSendRefused { return segment(firstRefused, retransmission: true) }
    while let number = lostQueue.first {
      let entry = self[number]
      if !number.precedes(base), entry.isLost || entry.isDoubled, !entry.isAcknowledged {
        var lost = segment(number, retransmission: true)
        lost.isRepetition = !entry.isLost
        return lost
      }
      popLost()
    }
    guard canSendNew() else { return nil }
    if hasMessages, prefersMessages || !mayStream {
      var segment = Segment(number: next, offset: 0, length: capacity, isFin: false, isRetransmission: false)
      segment.isMessages = true
      return segment
    }
    let length = Int(min(offered - nextOffset, UInt64(capacity)))
    let isFin = finRequested && !hasMessages && nextOffset + UInt64(length) == offered
    return Segment(number: next, offset: nextOffset, length: length, isFin: isFin, isRetransmission: false)
  }

  /// The oldest outstanding segment, to be sent again as a probe.
  @inline(__always)
  package func oldestOutstanding() -> Segment? {
    guard base != next else { return nil }
    return segment(base, retransmission: true)
  }

  /// The newest outstanding segment: what it is answered with describes everything before it.
  @inline(__always)
  package func newestOutstanding() -> Segment? {
    guard base != next, !self[next &- 1].isAcknowledged, !self[next &- 1].isRefused else { return nil }
    return segment(next &- 1, retransmission: true)
  }

  /// The first segment from `number` on that is neither acknowledged nor waits to be sent again, to be repeated.
  @inline(__always)
  package func outstanding(from number: UInt32) -> Segment? {
    var number = number.precedes(base) ? base : number
    while true {
      number = acknowledged.first(false, from: number, to: next)
      guard number.precedes(next) else { return nil }
      // Of messages some are sent once at most.
      if !self[number].isWaiting, !self[number].isMessages {
        var repeated = segment(number, retransmission: true)
        repeated.isRepetition = true
        return repeated
      }
      number &+= 1
    }
  }

  @inline(__always)
  func segment(_ number: UInt32, retransmission: Bool) -> Segment {
    let entry = self[number]
    var segment = Segment(
      number: number, offset: entry.isMessages ? entry.packed & Sent.offsetMask : offset(of: entry),
      length: entry.length, isFin: entry.isFin, isRetransmission: retransmission)
    segment.isMessages = entry.isMessages
    return segment
  }

  @inline(__always)
  func offset(of entry: Sent) -> UInt64 {
    nextOffset &- ((nextOffset &- entry.packed) & Sent.offsetMask)
  }

  /// Records that `segment` leaves now under `packetNumber`.
  package mutating func sent(_ segment: Segment, packetNumber: UInt64, now: Instant) {
    let time = UInt32(truncatingIfNeeded: now / 1000)
    if segment.isRetransmission {
      if self[segment.number].isRefused {
        readmit(segment.number)
        packetsInFlight += 1
        bytesInFlight += UInt64(segment.length + Self.overhead)
      } else if self[segment.number].isLost {
        self[segment.number].packed &= ~Sent.lost
        lostPending -= 1
        packetsInFlight += 1
        bytesInFlight += UInt64(segment.length + Self.overhead)
        if self[segment.number].isDoubled {
          doublesPending += 1
        } else if lostQueue.first == segment.number {
          popLost()
        }
      } else if segment.isRepetition, self[segment.number].isDoubled, lostQueue.first == segment.number {
        // What an ACK of either means is judged by the first of the two.
        self[segment.number].packed &= ~Sent.doubled
        if UInt32(truncatingIfNeeded: packetNumber) == self[segment.number].packetNumber &+ 1 {
          self[segment.number].packed |= Sent.twice
        }
        doublesPending -= 1
        popLost()
        return
      }
      self[segment.number].packed = (self[segment.number].packed | Sent.retransmitted) & ~Sent.twice
      // A first transmission that a probe repeats leaves the order of first sends: the queue of resends judges it.
      settled.insert(segment.number)
      append(Resend(number: segment.number, packetNumber: UInt32(truncatingIfNeeded: packetNumber)))
    } else {
      if next &- base == UInt32(ring.count) { growRing() }
      self[next].packed =
        (segment.offset & Sent.offsetMask) | UInt64(segment.length) << 40 | (segment.isFin ? Sent.fin : 0)
        | (segment.isMessages ? Sent.messages : 0)
      next &+= 1
      doublingCredit = min(doublingCredit + 1, Self.mostDoublingCredit)
      if !segment.isMessages { nextOffset += UInt64(segment.length) }
      finSent = finSent || segment.isFin
      packetsInFlight += 1
      bytesInFlight += UInt64(segment.length + Self.overhead)
    }
    self[segment.number].packetNumber = UInt32(truncatingIfNeeded: packetNumber)
    self[segment.number].microseconds = time
  }

  /// New segments of `capacity` bytes each that may leave one behind the other, as far as this side is concerned: none of them the
  /// last of the stream, all within the peer's window, and what describes them within the ring as it is.
  @inline(__always)
  package func wholeSegments(capacity: Int) -> Int {
    guard !hasLost, refusedPending == 0, !hasMessages, !isHeld, offered > nextOffset, !streamEdge.precedes(next) else {
      return 0
    }
    let bytes = offered - nextOffset - (finRequested ? 1 : 0)
    let window = min(streamEdge &- next &+ 1, most - min(next &- base, most), UInt32(ring.count) - (next &- base))
    return Int(min(bytes / UInt64(capacity), UInt64(window)))
  }

  /// As `sent`, for `count` new segments of `length` bytes each, as many as `wholeSegments` has told at most.
  package mutating func sent(whole count: Int, of length: Int, packetNumber: UInt64, now: Instant) {
    precondition(count <= ring.count - Int(next &- base), "the ring has room for them")
    let time = UInt32(truncatingIfNeeded: now / 1000)
    var packetNumber = UInt32(truncatingIfNeeded: packetNumber)
    var number = next
    let end = next &+ UInt32(count)
    while number != end {
      self[number] = Sent(
        packed: (nextOffset & Sent.offsetMask) | UInt64(length) << 40, packetNumber: packetNumber, microseconds: time)
      nextOffset &+= UInt64(length)
      packetNumber &+= 1
      number &+= 1
    }
    next = end
    doublingCredit = min(doublingCredit + count, Self.mostDoublingCredit)
    packetsInFlight += count
    bytesInFlight += UInt64(count * (length + Self.overhead))
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

  // MARK: Ring

  subscript(number: UInt32) -> Sent {
    @inline(__always) get { ring[Int(number & UInt32(ring.count - 1))] }
    @inline(__always) set { ring[Int(number & UInt32(ring.count - 1))] = newValue }
  }

  mutating func growRing() {
    var larger = Column(repeating: Sent(), count: ring.count * 2)
    var number = base
    while number != next {
      larger[Int(number & UInt32(larger.count - 1))] = self[number]
      number &+= 1
    }
    ring = larger
    acknowledged.grow(to: ring.count, lower: base, upper: next)
    settled.grow(to: ring.count, lower: base, upper: next)
    if refusedPending > 0 { refused.grow(to: ring.count, lower: base, upper: next) }
  }
}

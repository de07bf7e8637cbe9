// SPDX-License-Identifier: MIT
// What an ACK does to the send window: what has arrived is settled, the peer's window moves, and what is described as missing is
// judged (`SendWindow+Loss`).

extension SendWindow {
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
    /// Segments that the peer has refused for want of room: they wait for its window, and are no losses.
    package var refusedPackets = 0
    /// Of how many first sends it was asked whether they are lost.
    package var examined = 0
  }

  /// An ACK that no honest peer sends.
  package enum Violation: Error { case neverSent }

  /// Takes one ACK: `block` describes runs above `lastInOrder` in `bytes`. If it `tellsNewest`, nothing above what it
  /// describes has arrived. If it `isNewest`, its largest packet number is higher than that of any before, and it may take back
  /// what an earlier one has promised; if it `isOvertaken`, that is lower, and what it promises may have been taken back.
  /// Cost: the runs, each with a binary search, and what becomes acknowledged, lost or refused.
  package mutating func acknowledge(
    lastInOrder: UInt32, window: UInt32, block: AckBlock, _ bytes: RawSpan, lossDelay: Nanoseconds,
    tellsNewest: Bool = false, isNewest: Bool = false, isOvertaken: Bool = false, now: Instant
  ) throws(Violation) -> Outcome {
    var outcome = Outcome()
    let cumulative = lastInOrder &+ 1
    // One that comes late says of the stream's start what others have said since; anything else must have been sent.
    let isLate = cumulative.precedes(base)
    guard isLate || cumulative.isWithin(next &- base &+ 1, from: base) else { throw .neverSent }
    let largest = UInt32(truncatingIfNeeded: block.largestPacketNumber)

    advance(to: cumulative, largest: largest, now: now, &outcome)
    // Behind the last number that the peer takes, as this ACK tells; not before what it has in order, whatever it tells.
    let reach = isLate ? window - min(base &- cumulative, window) : window
    let limit = base &+ reach
    if !isOvertaken { move(to: limit &- 1, mayLower: isNewest, &outcome) }

    // First pass: what was received, so that a loss is never declared for what this very ACK acknowledges.
    var reader = AckRunReader(block: block, lastInOrder: lastInOrder)
    while let run = reader.next(bytes) {
      let end = run.first &+ run.count
      guard end &- cumulative <= next &- cumulative else { throw .neverSent }
      if run.received { acknowledge(run.first, end, largest: largest, now: now, &outcome) }
    }

    // Second pass: what is described as missing. Above the window nothing is, whatever the runs say: it may have been refused.
    // The latest round trip may be this ACK's.
    let sample = isNewest ? outcome.sample ?? 0 : 0
    let latest = sample <= .seconds(60) || sample / 4 <= lossDelay ? sample : 0
    let threshold = LossThreshold(largest: largest, now: now, delay: max(lossDelay, latest / 8 * 9))
    suspectCount = 0
    let (described, describedCount) = detectLostMissing(
      AckRunReader(block: block, lastInOrder: lastInOrder), bytes, below: limit, threshold, &outcome)
    var end = next
    if tellsNewest {
      end = base
      for index in 0..<describedCount where end.precedes(described[index].upper) { end = described[index].upper }
      detectLostFirstSends(end, limit.precedes(next) ? limit : next, threshold, &outcome)
    }
    if isNewest { refuseFirstSends(from: limit, threshold, &outcome) }
    if resends.first != nil {
      let told = Told(
        described: described, describedCount: describedCount, missingFrom: end, refusedFrom: limit,
        refused: isNewest, packets: PacketVerdicts(block, bytes), isComplete: tellsNewest)
      detectLostResends(told, threshold, &outcome)
    }
    return outcome
  }

  /// The second pass: what an ACK describes as missing may be lost.
  /// - Returns: what each of its intervals covers.
  @inline(__always)
  private mutating func detectLostMissing(
    _ reader: AckRunReader, _ bytes: RawSpan, below limit: UInt32, _ threshold: LossThreshold, _ outcome: inout Outcome
  ) -> (InlineArray<8, SequenceRange>, Int) {
    var described = InlineArray<8, SequenceRange>(repeating: SequenceRange())
    var describedCount = 0
    var reader = reader
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
      if !run.received { detectLostFirstSends(run.first, limit.precedes(end) ? limit : end, threshold, &outcome) }
    }
    return (described, describedCount)
  }

  /// The peer's window ends behind `number`.
  private mutating func move(to number: UInt32, mayLower: Bool, _ outcome: inout Outcome) {
    if edge.precedes(number) {
      edge = number
      outcome.windowAdvanced = true
    } else if mayLower {
      edge = number
    }
  }

  mutating func advance(to cumulative: UInt32, largest: UInt32, now: Instant, _ outcome: inout Outcome) {
    guard base.precedes(cumulative) else { return }
    let start = base
    settle(start, upTo: cumulative, largest: largest, now: now, &outcome)
    var number = cumulative
    while number != start {
      number &-= 1
      let last = self[number]
      if last.isMessages { continue }
      acknowledgedOffset = offset(of: last) + UInt64(last.length)
      break
    }
    base = cumulative
    acknowledged.remove(start, upTo: base)
    settled.remove(start, upTo: base)
  }

  mutating func acknowledge(
    _ lower: UInt32, _ upper: UInt32, largest: UInt32, now: Instant, _ outcome: inout Outcome
  ) {
    var number = lower.precedes(base) ? base : lower
    while true {
      number = acknowledged.first(false, from: number, to: upper)
      guard number.precedes(upper) else { return }
      let stop = acknowledged.first(true, from: number, to: upper)
      acknowledged.insert(number, upTo: stop)
      settled.insert(number, upTo: stop)
      settle(number, upTo: stop, largest: largest, now: now, &outcome)
      number = stop
    }
  }

  /// Those of the segments become acknowledged that were not. Most have left once and are asked nothing else about, so what
  /// they add up to is kept aside.
  private mutating func settle(
    _ lower: UInt32, upTo upper: UInt32, largest: UInt32, now: Instant, _ outcome: inout Outcome
  ) {
    var (packets, bytes, longest) = (0, 0, 0)
    var newest = largest
    var hasNewest = false
    var number = lower
    while number != upper {
      let entry = self[number]
      if entry.packed & Sent.unusual == 0 {
        self[number].packed = entry.packed | Sent.acknowledged
        packets += 1
        bytes += entry.length
        longest = max(longest, entry.length)
        if !largest.precedes(entry.packetNumber), !hasNewest || newest.precedes(entry.packetNumber) {
          hasNewest = true
          newest = entry.packetNumber
          if newest == largest { outcome.sample = age(entry, now) }
        }
      } else if !entry.isAcknowledged {
        settle(number, largest: largest, now: now, &outcome)
      }
      number &+= 1
    }
    bytes += packets * Self.overhead
    packetsInFlight -= packets
    bytesInFlight -= UInt64(bytes)
    outcome.acknowledgedPackets += packets
    outcome.acknowledgedBytes += UInt64(bytes)
    outcome.longestAcknowledged = max(outcome.longestAcknowledged, longest)
    if hasNewest, !outcome.hasNewest || outcome.newestPacketNumber.precedes(newest) {
      outcome.hasNewest = true
      outcome.newestPacketNumber = newest
    }
  }

  /// One segment becomes acknowledged.
  private mutating func settle(_ number: UInt32, largest: UInt32, now: Instant, _ outcome: inout Outcome) {
    let entry = self[number]
    if entry.isLost {
      lostPending -= 1
    } else if entry.isRefused {
      readmit(number)
    } else {
      packetsInFlight -= 1
      bytesInFlight -= UInt64(entry.length + Self.overhead)
      if entry.isDoubled { doublesPending -= 1 }
    }
    self[number].packed = (entry.packed | Sent.acknowledged) & ~(Sent.lost | Sent.doubled | Sent.refused)
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
    if entry.isMessages { acknowledgedMessages.append(UInt32(truncatingIfNeeded: entry.packed & Sent.offsetMask)) }
    outcome.acknowledgedBytes += UInt64(entry.length + Self.overhead)
    outcome.acknowledgedPackets += 1
    outcome.longestAcknowledged = max(outcome.longestAcknowledged, entry.length)
    if entry.packetNumber == largest { outcome.sample = age(entry, now) }
  }

  func age(_ entry: Sent, _ now: Instant) -> Nanoseconds {
    let microseconds = UInt32(truncatingIfNeeded: now / 1000) &- entry.microseconds
    return UInt64(microseconds) * 1000
  }
}

// SPDX-License-Identifier: MIT
// Loss detection in the style of RFC 9002 and RACK (RFC 8985): by packet order and by time.

extension SendWindow {
  struct LossThreshold {
    var largest: UInt32
    var now: Instant
    var delay: Nanoseconds
  }

  /// Lost by packet threshold (3) or by time; otherwise when it will be by time. `nil`: sent after the largest.
  func verdict(on entry: Sent, _ threshold: LossThreshold) -> (isLost: Bool, lossTime: Instant)? {
    let behind = Int32(bitPattern: threshold.largest &- entry.lastPacketNumber)
    guard behind > 0 else { return nil }
    let age = age(entry, threshold.now)
    if behind >= packetThreshold || age >= threshold.delay { return (true, threshold.now) }
    return (false, threshold.now + (threshold.delay - age))
  }

  mutating func detectLostFirstSends(
    _ lower: UInt32, _ upper: UInt32, _ threshold: LossThreshold, _ outcome: inout Outcome
  ) {
    var number = lower.precedes(base) ? base : lower
    // First sends are in order: behind the first that is not lost nothing is, and behind the first that was sent
    // after the largest everything was. Only what was sent again, and is known to have arrived, may stand among them. So behind
    // some that are not lost a later ACK is as good: one that loses nothing would else cost all that is in flight.
    var passed = 0
    while passed < 64 {
      number = settled.first(false, from: number, to: upper)
      guard number.precedes(upper) else { return }
      outcome.examined += 1
      if let verdict = verdict(on: self[number], threshold) {
        if verdict.isLost {
          settled.insert(number)
          lose(number, threshold.now, &outcome)
        } else {
          suspect(number, verdict.lossTime, &outcome)
          guard suspectCount < 64 else { return }
        }
      } else if self[number].isRetransmitted {
        passed += 1
      } else {
        return
      }
      number &+= 1
    }
  }

  /// What an ACK tells that is of use for what was sent again.
  struct Told {
    /// The intervals, and the number from which on nothing has arrived.
    var described: InlineArray<8, SequenceRange>
    var describedCount: Int
    var missingFrom: UInt32
    /// The peer takes nothing from here on; what was sent of that it has refused, if this is the newest ACK.
    var refusedFrom: UInt32
    var refused: Bool
    var packets: PacketVerdicts
    /// It is an ACK of version 1.
    var isComplete: Bool

    /// Whether the last transmission has arrived, or one of both; `nil` where too little is told.
    func hasArrived(_ entry: Sent) -> Bool? {
      let first = packets.hasArrived(entry.packetNumber)
      guard entry.hasLeftTwice, first != true else { return first }
      let second = packets.hasArrived(entry.lastPacketNumber)
      return second == true || first != nil ? second : nil
    }

    func describes(_ number: UInt32) -> Bool {
      if !number.precedes(missingFrom) { return true }
      for index in 0..<describedCount
      where !number.precedes(described[index].lower) && number.precedes(described[index].upper) { return true }
      return false
    }
  }

  /// In the order of sending: up to the first of which the ACK tells nothing, or that is too young to be lost.
  mutating func detectLostResends(_ told: Told, _ threshold: LossThreshold, _ outcome: inout Outcome) {
    while let head = resends.first {
      let entry = head.number.precedes(base) ? nil : self[head.number]
      guard let entry, !entry.isAcknowledged, !entry.isWaiting, entry.packetNumber == head.packetNumber else {
        resends.popFirst()
        continue
      }
      if !head.number.precedes(told.refusedFrom) {
        guard told.refused, !threshold.largest.precedes(entry.packetNumber) else { return }
        resends.popFirst()
        refuse(head.number, &outcome)
        continue
      }
      if !told.describes(head.number) {
        switch told.hasArrived(entry) {
        case true:
          // A later ACK will describe it, as received or, where not all of it could be kept, as missing.
          resends.popFirst()
          settled.remove(head.number, upTo: head.number &+ 1)
          continue
        case false: break
        case nil:
          // Unknown, not missing: a later ACK will describe it. But not for ever.
          guard told.isComplete, isForgotten(entry, threshold) else { return }
        }
      }
      guard let verdict = verdict(on: entry, threshold) else { return }
      guard verdict.isLost else {
        suspect(head.number, verdict.lossTime, &outcome)
        return
      }
      resends.popFirst()
      lose(head.number, threshold.now, &outcome)
    }
  }

  /// Sent so long before the newest that has arrived that a receiver which tells of each early number twice in a round trip would
  /// have told of it: two round trips, or four where so few packets have followed that hardly an ACK has.
  private func isForgotten(_ entry: Sent, _ threshold: LossThreshold) -> Bool {
    guard entry.packetNumber.precedes(threshold.largest) else { return false }
    return age(entry, threshold.now) / (threshold.largest &- entry.packetNumber >= 32 ? 2 : 4) >= threshold.delay
  }

  /// Remembers a segment that only its age keeps from being lost.
  mutating func suspect(_ number: UInt32, _ lossTime: Instant, _ outcome: inout Outcome) {
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
        !self[suspect.number].isAcknowledged, !self[suspect.number].isWaiting
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

  mutating func lose(_ number: UInt32, _ now: Instant, _ outcome: inout Outcome) {
    let entry = self[number]
    guard !entry.isAcknowledged, !entry.isWaiting else { return }
    self[number].packed |= Sent.lost | Sent.suspected
    if entry.isDoubled { doublesPending -= 1 }
    if mayDouble, doublingCredit >= Self.doublingPrice, entry.isRetransmitted || wouldCloseWindow(number) {
      self[number].packed |= Sent.doubled
      doublingCredit -= Self.doublingPrice
    }
    if outcome.lostPackets == 0 || outcome.newestLost.precedes(entry.packetNumber) {
      outcome.newestLost = entry.packetNumber
    }
    outcome.lostBytes += UInt64(entry.length + Self.overhead)
    packetsInFlight -= 1
    bytesInFlight -= UInt64(entry.length + Self.overhead)
    appendLost(number)
    countLoss()
    lostPending += 1
    outcome.lostPackets += 1
    outcome.longestLost = max(outcome.longestLost, entry.length)
    outcome.newestLostTime = max(outcome.newestLostTime, now - min(age(entry, now), now))
  }

  /// A segment stands in the queue once, however often it is lost.
  private mutating func appendLost(_ number: UInt32) {
    guard self[number].packed & Sent.queued == 0 else { return }
    self[number].packed |= Sent.queued
    lostQueue.append(number)
  }

  mutating func popLost() {
    // Below the base its place in the ring is another's.
    if let number = lostQueue.popFirst(), !number.precedes(base) { self[number].packed &= ~Sent.queued }
  }

  /// What is lost over and over keeps the window's lower edge, and in the end the sender, waiting. Whether another loss of
  /// `number` would do that: it is told when a round trip's packets have been sent behind it, and so would the next be.
  private func wouldCloseWindow(_ number: UInt32) -> Bool {
    3 * UInt64(next &- number) > UInt64(min(edge &- base, PacketWindow.largest))
  }

  /// Packets taken for lost have arrived: the path reorders by more than was thought (RFC 8985, 6.2.4). The time
  /// threshold, which is never beyond three round trips, bounds what that may cost.
  package mutating func widenReordering(roundTrip: Nanoseconds, now: Instant) {
    packetThreshold = min(2 * packetThreshold, 1 << 20)
    if now >= widenedAt + roundTrip {
      reorderingSteps = min(reorderingSteps + 1, Self.mostReorderingSteps)
      widenedAt = now
    }
    lossesAtThreshold = 0
  }

  static var mostReorderingSteps: Int { 8 }

  /// What was learnt of reordering is forgotten again by as many losses as make it improbable.
  mutating func countLoss() {
    guard packetThreshold > 3 else { return }
    lossesAtThreshold += 1
    guard lossesAtThreshold > 1000 else { return }
    packetThreshold = max(packetThreshold / 2, 3)
    reorderingSteps = packetThreshold == 3 ? 0 : max(reorderingSteps - 1, 0)
    lossesAtThreshold = 0
  }
}

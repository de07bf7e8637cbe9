// SPDX-License-Identifier: MIT
// What the peer has refused because it had no room. The ACK with the newest packet number may take back a part of the window
// that was promised; what has left for there by then, and is not acknowledged, was refused. That is flow control and no loss:
// such a segment is not in flight any more, and leaves again when the window has opened as far as its number.

extension SendWindow {
  /// First transmissions from `limit` on that had left before the newest that the peer has seen. They are in order, so what comes
  /// behind the first that left later did, too.
  mutating func refuseFirstSends(from limit: UInt32, _ threshold: LossThreshold, _ outcome: inout Outcome) {
    var number = limit.precedes(base) ? base : limit
    while true {
      number = settled.first(false, from: number, to: next)
      guard number.precedes(next) else { return }
      if !threshold.largest.precedes(self[number].packetNumber) {
        settled.insert(number)
        refuse(number, &outcome)
      } else if !self[number].isRetransmitted {
        return
      }
      number &+= 1
    }
  }

  mutating func refuse(_ number: UInt32, _ outcome: inout Outcome) {
    let entry = self[number]
    guard !entry.isAcknowledged, !entry.isWaiting else { return }
    if entry.isDoubled { doublesPending -= 1 }
    self[number].packed = (entry.packed | Sent.refused) & ~Sent.doubled
    packetsInFlight -= 1
    bytesInFlight -= UInt64(entry.length + Self.overhead)
    if refused.capacity < ring.count { refused.grow(to: ring.count, lower: base, upper: base) }
    if refusedPending == 0 || number.precedes(firstRefused) { firstRefused = number }
    refused.insert(number)
    refusedPending += 1
    outcome.refusedPackets += 1
  }

  /// A refused segment leaves again, or has arrived after all.
  mutating func readmit(_ number: UInt32) {
    self[number].packed &= ~Sent.refused
    refused.remove(number, upTo: number &+ 1)
    refusedPending -= 1
    if number == firstRefused, refusedPending > 0 { firstRefused = refused.first(true, from: number, to: next) }
  }

  /// Whether the window has opened as far as the first that waits.
  @inline(__always)
  var canSendRefused: Bool { refusedPending > 0 && !edge.precedes(firstRefused) }

  package var resendsRemembered: Int { resends.count }

  /// What was sent again waits to be judged in the order of sending. A peer that never tells of the first of them keeps the others
  /// waiting, too: then those that another transmission has followed go, so that no segment is in the queue more than twice.
  mutating func append(_ resend: Resend) {
    if resends.count == resends.capacity, resends.count >= 2 * ring.count {
      for _ in 0..<resends.count {
        guard let entry = resends.popFirst() else { break }
        if !entry.number.precedes(base), self[entry.number].packetNumber == entry.packetNumber { resends.append(entry) }
      }
    }
    resends.append(resend)
  }
}

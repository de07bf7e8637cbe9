// SPDX-License-Identifier: MIT
// Step 3 of the way in, ACKs: what has reached the peer, and what has not.

extension Engine {
  /// - Parameter bytes: those that `block` was read from.
  mutating func receiveAck<H: Handler>(
    _ block: AckBlock, lastInOrder: UInt32, window: UInt32, _ bytes: RawSpan, _ slot: Slot, _ handler: inout H
  ) {
    // 0 also stands for "none yet".
    guard block.largestPacketNumber == 0 || block.largestPacketNumber < peers.rows[slot].sendPacketNumber else {
      counters.acksOfUnsent &+= 1
      end(slot, .protocolViolation, &handler)
      return
    }
    // An older one may come late; what was given or taken back since holds.
    let highest = peers.headers[slot].highestAcknowledged
    let isNewest = block.largestPacketNumber > highest
    if isNewest, (lastInOrder &+ window).precedes(peers.flows[slot].send.edge) { counters.windowsShrunk &+= 1 }
    var outcome: SendWindow.Outcome
    do throws(SendWindow.Violation) {
      outcome = try peers.flows[slot].send.acknowledge(
        lastInOrder: lastInOrder, window: window, block: block, bytes,
        lossDelay: peers.flows[slot].lossDelay, tellsNewest: true, isNewest: isNewest,
        isOvertaken: block.largestPacketNumber < highest, now: now)
    } catch {
      counters.acksOfUnsent &+= 1
      end(slot, .protocolViolation, &handler)
      return
    }
    if !peers.flows[slot].send.acknowledgedMessages.isEmpty { acknowledgeMessages(slot) }
    if schedule.outage.lastStop != 0 { forgetTimes(&outcome, slot) }
    let ecn = peers.flows[slot].ecn.state
    peers.flows[slot].acknowledged(
      outcome, block, &peers.headers[slot], next: peers.rows[slot].sendPacketNumber, now: now)
    if peers.flows[slot].ecn.state != ecn, peers.flows[slot].ecn.state == .bleached { counters.marksLost &+= 1 }
    reportAcknowledged(slot, &handler)
    endIfFinished(slot, &handler)
  }

  /// The newest ACK says whether anything new of the stream is to be sent.
  @inline(__always)
  mutating func hold(_ isHeld: Bool, _ block: AckBlock, _ slot: Slot) {
    if block.largestPacketNumber >= peers.headers[slot].highestAcknowledged { peers.flows[slot].send.isHeld = isHeld }
  }

  /// Of what left before a planned outage neither a round trip nor a rate is taken: the clock stood still on its way.
  private func forgetTimes(_ outcome: inout SendWindow.Outcome, _ slot: Slot) {
    guard outcome.hasNewest else { return }
    let sent = peers.flows[slot].rate.snapshot(of: outcome.newestPacketNumber)?.sent ?? 0
    guard isSuspended || sent <= schedule.outage.lastStop else { return }
    outcome.sample = nil
    outcome.hasNewest = false
  }

  mutating func reportAcknowledged<H: Handler>(_ slot: Slot, _ handler: inout H) {
    let offset = peers.flows[slot].send.acknowledgedOffset
    guard offset > peers.flows[slot].reportedOffset else { return }
    peers.flows[slot].reportedOffset = offset
    let isWritten = peers.flows[slot].written != nil
    if isWritten { acknowledgeWritten(slot, upTo: offset) }
    handler.acknowledged(peer(slot), upTo: offset, engine: &self)
    if isWritten { reportWritable(slot, &handler) }
  }
}

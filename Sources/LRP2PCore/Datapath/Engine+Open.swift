// SPDX-License-Identifier: MIT
// Step 2 of the way in: which of a batch's datagrams are authentic. Only what has opened goes on.

extension Engine {
  /// Opens all that has been classified, and dispatches it.
  mutating func open<H: Handler>(_ batch: inout DatagramBatch, _ handler: inout H) {
    let count = inbound.count
    guard count > 0 else { return }
    suite.open(&inbound.jobs, count: count, in: &batch.arena, keys: peers.keys)
    var next = 0
    while next < count {
      // Of many peers few have two side by side.
      if next + 1 < count, inbound.jobs[next + 1].key == inbound.jobs[next].key {
        let run = receiveRun(next, of: count, in: batch, &handler)
        next += run
        if run > 0 { continue }
      }
      receiveOpened(next, in: batch, &handler)
      next += 1
    }
    inbound.clear()
    if inbound.scratchKeys.count > 0 { inbound.scratchKeys.wipe(&peers.keys, suite) }
  }

  /// One datagram that the suite has seen.
  @inline(__always)
  private mutating func receiveOpened<H: Handler>(
    _ index: Int, in batch: borrowing DatagramBatch, _ handler: inout H
  ) {
    let arrival = inbound.arrivals[index]
    let job = inbound.jobs[index]
    let slot = arrival.slot
    let row = peers.rows[slot]
    guard counts(job, of: arrival, row) else { return }
    let source = batch.messages[Int(arrival.message)].address
    heard(job, slot, row, from: source)
    let plaintext = batch.arena.bytes(
      job.offset + Datagram.headerLength, job.length - Datagram.headerLength - Datagram.tagLength)
    if receiveIfOriginal(plaintext, row, slot, &handler) { return }
    guard row.phase == .established else {
      counters.late &+= 1
      receiveLate(plaintext, slot, packetNumber: job.packetNumber)
      return
    }
    counters.datagramsAccepted &+= 1
    if let number = Segment.plainNumber(plaintext) {
      receivePlain(number, plaintext, slot, packetNumber: job.packetNumber, ecn: arrival.ecn, &handler)
    } else {
      dispatch(plaintext, slot, packetNumber: job.packetNumber, ecn: arrival.ecn, from: source, &handler)
    }
  }

  /// Whether the datagram is authentic and new, and its connection is there; if not, why is counted.
  @inline(__always)
  private mutating func counts(_ job: AEADJob, of arrival: Arrival, _ row: PeerRow) -> Bool {
    let slot = arrival.slot
    // A callback for an earlier datagram, or a handshake, may have ended the connection.
    guard row.connectionID == arrival.connectionID else {
      counters.late &+= 1
      return false
    }
    guard job.opened else {
      counters.authenticationFailures &+= 1
      failedAuthentication(slot)
      return false
    }
    if !peers.flows.contains(slot) {
      wake(slot)
      // Closed with all others (`closeAll`).
      guard peers.rows[slot].phase == .established else {
        counters.late &+= 1
        return false
      }
    }
    guard peers.flows[slot].authenticated(job.packetNumber) else {
      counters.replays &+= 1
      return false
    }
    peers.headers[slot].lastReceived = now
    return true
  }

  /// What a datagram tells by being authentic and new: its key is the peer's, its source may be, and the handshake is done.
  @inline(__always)
  private mutating func heard(_ job: AEADJob, _ slot: Slot, _ row: PeerRow, from source: Address) {
    // Under a key that is kept for a moment, and no connection's own yet.
    if job.key.index < PeerTable.scratchRows {
      adoptKey(slot, epoch: peers.headers[slot].epochs.epoch(of: job.packetNumber), row: job.key)
    }
    if !row.isDirty { markDirty(slot) }
    if source != row.address {
      receivedFromNewAddress(slot, from: source, bytes: job.length, packetNumber: job.packetNumber)
    } else if source.local != row.address.local {
      receivedAtOther(slot, source.local, packetNumber: job.packetNumber)
    }
    if !row.isConfirmed { confirm(slot) }
  }
}

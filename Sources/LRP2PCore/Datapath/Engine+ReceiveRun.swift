// SPDX-License-Identifier: MIT
// The bulk of what arrives: plain data of one connection, packet by packet and segment by segment in order. What each of them
// would ask on its way through `receiveOpened` is asked once for all; each is handed over by itself.

extension Engine {
  /// Takes what stands side by side in one message, from the opened job `first` on, whose next is under the same key.
  /// - Returns: how many there were; 0 leaves the job to the long way.
  mutating func receiveRun<H: Handler>(
    _ first: Int, of count: Int, in batch: borrowing DatagramBatch, _ handler: inout H
  ) -> Int {
    let arrival = inbound.arrivals[first]
    let slot = arrival.slot
    let packetNumber = inbound.jobs[first].packetNumber
    guard peers.rows[slot].connectionID == arrival.connectionID, peers.rows[slot].phase == .established,
      peers.rows[slot].isConfirmed, peers.flows.contains(slot),
      peers.flows[slot].takesRun(from: packetNumber),
      peers.rows[slot].address == batch.messages[Int(arrival.message)].address,
      peers.rows[slot].address.local == batch.messages[Int(arrival.message)].address.local
    else { return 0 }
    let number = peers.flows[slot].receive.next
    let end = endOfRun(first, of: count, number: number, in: batch)
    guard end > first + 1 else { return 0 }
    peers.flows[slot].received(
      end - first, from: packetNumber, ecn: arrival.ecn, ratio: peers.headers[slot].peerAckRatio,
      maximumDelay: configuration.maximumAckDelay, now: now)
    peers.headers[slot].lastReceived = now
    markDirty(slot)
    let peer = peer(slot)
    var taken = 0
    for index in first..<end {
      let payload = batch.arena.bytes(
        inbound.jobs[index].offset + Self.payloadOffset,
        inbound.jobs[index].length - Self.payloadOffset - Datagram.tagLength)
      // Unless a callback has stopped the reader, or what was stored has come in between.
      if peers.flows[slot].receive.acceptsDirectly(number &+ UInt32(index - first)) {
        handler.received(peer, payload, engine: &self)
        if peers.rows[slot].phase == .established, peers.flows[slot].receive.deliveredDirectly(pool: &pool) {
          deliverStored(slot, &handler)
        }
      } else {
        _ = receiveSegment(number &+ UInt32(index - first), isFin: false, payload, slot, &handler)
      }
      taken += 1
      // A callback may have ended the connection.
      guard peers.rows[slot].connectionID == arrival.connectionID, peers.rows[slot].phase == .established else { break }
    }
    counters.datagramsAccepted &+= UInt64(taken)
    counters.late &+= UInt64(end - first - taken)
    return end - first
  }

  private static var payloadOffset: Int { Datagram.headerLength + Segment.dataLength }

  /// Behind the last of those that have come in the same message as `first`, are authentic, and have the packet numbers and the
  /// sequence numbers that follow.
  @inline(__always)
  private func endOfRun(_ first: Int, of count: Int, number: UInt32, in batch: borrowing DatagramBatch) -> Int {
    let (jobs, whence) = (inbound.jobs.span, inbound.arrivals.span)
    let message = whence[first].message
    let key = PeerTable.openingRow(whence[first].slot)
    let longest = Self.payloadOffset + Datagram.tagLength + pool.longestPayload
    var (packetNumber, number) = (jobs[first].packetNumber, number)
    var index = first
    while index < count, jobs[index].opened, jobs[index].key == key, jobs[index].packetNumber == packetNumber,
      whence[index].message == message, jobs[index].length > Self.payloadOffset + Datagram.tagLength,
      jobs[index].length <= longest,
      Segment.plainNumber(batch.arena.bytes(jobs[index].offset + Datagram.headerLength, Segment.dataLength)) == number
    {
      packetNumber &+= 1
      number &+= 1
      index += 1
    }
    return index
  }
}

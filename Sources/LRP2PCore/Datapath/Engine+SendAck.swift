// SPDX-License-Identifier: MIT
// Step 2 of the way out, ACKs: along with a short data segment, or alone.

extension Engine {
  /// A short data segment takes an ACK along, if one is owed: who answers a request needs no datagram beside the answer. What is
  /// sent again has one in any case, as that of the first time may have been lost with it. An ACK that tells of gaps goes alone,
  /// with room for all of them.
  @inline(__always)
  func takesAck(_ length: Int, isAgain: Bool, _ slot: Slot) -> Bool {
    length + AckOption.longest <= peers.flows[slot].capacity
      && (peers.flows[slot].ack.goesAlong(now: now) || (isAgain && peers.flows[slot].ack.hasLargest))
      && !peers.flows[slot].receive.hasEarly
      // An option does not tell the peer to hold its stream back, nor that it need not any more.
      && !peers.flows[slot].receive.tellsHold && !holdsStream(slot)
  }

  /// - Returns: the packet number; `nil` when there is no room.
  mutating func sendWithAck<H: Handler>(
    _ segment: SendWindow.Segment, flags: UInt8, _ slot: Slot, into batch: inout DatagramBatch, _ handler: inout H
  ) -> UInt64? {
    let ack = ackOption(slot)
    let head = Segment.dataLength + ack.length
    guard let datagram = place(head + segment.length, slot, into: &batch) else { return nil }
    var bytes = batch.arena.mutableBytes(datagram.segment, head + segment.length)
    Segment.writeData(flags: flags, sequence: segment.number, into: &bytes)
    write(ack, slot, into: &bytes)
    if segment.length > 0 {
      var payload = bytes._mutatingExtracting(head..<bytes.byteCount)
      fill(peer(slot), slot, offset: segment.offset, into: &payload, &handler)
    }
    return datagram.packetNumber
  }

  mutating func ackOption(_ slot: Slot) -> AckOption {
    tuneReceiveWindow(slot)
    let header = peers.flows[slot].ack.header(now: now)
    let packets = peers.flows[slot].replay.runs(downFrom: header.largestPacketNumber)
    return AckOption { peers.flows[slot].receive.writeRuns(header: header, packets: packets, into: &$0) }
  }

  /// Puts an ACK after the head of a data segment.
  @_lifetime(bytes: copy bytes)
  mutating func write(_ ack: AckOption, _ slot: Slot, into bytes: inout MutableRawSpan) {
    ack.write(
      lastInOrder: peers.flows[slot].receive.next &- 1, window: peers.flows[slot].receive.advertise(pool), into: &bytes)
    didSendAck(slot)
  }

  mutating func tuneReceiveWindow(_ slot: Slot) {
    let roundTrip = peers.flows[slot].roundTrip.smoothed
    peers.flows[slot].receive.tune(roundTrip: roundTrip == 0 ? .milliseconds(100) : roundTrip, now: now)
  }

  @inline(__always)
  mutating func sendAck(_ slot: Slot, into batch: inout DatagramBatch) -> Bool {
    guard peers.flows[slot].ack.isDue(now: now) || peers.flows[slot].owesFirstAck else { return true }
    return sendAckAlone(slot, into: &batch)
  }

  mutating func sendAckAlone(_ slot: Slot, into batch: inout DatagramBatch) -> Bool {
    guard speaksVersion1(slot) else { return sendOriginalAcks(slot, into: &batch) }
    let overhead = Datagram.headerLength + Segment.ackLength + Datagram.tagLength
    // Nothing tells that an ACK was too long for the path, so none is longer than what every path carries.
    let bound = PathMTU.base
    // Written at the end of what is used, then placed: an ACK is as long as what it tells.
    guard let space = batch.room(bound, for: peers.rows[slot].destination, group: peers.rows[slot].messageGroup) else {
      return false
    }
    let header = peers.flows[slot].ack.header(now: now)
    tuneReceiveWindow(slot)
    var block = batch.arena.mutableBytes(space + Datagram.headerLength + Segment.ackLength, bound - overhead)
    let packets = peers.flows[slot].replay.runs(downFrom: header.largestPacketNumber)
    let blockLength = peers.flows[slot].receive.writeRuns(header: header, packets: packets, into: &block)
    guard let datagram = place(Segment.ackLength + blockLength, slot, into: &batch) else { return false }
    precondition(datagram.segment == space + Datagram.headerLength, "an ACK stands where it was written")
    var bytes = batch.arena.mutableBytes(datagram.segment, Segment.ackLength)
    peers.flows[slot].receive.tellsHold = holdsStream(slot)
    Segment.writeAck(
      flags: peers.flows[slot].receive.tellsHold ? SegmentFlag.messages : 0,
      lastInOrder: peers.flows[slot].receive.next &- 1, window: peers.flows[slot].receive.advertise(pool),
      into: &bytes)
    didSendAck(slot)
    return true
  }

  /// Whether the peer's stream has to wait for its reader, so that its messages need not.
  @inline(__always)
  func holdsStream(_ slot: Slot) -> Bool { speaksMessages(slot) && peers.flows[slot].receive.holdsStream(pool) }

  mutating func didSendAck(_ slot: Slot) {
    peers.flows[slot].ack.didSendAck(now: now)
    peers.flows[slot].owesFirstAck = false
  }
}

// SPDX-License-Identifier: MIT
// Step 2 of the way out, data: probes, then what was lost, then what is new.

extension Engine {
  /// Bytes of data that a peer may send in its turn: a message, or less where many wait for theirs. Who may send a small
  /// window only, and has it acknowledged long before its next turn, would else get as much less than the others.
  var turnBytes: Int {
    if schedule.ready.isEmpty { return Self.roundBytes }
    return max(Self.roundBytes / schedule.ready.count, Self.leastTurn * configuration.maximumDatagram)
  }
  /// What all turns together come to at most, as long as nobody's is shorter than so many datagrams.
  private static var roundBytes: Int { 4 << 20 }
  private static var leastTurn: Int { 8 }

  /// One message's worth of data: probes, then what was lost, then what is new.
  /// - Returns: `false` when there is more to send, or no room.
  mutating func sendData<H: Handler>(
    _ slot: Slot, into batch: inout DatagramBatch, _ handler: inout H
  ) -> Bool {
    let first = batch.count
    let end = batch.used + turnBytes
    while true {
      // Most turns are of less than two segments.
      if peers.flows[slot].send.bytesWaiting > UInt64(peers.flows[slot].capacity),
        sendRun(slot, upTo: end, into: &batch, &handler), isTurnOver(slot, first, end, &batch)
      {
        return false
      }
      let isProbe = peers.flows[slot].probesOwed > 0
      guard let segment = isProbe ? nextProbe(slot) : nextSegment(slot) else {
        if isProbe { continue }
        return true
      }
      if segment.isMessages {
        switch sendMessages(segment, isProbe: isProbe, slot, into: &batch, &handler) {
        case .nothing: continue
        case .noRoom: return false
        case .sent: if isTurnOver(slot, first, end, &batch) { return false }
        }
        continue
      }
      let isFlush = peers.flows[slot].isFlushed && peers.flows[slot].isLast(segment)
      guard let packetNumber = write(segment, isProbe: isProbe, isFlush: isFlush, slot, into: &batch, &handler) else {
        return false
      }
      if isFlush { peers.flows[slot].isFlushed = false }
      didSend(segment, packetNumber, isProbe: isProbe, slot)
      if peers.flows[slot].send.hasMessages { streamServed(segment, slot) }
      if isTurnOver(slot, first, end, &batch) { return false }
    }
  }

  /// Writes a segment: in pieces, if the path carries no longer ones by now; with an ACK, if one is owed; or by itself.
  /// - Returns: the packet number of its last datagram; `nil` when there is no room.
  @inline(__always)
  private mutating func write<H: Handler>(
    _ segment: SendWindow.Segment, isProbe: Bool, isFlush: Bool, _ slot: Slot, into batch: inout DatagramBatch,
    _ handler: inout H
  ) -> UInt64? {
    let flags = flags(of: segment, slot) | (isFlush || isProbe ? SegmentFlag.ackNow : 0)
    if segment.length > peers.flows[slot].capacity {
      return sendPieces(segment, flags: flags, slot, into: &batch, &handler)
    }
    if takesAck(segment.length, isAgain: isProbe || segment.isRetransmission, slot) {
      return sendWithAck(segment, flags: flags, slot, into: &batch, &handler)
    }
    return write(segment, flags: flags, slot, into: &batch, &handler)
  }

  /// What both versions say of a segment.
  @inline(__always)
  func flags(of segment: SendWindow.Segment, _ slot: Slot) -> UInt8 {
    var flags: UInt8 = 0
    if peers.flows[slot].send.isFirst(segment.number) { flags |= SegmentFlag.syn }
    if segment.isFin { flags |= SegmentFlag.fin }
    if segment.isRetransmission { flags |= SegmentFlag.rto }
    return flags
  }

  /// Writes a segment as a datagram with nothing else.
  /// - Returns: its packet number; `nil` when there is no room.
  @inline(__always)
  mutating func write<H: Handler>(
    _ segment: SendWindow.Segment, flags: UInt8, _ slot: Slot, into batch: inout DatagramBatch, _ handler: inout H
  ) -> UInt64? {
    guard let datagram = place(Segment.dataLength + segment.length, slot, into: &batch) else { return nil }
    var bytes = batch.arena.mutableBytes(datagram.segment, Segment.dataLength + segment.length)
    Segment.writeData(flags: flags, sequence: segment.number, into: &bytes)
    if segment.length > 0 {
      var payload = bytes._mutatingExtracting(Segment.dataLength..<bytes.byteCount)
      fill(peer(slot), slot, offset: segment.offset, into: &payload, &handler)
    }
    return datagram.packetNumber
  }

  /// A segment has been placed.
  @inline(__always)
  mutating func didSend(_ segment: SendWindow.Segment, _ packetNumber: UInt64, isProbe: Bool, _ slot: Slot) {
    let length = Datagram.headerLength + Segment.dataLength + segment.length + Datagram.tagLength
    peers.flows[slot].sent(segment, &peers.headers[slot], packetNumber: packetNumber, bytes: length, now: now)
    if segment.isRetransmission { counters.retransmissions &+= 1 }
    if isProbe { peers.flows[slot].probesOwed -= 1 }
  }

  /// A message each turn, so that every ready peer has its share of a batch. Who is left with the end of what it has, less than a
  /// segment, sends that, too: it would wait for all the others with little to say.
  mutating func isTurnOver(_ slot: Slot, _ first: Int, _ end: Int, _ batch: inout DatagramBatch) -> Bool {
    if batch.count > first + 1 { return true }
    // Where nothing is left, what else is due goes along, and the flow learns that it lacks data.
    if batch.count > first, batch.isLastFull, peers.flows[slot].hasMore { return true }
    guard batch.used >= end else { return false }
    if peers.flows[slot].isAtEnd { return false }
    // Its ACK does not wait until all its data has left.
    _ = sendAck(slot, into: &batch)
    return true
  }

  /// What the congestion window and the pacer let out; sets when to go on if they do not.
  mutating func nextSegment(_ slot: Slot) -> SendWindow.Segment? {
    peers.flows[slot].nextSegment(now: now)
  }

  /// The newest outstanding segment first (its answer describes everything), then the oldest.
  mutating func nextProbe(_ slot: Slot) -> SendWindow.Segment? {
    let segment =
      peers.flows[slot].probesOwed == 2
      ? peers.flows[slot].send.newestOutstanding() : peers.flows[slot].send.oldestOutstanding()
    if segment == nil { peers.flows[slot].probesOwed -= 1 }
    return segment
  }

  /// A segment that was cut for a path that carried more: its pieces, side by side.
  /// - Returns: the packet number of the last piece; `nil` when there is no room for all that is left.
  mutating func sendPieces<H: Handler>(
    _ segment: SendWindow.Segment, flags: UInt8, _ slot: Slot, into batch: inout DatagramBatch, _ handler: inout H
  ) -> UInt64? {
    let most = (peers.flows[slot].capacity - Segment.pieceOptionLength) / Reassembly.unit * Reassembly.unit
    let head = Segment.dataLength + Segment.pieceOptionLength
    var packetNumber: UInt64 = 0
    // A batch that was full in the middle of a segment: the next one goes on there.
    var offset = peers.flows[slot].pieceNumber == segment.number ? peers.flows[slot].pieceOffset : 0
    while offset < segment.length {
      let length = min(most, segment.length - offset)
      guard let datagram = place(head + length, slot, into: &batch) else {
        peers.flows[slot].pieceNumber = segment.number
        peers.flows[slot].pieceOffset = offset
        return nil
      }
      packetNumber = datagram.packetNumber
      var bytes = batch.arena.mutableBytes(datagram.segment, head + length)
      Segment.writePiece(
        flags: flags, sequence: segment.number, offset: offset, total: segment.length, into: &bytes)
      var payload = bytes._mutatingExtracting(head..<bytes.byteCount)
      if segment.isMessages {
        payload.copy(scratch.bytes(offset, length), to: 0)
      } else {
        fill(peer(slot), slot, offset: segment.offset + UInt64(offset), into: &payload, &handler)
      }
      offset += length
    }
    peers.flows[slot].pieceOffset = 0
    return packetNumber
  }
}

// SPDX-License-Identifier: MIT
// Data and ACKs of the original peer. Its ACK of one segment is rewritten as an ACK block that says the same, so that
// windows, loss detection and congestion control are those of version 1.

extension Engine {
  // MARK: In

  /// One authentic plaintext.
  mutating func receiveOriginal<H: Handler>(_ plaintext: RawSpan, _ slot: Slot, _ handler: inout H) {
    guard peers.rows[slot].phase == .established else {
      counters.late &+= 1
      receiveLateOriginal(plaintext, slot)
      return
    }
    counters.datagramsAccepted &+= 1
    let segment: OriginalSegment
    do throws(Malformed) { segment = try OriginalSegment.parse(plaintext) } catch {
      counters.malformed &+= 1
      return
    }
    peers.originals[slot].silentSince = .never
    if segment.isAck {
      receiveOriginalAck(segment, slot, &handler)
      return
    }
    let payload = plaintext.extracting(segment.payloadOffset..<plaintext.byteCount)
    guard payload.byteCount <= pool.cellBytes else {
      counters.malformed &+= 1
      return
    }
    let isFin = segment.flags & SegmentFlag.fin != 0
    let isKept = receiveSegment(segment.number, isFin: isFin, payload, slot, &handler)
    guard isKept, peers.originals.contains(slot) else { return }
    acknowledgeOriginal(slot, segment.number)
  }

  /// Each segment has an ACK of its own, with the last in-order number of the moment: a later one, above the segment's,
  /// would not open the original's congestion window.
  private mutating func acknowledgeOriginal(_ slot: Slot, _ number: UInt32) {
    // What is not acknowledged is repeated: no need to remember more than a window of them while nothing can be sent.
    guard peers.originals[slot].acks.count < Int(OriginalPeer.window) else { return }
    let next = peers.flows[slot].receive.next
    let inOrder = next == 0 ? 0 : next &- 1
    peers.originals[slot].acks.append(UInt64(number) << 32 | UInt64(inOrder))
    peers.flows[slot].owesFirstAck = true
  }

  private mutating func receiveOriginalAck<H: Handler>(
    _ segment: OriginalSegment, _ slot: Slot, _ handler: inout H
  ) {
    let next = peers.flows[slot].send.next
    guard let answered = segment.answered else {
      counters.acksMalformed &+= 1
      return
    }
    guard answered.precedes(next), segment.number == 0 || segment.number.precedes(next) else {
      counters.acksOfUnsent &+= 1
      return
    }
    if peers.originals[slot].heardInOrder.precedes(segment.number) {
      peers.originals[slot].heardInOrder = segment.number
    }
    // 0 also stands for "nothing yet".
    let heard = peers.originals[slot].heardInOrder
    let told = heard == 0 ? UInt32.max : heard
    let base = peers.flows[slot].send.base
    let origin = base.precedes(told &+ 1) ? told &+ 1 : base
    let sent = peers.flows[slot].send.lastTransmission(of: answered)
    var block = AckBlock(
      largestPacketNumber: peers.headers[slot].highestAcknowledged, delayMicroseconds: 0, duplicates: 0, ect0: 0,
      ect1: 0,
      ce: 0)
    if let sent {
      // 32 bits of it are kept; it lies less than that behind the next.
      let newest = peers.rows[slot].sendPacketNumber
      block.largestPacketNumber = newest &- UInt64(UInt32(truncatingIfNeeded: newest) &- sent.packetNumber)
    }
    let length = writeRun(origin: origin, answered: answered, block)
    let edge = told &+ OriginalPeer.window
    let window = UInt32(edge.ahead(of: origin &- 1))
    let lossDelay = peers.flows[slot].lossDelay
    guard
      var outcome = peers.flows[slot].send.acknowledge(
        lastInOrder: origin &- 1, window: window, block: scratch, length, lossDelay: lossDelay, now: now)
    else {
      counters.acksOfUnsent &+= 1
      return
    }
    // Which of its transmissions a repeated segment's ACK answers cannot be told (Karn and Partridge, 1987).
    if sent?.isRetransmitted ?? true { outcome.sample = nil }
    peers.flows[slot].acknowledged(
      outcome, block, &peers.headers[slot], next: peers.rows[slot].sendPacketNumber, now: now)
    // Its ACKs do not tell how long they were delayed.
    peers.flows[slot].toldAckDelay = peers.headers[slot].peerMaximumAckDelay
    advanceOriginal(slot)
    if outcome.acknowledgedPackets > 0 { nudgeIfBehind(slot) }
    reportAcknowledged(slot, &handler)
    endIfFinished(slot, &handler)
  }

  /// The block of an ACK that describes `answered` as received and what lies between as missing.
  private mutating func writeRun(origin: UInt32, answered: UInt32, _ block: AckBlock) -> Int {
    var block = block
    let ahead = Int(answered &- origin)
    block.intervalCount = answered.isWithin(PacketWindow.largest, from: origin) ? 1 : 0
    var writer = AckBlockWriter(capacity: 128)
    var bytes = scratch.mutableBytes(0, 128)
    writer.begin(block, into: &bytes)
    if block.intervalCount == 1 {
      writer.interval(start: 0, runCount: ahead == 0 ? 1 : 2, firstReceived: ahead == 0, into: &bytes)
      if ahead > 0 { writer.run(UInt32(ahead), into: &bytes) }
      writer.run(1, into: &bytes)
    }
    return writer.length
  }

  /// The original's last in-order number lags behind what it has acknowledged one by one.
  private mutating func advanceOriginal(_ slot: Slot) {
    let end = peers.flows[slot].send.contiguousEnd
    guard peers.flows[slot].send.base.precedes(end) else { return }
    let nothing = AckBlock(
      largestPacketNumber: 0, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    let length = writeRun(origin: end, answered: end &- 1, nothing)
    _ = peers.flows[slot].send.acknowledge(
      lastInOrder: end &- 1, window: 0, block: scratch, length, lossDelay: .max, now: now)
  }

  /// Its delivery stops at the end of its ring until one more datagram comes; where its last in-order number shows
  /// that, or cannot, an empty one goes.
  private mutating func nudgeIfBehind(_ slot: Slot) {
    let next = peers.flows[slot].send.next
    guard peers.flows[slot].send.base == next, next > 1 else { return }
    let ringEnd = (next &- 1) % 65_535
    if peers.originals[slot].heardInOrder.precedes(next &- 2) || ringEnd == 65_534 || ringEnd == 0 {
      peers.flows[slot].owesPing = true
    }
  }

  /// Of a connection that is over: what was delivered is acknowledged again, as the original repeats it for ever.
  private mutating func receiveLateOriginal(_ plaintext: RawSpan, _ slot: Slot) {
    guard peers.rows[slot].phase == .lingering, let segment = try? OriginalSegment.parse(plaintext), !segment.isAck,
      segment.number.precedes(peers.flows[slot].receive.delivered)
    else { return }
    acknowledgeOriginal(slot, segment.number)
    makeReady(slot)
  }

  // MARK: Out

  /// What a ready connection has to send: data, ACKs, and an empty datagram where one is needed. There is no CLOSE.
  /// - Returns: whether it has had all that it may send now.
  mutating func sendOriginal<H: Handler>(_ slot: Slot, into batch: inout DatagramBatch, _ handler: inout H) -> Bool {
    switch peers.rows[slot].phase {
    case .established:
      let isDone =
        sendOriginalData(slot, into: &batch, &handler) && sendOriginalAcks(slot, into: &batch)
        && sendNudge(slot, into: &batch)
      if peers.rows[slot].phase == .established { markDirty(slot) }
      return isDone
    case .closing:
      end(slot, .local(code: peers.flows[slot].ending.closeCode), &handler)
      return true
    case .lingering:
      return sendOriginalAcks(slot, into: &batch)
    case .free, .dialling, .halfOpen, .superseded, .draining:
      return true
    }
  }

  /// As `sendData`, with nothing but data in a datagram.
  private mutating func sendOriginalData<H: Handler>(
    _ slot: Slot, into batch: inout DatagramBatch, _ handler: inout H
  ) -> Bool {
    let first = batch.count
    let end = batch.used + turnBytes
    while true {
      let isProbe = peers.flows[slot].probesOwed > 0
      guard let segment = isProbe ? nextProbe(slot) : nextSegment(slot) else {
        if isProbe { continue }
        return true
      }
      guard permitsOriginal(segment, slot, &handler) else { return true }
      guard
        let packetNumber = write(segment, flags: flags(of: segment, slot), slot, into: &batch, &handler)
      else { return false }
      didSend(segment, packetNumber, isProbe: isProbe, slot)
      if isTurnOver(slot, first, end, &batch) { return false }
    }
  }

  /// Before a data segment leaves. `false` when the connection has ended: its numbers are used up.
  private mutating func permitsOriginal<H: Handler>(
    _ segment: SendWindow.Segment, _ slot: Slot, _ handler: inout H
  ) -> Bool {
    // The clock of the idle timeout starts with what it could answer.
    if peers.flows[slot].send.packetsInFlight == 0 { peers.headers[slot].lastReceived = now }
    guard segment.number > OriginalPeer.lastSequence else { return true }
    end(slot, .sequenceExhausted, &handler)
    return false
  }

  /// One datagram for every segment that came: `offset 9`, as the original's README has it and its code accepts.
  mutating func sendOriginalAcks(_ slot: Slot, into batch: inout DatagramBatch) -> Bool {
    while let entry = peers.originals[slot].acks.first {
      guard let datagram = place(Segment.ackLength + 4, slot, into: &batch) else { return false }
      var bytes = batch.arena.mutableBytes(datagram.segment, Segment.ackLength + 4)
      Segment.writeAck(
        flags: 0, lastInOrder: UInt32(truncatingIfNeeded: entry), window: peers.flows[slot].receive.advertise(pool),
        into: &bytes)
      bytes.setBigEndian32(Segment.ackLength, UInt32(entry >> 32))
      peers.originals[slot].acks.popFirst()
    }
    peers.flows[slot].owesFirstAck = false
    return true
  }

  /// An empty plaintext: it is ignored, not answered.
  private mutating func sendNudge(_ slot: Slot, into batch: inout DatagramBatch) -> Bool {
    guard peers.flows[slot].owesPing || peers.flows[slot].pingToken != 0 else { return true }
    guard place(0, slot, into: &batch) != nil else { return false }
    peers.flows[slot].owesPing = false
    peers.flows[slot].pingToken = 0
    return true
  }
}

extension SendWindow {
  /// Takes an ACK whose block was written to the start of `scratch`.
  fileprivate mutating func acknowledge(
    lastInOrder: UInt32, window: UInt32, block scratch: borrowing Arena, _ length: Int, lossDelay: Nanoseconds,
    now: Instant
  ) -> Outcome? {
    let bytes = scratch.bytes(0, length)
    guard let block = try? AckBlock.parse(bytes) else { return nil }
    return try? acknowledge(
      lastInOrder: lastInOrder, window: window, block: block, bytes, lossDelay: lossDelay, now: now)
  }
}

// SPDX-License-Identifier: MIT
// Step 3 of the way in: what an authentic segment brings, and its data on the way to the reader.

extension Engine {
  /// One authentic plaintext of an established peer.
  mutating func dispatch<H: Handler>(
    _ plaintext: RawSpan, _ slot: Slot, packetNumber: UInt64, ecn: UInt8, from source: Address, _ handler: inout H
  ) {
    let segment: Segment
    do throws(Malformed) { segment = try Segment.parse(plaintext, hasMessages: speaksMessages(slot)) } catch {
      counters.malformed &+= 1
      return
    }
    if let unknown = segment.unknownCritical {
      counters.unknownCritical &+= 1
      end(slot, .unsupported, telling: unknown.text, &handler)
      return
    }
    let payload = plaintext.extracting(segment.payloadOffset..<plaintext.byteCount)
    // A segment is taken as a whole or not at all.
    var block: AckBlock?
    do throws(Malformed) { block = try Self.block(of: segment, in: plaintext) } catch {
      counters.acksMalformed &+= 1
      return
    }
    if segment.isAckEliciting {
      peers.flows[slot].receivedAckEliciting(
        packetNumber, ecn: ecn, ratio: peers.headers[slot].peerAckRatio,
        atOnce: segment.has(SegmentFlag.ackNow) || segment.has(SegmentFlag.fin),
        maximumDelay: configuration.maximumAckDelay, now: now)
    }
    switch segment.kind {
    case .data:
      receiveData(segment, payload, slot, &handler)
    case .ack:
      if let block {
        hold(segment.has(SegmentFlag.messages), block, slot)
        receiveAck(block, lastInOrder: segment.number, window: segment.window, payload, slot, &handler)
      }
    case .control:
      receiveControl(
        segment.controlKind, token: segment.token, payload, slot, from: source, packetNumber: packetNumber,
        bytes: Datagram.headerLength + plaintext.byteCount + Datagram.tagLength, &handler)
    }
    guard let block, segment.kind != .ack, peers.rows[slot].phase == .established else { return }
    let option = plaintext.extracting(segment.ackOption)
    let window = UInt32(option.bigEndian16(4)) << 8 | UInt32(option.byte(6))
    hold(false, block, slot)
    receiveAck(
      block, lastInOrder: option.bigEndian32(0), window: window, option.extracting(7..<option.byteCount), slot, &handler
    )
  }

  /// The ACK block of an ACK, or of an option beside something else; `nil` without either.
  private static func block(of segment: Segment, in plaintext: RawSpan) throws(Malformed) -> AckBlock? {
    if segment.kind == .ack {
      return try AckBlock.parse(plaintext.extracting(segment.payloadOffset..<plaintext.byteCount))
    }
    guard segment.ackOptionLength > 0 else { return nil }
    let option = plaintext.extracting(segment.ackOption)
    return try AckBlock.parse(option.extracting(7..<option.byteCount))
  }

  // MARK: Data

  /// What most segments are, without a detour: plain data, and the next in order.
  @inline(__always)
  mutating func receivePlain<H: Handler>(
    _ number: UInt32, _ plaintext: RawSpan, _ slot: Slot, packetNumber: UInt64, ecn: UInt8, _ handler: inout H
  ) {
    let payload = plaintext.extracting(Segment.dataLength..<plaintext.byteCount)
    peers.flows[slot].receivedAckEliciting(
      packetNumber, ecn: ecn, ratio: peers.headers[slot].peerAckRatio, atOnce: false,
      maximumDelay: configuration.maximumAckDelay, now: now)
    guard payload.byteCount <= pool.longestPayload else {
      counters.malformed &+= 1
      return
    }
    guard payload.byteCount > 0, peers.flows[slot].receive.acceptsDirectly(number) else {
      _ = receiveSegment(number, isFin: false, payload, slot, &handler)
      return
    }
    handler.received(peer(slot), payload, engine: &self)
    guard peers.rows[slot].phase == .established else { return }
    if peers.flows[slot].receive.deliveredDirectly(pool: &pool) { deliverStored(slot, &handler) }
  }

  @inline(__always)
  mutating func receiveData<H: Handler>(
    _ segment: Segment, _ payload: RawSpan, _ slot: Slot, _ handler: inout H
  ) {
    let isMessages = segment.has(SegmentFlag.messages)
    // The end of the stream is the stream's.
    if isMessages, segment.has(SegmentFlag.fin) {
      counters.malformed &+= 1
      end(slot, .protocolViolation, &handler)
      return
    }
    if segment.fragmentTotal > 0 {
      receivePiece(
        segment.number, isFin: segment.has(SegmentFlag.fin), isMessages: isMessages,
        offset: Int(segment.fragmentOffset),
        total: Int(segment.fragmentTotal), payload, slot, &handler)
      return
    }
    // A segment that does not fit a cell of the pool was never allowed.
    guard payload.byteCount <= pool.longestPayload else {
      counters.malformed &+= 1
      return
    }
    if isMessages { return receiveMessages(segment.number, payload, slot, &handler) }
    _ = receiveSegment(segment.number, isFin: segment.has(SegmentFlag.fin), payload, slot, &handler)
  }

  /// Nothing is acknowledged before the whole segment is there.
  mutating func receivePiece<H: Handler>(
    _ number: UInt32, isFin: Bool, isMessages: Bool = false, offset: Int, total: Int, _ payload: RawSpan, _ slot: Slot,
    _ handler: inout H
  ) {
    guard wants(number, slot) else { return }
    peers.flows[slot].forgetPieces(pool: &pool)
    if peers.flows[slot].reassembly?.givesWay(to: number) ?? false { counters.piecesEvicted &+= 1 }
    var outcome = peers.flows[slot].reassemble(
      number, isMessages: isMessages, offset: offset, total: total, payload, pool: &pool)
    if case .poolExhausted = outcome, peers.flows[slot].isUrgent(number, isMessages: isMessages), reclaimKeptCell() {
      outcome = peers.flows[slot].reassemble(
        number, isMessages: isMessages, offset: offset, total: total, payload, pool: &pool)
    }
    switch outcome {
    case .incomplete: break
    case .incompleteInKept: pool.keptCellHolders.note(peers.rows[slot].connectionID, now: now)
    case .malformed: counters.malformed &+= 1
    case .poolExhausted: refuse(number, slot)
    case .complete(let cell):
      // The cell stays in use until the callback has returned.
      if isMessages {
        receiveMessages(number, unsafe pool.bytes(cell, total), slot, &handler)
      } else {
        _ = receiveSegment(number, isFin: isFin, unsafe pool.bytes(cell, total), slot, &handler)
      }
      pool.release(cell)
    }
  }

  /// One whole segment, of either version.
  /// - Returns: whether it is kept, or was before: what is not must not be acknowledged.
  mutating func receiveSegment<H: Handler>(
    _ number: UInt32, isFin: Bool, _ payload: RawSpan, _ slot: Slot, _ handler: inout H
  ) -> Bool {
    switch peers.flows[slot].receive.accept(number, isFin: isFin, payload, pool: &pool) {
    case .direct:
      if payload.byteCount > 0 { handler.received(peer(slot), payload, engine: &self) }
      guard peers.rows[slot].phase == .established else { return true }
      if peers.flows[slot].receive.deliveredDirectly(pool: &pool) { deliverStored(slot, &handler) }
    case .storedInOrder:
      deliverStored(slot, &handler)
    case .storedEarly(let opensGap):
      if opensGap {
        peers.flows[slot].ack.gapOpened(roundTrip: peers.flows[slot].roundTrip.shortest, now: now)
      }
    case .duplicate:
      counters.duplicates &+= 1
      peers.flows[slot].ack.duplicate()
    case .beyondWindow:
      counters.beyondWindow &+= 1
      return false
    case .poolExhausted:
      refuse(number, slot)
      return false
    case .violation:
      counters.beyondFin &+= 1
      end(slot, .protocolViolation, &handler)
      return false
    }
    return true
  }

  /// Hands over what waits in order, and the end of the stream when its turn has come.
  mutating func deliverStored<H: Handler>(_ slot: Slot, _ handler: inout H) {
    while peers.rows[slot].phase.delivers, let (place, length) = peers.flows[slot].receive.nextStored() {
      // The cell stays in use until the callback has returned.
      if length > 0 { handler.received(peer(slot), unsafe pool.bytes(place, length), engine: &self) }
      guard peers.rows[slot].phase.delivers else { return }
      peers.flows[slot].receive.storedDelivered(to: &pool)
    }
    guard peers.rows[slot].phase.delivers, peers.flows[slot].receive.takeFin() else { return }
    handler.finished(peer(slot), engine: &self)
    endIfFinished(slot, &handler)
  }
}

// The way in, in the order of a datagram's steps: sort by connection id and open a whole batch (`Engine+Open`), dispatch each
// segment, judge each touched peer once.

extension Engine {
  /// Takes a received batch: opens its datagrams in place and calls the handler with what they bring.
  package mutating func receive<H: Handler>(_ batch: inout DatagramBatch, now: Instant, handler: inout H) {
    self.now = max(self.now, now)
    if batch.count > 1, configuration.prefetchesPeers { prefetch(batch) }
    for index in 0..<batch.count {
      let message = batch.messages[index]
      let size = max(message.segmentSize, 1)
      counters.bytesReceived &+= UInt64(message.length)
      var at = 0
      while at < message.length {
        let end = sortRun(batch, message, index, from: at, size: size)
        if openCount == Self.jobsPerBatch { openAndDispatch(&batch, &handler) }
        // Behind a run of one connection there may be one of another.
        if end > at {
          at = end
          continue
        }
        let length = min(size, message.length - at)
        counters.datagramsReceived &+= 1
        sort(&batch, message, index, offset: message.offset + at, length: length, &handler)
        at += length
        if openCount == Self.jobsPerBatch { openAndDispatch(&batch, &handler) }
      }
    }
    openAndDispatch(&batch, &handler)
    if held.isReady { openHeld(&handler) }
    if !isJudgedBehindTransmit { settleTouched(&handler) }
  }

  /// Whether the batch has touched one peer only, and that is about to send: then it is judged behind that, where nobody waits.
  @inline(__always)
  private var isJudgedBehindTransmit: Bool {
    guard touched.count == 1, let entry = touched.first, !poolHasRefused, !isPoolFull else { return false }
    let slot = Int(entry)
    return peers.rows[slot].isReady && peers.rows[slot].phase == .established && peers.flows.contains(slot)
      && peers.flows[slot].wheelDeadline != .never && !peers.flows[slot].receive.reopened(pool)
      && !peers.flows[slot].needsLongerReplayWindow
  }

  // MARK: Segment

  /// One authentic plaintext of an established peer.
  mutating func dispatch<H: Handler>(
    _ plaintext: RawSpan, _ slot: Int, packetNumber: UInt64, ecn: UInt8, from source: Address, _ handler: inout H
  ) {
    let segment: Segment
    do throws(Malformed) { segment = try Segment.parse(plaintext) } catch {
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
    if segment.kind == .ack || segment.ackOptionLength > 0 {
      let bytes =
        segment.kind == .ack
        ? payload
        : plaintext.extracting(segment.ackOptionOffset + 7..<segment.ackOptionOffset + segment.ackOptionLength)
      do throws(Malformed) { block = try AckBlock.parse(bytes) } catch {
        counters.acksMalformed &+= 1
        return
      }
    }
    if segment.isAckEliciting {
      peers.flows[slot].owesAck(
        packetNumber, ecn: ecn, atOnce: segment.has(SegmentFlag.ackNow) || segment.has(SegmentFlag.fin),
        maximumDelay: configuration.maximumAckDelay, now: now)
    }
    switch segment.kind {
    case .data:
      receiveData(segment, payload, slot, &handler)
    case .ack:
      if let block {
        receiveAck(block, lastInOrder: segment.number, window: segment.window, payload, slot, &handler)
      }
    case .control:
      receiveControl(segment.controlKind, token: segment.token, payload, slot, from: source, &handler)
    }
    if let block, segment.kind != .ack, peers.rows[slot].phase == .established {
      let option = plaintext.extracting(
        segment.ackOptionOffset..<segment.ackOptionOffset + segment.ackOptionLength)
      let window = UInt32(option.bigEndian16(4)) << 8 | UInt32(option.byte(6))
      receiveAck(
        block, lastInOrder: option.bigEndian32(0), window: window, option.extracting(7..<option.byteCount), slot,
        &handler)
    }
  }

  // MARK: Data

  /// What most segments are, without a detour: plain data, and the next in order.
  @inline(__always)
  mutating func receivePlain<H: Handler>(
    _ number: UInt32, _ plaintext: RawSpan, _ slot: Int, packetNumber: UInt64, ecn: UInt8, _ handler: inout H
  ) {
    let payload = plaintext.extracting(Segment.dataLength..<plaintext.byteCount)
    peers.flows[slot].owesAck(
      packetNumber, ecn: ecn, atOnce: false, maximumDelay: configuration.maximumAckDelay, now: now)
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
    if peers.flows[slot].receive.deliveredDirectly() { deliverStored(slot, &handler) }
  }

  @inline(__always)
  private mutating func receiveData<H: Handler>(
    _ segment: Segment, _ payload: RawSpan, _ slot: Int, _ handler: inout H
  ) {
    if segment.fragmentTotal > 0 {
      receivePiece(
        segment.number, isFin: segment.has(SegmentFlag.fin), offset: Int(segment.fragmentOffset),
        total: Int(segment.fragmentTotal), payload, slot, &handler)
      return
    }
    // A segment that does not fit a cell of the pool was never allowed.
    guard payload.byteCount <= pool.longestPayload else {
      counters.malformed &+= 1
      return
    }
    _ = receiveSegment(segment.number, isFin: segment.has(SegmentFlag.fin), payload, slot, &handler)
  }

  /// Nothing is acknowledged before the whole segment is there.
  private mutating func receivePiece<H: Handler>(
    _ number: UInt32, isFin: Bool, offset: Int, total: Int, _ payload: RawSpan, _ slot: Int, _ handler: inout H
  ) {
    switch peers.flows[slot].receive.need(number) {
    case .wanted: break
    case .duplicate:
      counters.duplicates &+= 1
      duplicateReceived(slot)
      return
    case .beyondWindow:
      counters.beyondWindow &+= 1
      return
    }
    peers.flows[slot].forgetPieces(pool: &pool)
    if peers.flows[slot].reassembly?.givesWay(to: number) ?? false { counters.piecesEvicted &+= 1 }
    var outcome = peers.flows[slot].reassemble(number, offset: offset, total: total, payload, pool: &pool)
    if case .poolExhausted = outcome, peers.flows[slot].receive.takesDirectly,
      number == peers.flows[slot].receive.next, reclaimKeptCell()
    {
      outcome = peers.flows[slot].reassemble(number, offset: offset, total: total, payload, pool: &pool)
    }
    switch outcome {
    case .incomplete: break
    case .incompleteInKept: keptCellHolders.note(peers.rows[slot].connectionID, now: now)
    case .malformed: counters.malformed &+= 1
    case .poolExhausted: refuse(number, slot)
    case .complete(let cell):
      // The cell stays in use until the callback has returned.
      _ = receiveSegment(number, isFin: isFin, unsafe pool.bytes(cell, total), slot, &handler)
      pool.release(cell)
    }
  }

  /// One whole segment, of either version.
  /// - Returns: whether it is kept, or was before: what is not must not be acknowledged.
  mutating func receiveSegment<H: Handler>(
    _ number: UInt32, isFin: Bool, _ payload: RawSpan, _ slot: Int, _ handler: inout H
  ) -> Bool {
    switch peers.flows[slot].receive.accept(number, isFin: isFin, payload, pool: &pool) {
    case .direct:
      if payload.byteCount > 0 { handler.received(peer(slot), payload, engine: &self) }
      guard peers.rows[slot].phase == .established else { return true }
      if peers.flows[slot].receive.deliveredDirectly() { deliverStored(slot, &handler) }
    case .storedInOrder:
      deliverStored(slot, &handler)
    case .storedEarly(let opensGap):
      if opensGap {
        peers.flows[slot].ack.gapOpened(roundTrip: peers.flows[slot].roundTrip.shortest, now: now)
      }
    case .duplicate:
      counters.duplicates &+= 1
      duplicateReceived(slot)
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
  mutating func deliverStored<H: Handler>(_ slot: Int, _ handler: inout H) {
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

  // MARK: ACK

  /// - Parameter bytes: those that `block` was read from.
  private mutating func receiveAck<H: Handler>(
    _ block: AckBlock, lastInOrder: UInt32, window: UInt32, _ bytes: RawSpan, _ slot: Int, _ handler: inout H
  ) {
    // 0 also stands for "none yet".
    guard block.largestPacketNumber == 0 || block.largestPacketNumber < peers.rows[slot].sendPacketNumber else {
      counters.acksOfUnsent &+= 1
      end(slot, .protocolViolation, &handler)
      return
    }
    // An older one may come late; what was given or taken back since holds.
    let highest = peers.flows[slot].highestAcknowledged
    let isNewest = block.largestPacketNumber > highest
    if isNewest, (lastInOrder &+ window).precedes(peers.flows[slot].send.edge) { counters.windowsShrunk &+= 1 }
    let outcome: SendWindow.Outcome
    do throws(SendWindow.Violation) {
      outcome = try peers.flows[slot].send.acknowledge(
        lastInOrder: lastInOrder, window: window, block: block, bytes,
        lossDelay: peers.flows[slot].roundTrip.lossDelay, tellsNewest: true, isNewest: isNewest,
        isOvertaken: block.largestPacketNumber < highest, now: now)
    } catch {
      counters.acksOfUnsent &+= 1
      end(slot, .protocolViolation, &handler)
      return
    }
    peers.flows[slot].acknowledged(outcome, block, next: peers.rows[slot].sendPacketNumber, now: now)
    reportAcknowledged(slot, &handler)
    endIfFinished(slot, &handler)
  }

  mutating func reportAcknowledged<H: Handler>(_ slot: Int, _ handler: inout H) {
    let offset = peers.flows[slot].send.acknowledgedOffset
    guard offset > peers.flows[slot].reportedOffset else { return }
    peers.flows[slot].reportedOffset = offset
    handler.acknowledged(peer(slot), upTo: offset, engine: &self)
  }

  // MARK: After the batch

  /// Judges every touched peer once: what it owes, what it may send, when to wake.
  mutating func settleTouched<H: Handler>(_ handler: inout H, isBehindTransmit: Bool = false) {
    reportPool(&handler)
    while let entry = touched.popFirst() {
      let slot = Int(entry)
      guard peers.rows[slot].isTouched else { continue }
      peers.rows[slot].isTouched = false
      if peers.rows[slot].phase == .established, isKeyExhausted(slot), wakes(slot) {
        end(slot, .keyExhausted, &handler)
      }
      settle(slot, isBehindTransmit: isBehindTransmit)
    }
  }

  // Not generic: a specialisation in another module does not inline what it calls, and each call would then have a copy
  // of the flow made, 3 KB.
  private mutating func settle(_ slot: Int, isBehindTransmit: Bool) {
    guard peers.flows.contains(slot) else {
      if peers.rows[slot].phase == .established { arm(slot) }
      return
    }
    // It sends nothing any more.
    if peers.rows[slot].phase == .draining {
      arm(slot)
      return
    }
    peers.flows[slot].growReplayWindow()
    if peers.flows[slot].receive.reopened(pool) { peers.flows[slot].ack.demand() }
    // Who is about to send is judged again then: most of what it waits for by now is over, like the ACK that goes along. Should the
    // socket be full for long, a wheel calls all the same.
    let isArmed = min(peers.flows[slot].wheelDeadline, peers.rows[slot].wheelDeadline) != .never
    let isJudgedAgain = !isBehindTransmit && isArmed && peers.rows[slot].phase == .established
    if isJudgedAgain, peers.rows[slot].isReady { return }
    if peers.flows[slot].mtu.wantsSearch, peers.rows[slot].phase == .established {
      peers.flows[slot].mtu.search(challenge: randomWord(), now: now)
    }
    peers.flows[slot].forgetPieces(pool: &pool)
    if peers.flows[slot].hasWork(now: now) { makeReady(slot) }
    if isJudgedAgain, peers.rows[slot].isReady { return }
    restIfQuiet(slot)
    arm(slot)
  }

  @inline(__always)
  func peer(_ slot: Int) -> Peer {
    let handle = peers.flows[slot].handle
    return Peer(connectionID: handle == 0 ? peers.rows[slot].connectionID : handle)
  }

  // MARK: End of a connection

  mutating func endIfFinished<H: Handler>(_ slot: Int, _ handler: inout H) {
    guard peers.rows[slot].phase == .established, peers.flows[slot].isFinished else { return }
    end(slot, .finished, &handler)
  }

  /// The connection is over for its user, at once or as soon as the reader has had what was acknowledged; then the slot lingers.
  ///
  /// - Parameter text: for people at the peer, where it is told.
  mutating func end<H: Handler>(_ slot: Int, _ reason: CloseReason, telling text: String = "", _ handler: inout H) {
    if isUnread(slot, reason) {
      drain(slot, reason)
      if let code = reason.toldCode { owe(slot, close: code, text) }
      handler.draining(peer(slot), reason: reason, engine: &self)
      return
    }
    let event: Phase.Event =
      switch reason {
      case .handshakeTimeout, .idleTimeout: .abandoned
      case .keyRefused, .handshakeFailed: .refused
      case .finished, .local, .remote, .protocolViolation, .unsupported, .keyExhausted, .sequenceExhausted,
        .unreadTimeout:
        .closed
      }
    let wasDialling = peers.rows[slot].phase == .dialling
    if wasDialling { dropFollowers(of: slot, but: slot) }
    move(slot, event)
    // One whose reader was late has told it before.
    if let code = reason.toldCode, !peers.rows[slot].isOriginal, !peers.flows[slot].drain.isOver {
      // Told to the peer like a close of our own.
      peers.flows[slot].isClosedByUser = true
      owe(slot, close: code, text)
    }
    releaseCells(slot)
    // Whoever has been silent for so long is told nothing more.
    if reason == .handshakeTimeout { peers.dropHandshake(slot) }
    peers.flows[slot].linger(wasDialling: wasDialling, now: now)
    if wasDialling { counters.handshakesFailed &+= 1 }
    touch(slot)
    handler.closed(peer(slot), reason: reason, engine: &self)
  }
}

extension Engine {
  /// The peer is told of an end that it does not know of. The original knows no CLOSE.
  private mutating func owe(_ slot: Int, close code: UInt32, _ text: String) {
    guard !peers.rows[slot].isOriginal else { return }
    peers.flows[slot].owesClose = true
    peers.flows[slot].closeCode = code
    peers.flows[slot].closeReason = text
    makeReady(slot)
  }
}

extension CloseReason {
  /// The code that tells the peer of an end which it does not know of.
  fileprivate var toldCode: UInt32? {
    switch self {
    case .protocolViolation: CloseCode.violation
    case .unsupported: CloseCode.unknownCritical
    case .keyExhausted: CloseCode.exhausted
    case .finished, .local, .remote, .handshakeTimeout, .idleTimeout, .unreadTimeout, .keyRefused, .handshakeFailed,
      .sequenceExhausted:
      nil
    }
  }
}

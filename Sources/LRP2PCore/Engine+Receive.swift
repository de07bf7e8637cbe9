// The way in, in the order of a datagram's steps: sort by connection id, open a whole batch, dispatch each segment,
// judge each touched peer once.

extension Engine {
  /// Takes a received batch: opens its datagrams in place and calls the handler with what they bring.
  package mutating func receive<H: Handler>(_ batch: inout DatagramBatch, now: Instant, handler: inout H) {
    self.now = max(self.now, now)
    if configuration.prefetchesPeers { prefetch(batch) }
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
    settleTouched(&handler)
  }

  // MARK: 1. Connection id

  /// What most datagrams are becomes jobs for the suite at little cost: new ones of one established connection, as many as
  /// stand side by side, under the key in use.
  /// - Returns: where in the message the first other one begins.
  private mutating func sortRun(
    _ batch: borrowing DatagramBatch, _ message: Message, _ index: Int, from start: Int, size: Int
  ) -> Int {
    guard message.length - start >= Datagram.minimumLength else { return start }
    let id = batch.arena.bytes(message.offset + start, 8).bigEndian64(0)
    guard let slot = peers.slot(of: id), peers.rows[slot].phase == .established, peers.rows[slot].isConfirmed,
      !peers.rows[slot].isOriginal, peers.flows.contains(slot)
    else { return start }
    let row = PeerTable.openingRow(slot)
    guard peers.keys[row].aead != 0 else { return start }
    let (epochBits, epoch) = (peers.flows[slot].epochs.bits, peers.flows[slot].epochs.receiving)
    var count = openCount
    var at = start
    while at < message.length, count < Self.jobsPerBatch {
      let length = min(size, message.length - at)
      guard length >= Datagram.minimumLength, length <= Datagram.maximumLength else { break }
      let header = batch.arena.bytes(message.offset + at, Datagram.headerLength)
      let packetNumber = header.bigEndian64(8)
      guard header.bigEndian64(0) == id, packetNumber >> epochBits == epoch,
        peers.flows[slot].replay.accepts(packetNumber)
      else { break }
      var job = AEADJob()
      job.offset = message.offset + at
      job.length = length
      job.key = row
      job.packetNumber = packetNumber
      openJobs[count] = job
      arrivals[count] = Arrival(connectionID: id, slot: Int32(slot), message: Int32(index), ecn: message.ecn)
      count += 1
      at += length
    }
    counters.datagramsReceived &+= UInt64(count - openCount)
    openCount = count
    return at
  }

  /// A datagram of ours becomes a job for the suite; a handshake message is handled at once.
  mutating func sort<H: Handler>(
    _ batch: inout DatagramBatch, _ message: Message, _ index: Int, offset: Int, length: Int,
    _ handler: inout H
  ) {
    guard length >= Datagram.minimumLength, length <= Datagram.maximumLength else {
      counters.wrongLength &+= 1
      return
    }
    let id = batch.arena.bytes(offset, 8).bigEndian64(0)
    guard let slot = peers.slot(of: id) ?? originalSlot(id, from: message.address) else {
      receiveHandshake(batch.arena.bytes(offset, length), id: id, from: message.address, &handler)
      return
    }
    switch peers.rows[slot].phase {
    case .dialling:
      receiveMessage2(batch.arena.bytes(offset, length), slot, from: message.address, &handler)
    case .established, .lingering:
      if !peers.rows[slot].isConfirmed, repeatsMessage2(batch.arena.bytes(offset, length), slot) {
        counters.datagramsAccepted &+= 1
        return
      }
      let packetNumber = batch.arena.bytes(offset + 8, 8).bigEndian64(0)
      // A dial that has failed has none.
      guard peers.keys[PeerTable.openingRow(slot)].aead != 0 else {
        counters.late &+= 1
        return
      }
      guard acceptsPacketNumber(packetNumber, slot) else {
        counters.replays &+= 1
        duplicateReceived(slot)
        return
      }
      var row = PeerTable.openingRow(slot)
      if let epoch = otherEpoch(packetNumber, slot) {
        if scratchRowsUsed == PeerTable.scratchRows {
          openAndDispatch(&batch, &handler)
          // A callback may have ended the connection.
          guard peers.slot(of: id) == slot else {
            counters.late &+= 1
            return
          }
        }
        guard let other = openingRow(slot, epoch: epoch) else {
          counters.keyUnavailable &+= 1
          failedAuthentication(slot)
          return
        }
        row = other
      }
      openJobs[openCount].offset = offset
      openJobs[openCount].length = length
      openJobs[openCount].key = row
      openJobs[openCount].packetNumber = packetNumber
      openJobs[openCount].authenticatesHeader = !peers.rows[slot].isOriginal
      arrivals[openCount] = Arrival(
        connectionID: peers.rows[slot].connectionID, slot: Int32(slot), message: Int32(index), ecn: message.ecn)
      openCount += 1
    case .answering:
      // Data that has overtaken message 3.
      hold(batch.arena.bytes(offset, length), slot, from: message.address)
    case .free, .forwarding:
      counters.late &+= 1
    }
  }

  // MARK: 2. Authentication

  mutating func openAndDispatch<H: Handler>(_ batch: inout DatagramBatch, _ handler: inout H) {
    let count = openCount
    guard count > 0 else { return }
    suite.open(&openJobs, count: count, in: &batch.arena, keys: peers.keys)
    // What is refused below is taken off again, so that the rule costs nothing.
    counters.datagramsAccepted &+= UInt64(count)
    for index in 0..<count {
      let arrival = arrivals[index]
      let slot = Int(arrival.slot)
      let job = openJobs[index]
      let row = peers.rows[slot]
      // A callback for an earlier datagram, or a handshake, may have ended the connection.
      guard row.connectionID == arrival.connectionID else {
        counters.late &+= 1
        counters.datagramsAccepted &-= 1
        continue
      }
      guard job.opened else {
        counters.authenticationFailures &+= 1
        counters.datagramsAccepted &-= 1
        failedAuthentication(slot)
        continue
      }
      if !peers.flows.contains(slot) { wake(slot) }
      guard peers.flows[slot].authenticated(job.packetNumber, now: now) else {
        counters.replays &+= 1
        counters.datagramsAccepted &-= 1
        continue
      }
      if job.key < PeerTable.scratchRows {
        adoptKey(slot, epoch: peers.flows[slot].epochs.epoch(of: job.packetNumber), row: job.key)
      }
      if !row.isTouched { touch(slot) }
      if batch.messages[Int(arrival.message)].address != row.address {
        heardElsewhere(
          slot, from: batch.messages[Int(arrival.message)].address, bytes: job.length, packetNumber: job.packetNumber)
      }
      if !row.isConfirmed {
        peers.rows[slot].isConfirmed = true
        peers.dropHandshake(slot)
      }
      let plaintext = batch.arena.bytes(
        job.offset + Datagram.headerLength, job.length - Datagram.headerLength - Datagram.tagLength)
      switch (row.phase == .established, row.isOriginal) {
      case (true, false):
        if let number = Segment.plainNumber(plaintext) {
          receivePlain(number, plaintext, slot, packetNumber: job.packetNumber, ecn: arrival.ecn, &handler)
        } else {
          dispatch(
            plaintext, slot, packetNumber: job.packetNumber, ecn: arrival.ecn,
            from: batch.messages[Int(arrival.message)].address, &handler)
        }
      case (false, false): receiveLate(plaintext, slot, packetNumber: job.packetNumber)
      case (true, true): dispatchOriginal(plaintext, slot, &handler)
      case (false, true): receiveLateOriginal(plaintext, slot)
      }
    }
    openCount = 0
    wipeScratchRows()
  }

  // MARK: 3. Segment

  /// One authentic plaintext of an established peer.
  private mutating func dispatch<H: Handler>(
    _ plaintext: RawSpan, _ slot: Int, packetNumber: UInt64, ecn: UInt8, from source: Address, _ handler: inout H
  ) {
    let segment: Segment
    do throws(Malformed) { segment = try Segment.parse(plaintext) } catch {
      counters.malformed &+= 1
      return
    }
    if segment.isAckEliciting {
      peers.flows[slot].owesAck(
        packetNumber, ecn: ecn, atOnce: segment.has(SegmentFlag.ackNow) || segment.has(SegmentFlag.fin),
        maximumDelay: configuration.maximumAckDelay, now: now)
    }
    let payload = plaintext.extracting(segment.payloadOffset..<plaintext.byteCount)
    switch segment.kind {
    case .data:
      receiveData(segment, payload, slot, &handler)
    case .ack:
      receiveAck(lastInOrder: segment.number, window: segment.window, payload, slot, &handler)
    case .control:
      receiveControl(segment.controlKind, token: segment.token, payload, slot, from: source, &handler)
    }
    if segment.ackOptionLength > 0, peers.rows[slot].phase == .established {
      let option = plaintext.extracting(
        segment.ackOptionOffset..<segment.ackOptionOffset + segment.ackOptionLength)
      let window = UInt32(option.bigEndian16(4)) << 8 | UInt32(option.byte(6))
      receiveAck(
        lastInOrder: option.bigEndian32(0), window: window, option.extracting(7..<option.byteCount), slot, &handler)
    }
  }

  // MARK: 4. Data

  /// What most segments are, without a detour: plain data, and the next in order.
  @inline(__always)
  private mutating func receivePlain<H: Handler>(
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
    if peers.flows[slot].reassembly?.givesWay(to: number) ?? false { counters.piecesEvicted &+= 1 }
    switch peers.flows[slot].reassemble(number, offset: offset, total: total, payload, pool: &pool) {
    case .incomplete: break
    case .malformed: counters.malformed &+= 1
    case .poolExhausted: refuseForPool()
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
      refuseForPool()
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
    while peers.rows[slot].phase == .established, !peers.flows[slot].isClosedByUser,
      let (cell, length) = peers.flows[slot].receive.nextStored()
    {
      // The cell stays in use until the callback has returned.
      if length > 0 { handler.received(peer(slot), unsafe pool.bytes(cell, length), engine: &self) }
      guard peers.rows[slot].phase == .established else { return }
      peers.flows[slot].receive.storedDelivered()
      pool.release(cell)
    }
    guard peers.rows[slot].phase == .established, !peers.flows[slot].isClosedByUser,
      peers.flows[slot].receive.takeFin()
    else { return }
    handler.finished(peer(slot), engine: &self)
    endIfFinished(slot, &handler)
  }

  // MARK: 5. ACK

  private mutating func receiveAck<H: Handler>(
    lastInOrder: UInt32, window: UInt32, _ bytes: RawSpan, _ slot: Int, _ handler: inout H
  ) {
    let block: AckBlock
    do throws(Malformed) { block = try AckBlock.parse(bytes) } catch {
      counters.acksMalformed &+= 1
      return
    }
    // 0 also stands for "none yet".
    guard block.largestPacketNumber == 0 || block.largestPacketNumber < peers.rows[slot].sendPacketNumber else {
      counters.acksOfUnsent &+= 1
      end(slot, .protocolViolation, &handler)
      return
    }
    // An older one may come late; what was given since holds.
    if block.largestPacketNumber > peers.flows[slot].highestAcknowledged,
      (lastInOrder &+ window).precedes(peers.flows[slot].send.edge)
    {
      counters.windowsShrunk &+= 1
    }
    let outcome: SendWindow.Outcome
    do throws(SendWindow.Violation) {
      outcome = try peers.flows[slot].send.acknowledge(
        lastInOrder: lastInOrder, window: window, block: block, bytes,
        lossDelay: peers.flows[slot].roundTrip.lossDelay, tellsNewest: true, now: now)
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

  // MARK: 6. After the batch

  /// Judges every touched peer once: what it owes, what it may send, when to wake.
  mutating func settleTouched<H: Handler>(_ handler: inout H) {
    reportPool(&handler)
    while let entry = touched.popFirst() {
      let slot = Int(entry)
      guard peers.rows[slot].isTouched else { continue }
      peers.rows[slot].isTouched = false
      if peers.rows[slot].phase == .established, isKeyExhausted(slot) {
        wake(slot)
        end(slot, .keyExhausted, &handler)
      }
      settle(slot)
    }
  }

  // Not generic: a specialisation in another module does not inline what it calls, and each call would then have a copy
  // of the flow made, 3 KB.
  private mutating func settle(_ slot: Int) {
    guard peers.flows.contains(slot) else {
      if peers.rows[slot].phase == .established { arm(slot) }
      return
    }
    peers.flows[slot].growReplayWindow()
    if peers.flows[slot].mtu.wantsSearch, peers.rows[slot].phase == .established {
      peers.flows[slot].mtu.search(challenge: randomWord(), now: now)
    }
    if peers.flows[slot].reassembly != nil {
      let next = peers.flows[slot].receive.next
      peers.flows[slot].reassembly?.forget(before: next, pool: &pool)
    }
    if peers.flows[slot].receive.reopened { peers.flows[slot].ack.demand() }
    if peers.flows[slot].hasWork(now: now) { makeReady(slot) }
    if peers.rows[slot].phase == .established { _ = restIfQuiet(slot) }
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

  /// The connection is over for its user; the slot lingers.
  mutating func end<H: Handler>(_ slot: Int, _ reason: CloseReason, _ handler: inout H) {
    let event: Phase.Event =
      switch reason {
      case .handshakeTimeout, .idleTimeout: .abandoned
      case .keyRefused, .handshakeFailed: .refused
      case .finished, .local, .remote, .protocolViolation, .keyExhausted, .sequenceExhausted: .closed
      }
    let wasDialling = peers.rows[slot].phase == .dialling
    if wasDialling { dropFollowers(of: slot, but: slot) }
    move(slot, event)
    if reason == .protocolViolation, !peers.rows[slot].isOriginal {
      // Told to the peer like a close of our own.
      peers.flows[slot].isClosedByUser = true
      peers.flows[slot].owesClose = true
      peers.flows[slot].closeCode = Control.protocolViolationCode
      makeReady(slot)
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

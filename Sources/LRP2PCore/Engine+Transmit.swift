// The way out: ready peers in turn, each a message's worth; payload pulled straight into the outgoing datagram,
// equal sizes side by side; the whole batch sealed at the end.

extension Engine {
  /// Fills `batch` with what ready peers have to send; an empty batch means that nobody has anything.
  package mutating func transmit<H: Handler>(into batch: inout DatagramBatch, now: Instant, handler: inout H) {
    compose(&batch, now: now, handler: &handler)
    composed(&handler)
  }

  /// The first part of `transmit`, behind which the batch can leave. `composed` has to follow before anything else, unless the
  /// batch has nowhere to go any more.
  package mutating func compose<H: Handler>(_ batch: inout DatagramBatch, now: Instant, handler: inout H) {
    self.now = max(self.now, now)
    batch.ecn = configuration.marksECN ? 2 : 0
    if !cookieReplies.isEmpty { sendCookieReplies(into: &batch) }
    if !closeOfResting.slots.isEmpty { closeResting() }
    // Peers that get ready meanwhile have their turn in the next call.
    var turns = ready.count
    while turns > 0, batch.count < batch.messages.count, let entry = ready.popFirst() {
      let slot = Int(entry)
      guard peers.rows[slot].isReady else {
        turns -= 1
        continue
      }
      // Whoever comes behind it makes it no lone one, itself included.
      tellLoneSend()
      peers.rows[slot].isReady = false
      let used = batch.used
      if send(slot, into: &batch, &handler) {
        turns -= 1
        continue
      }
      makeReady(slot)
      // Neither done nor able to place anything: what it has does not fit this batch any more.
      if batch.used == used { break }
    }
    seal(&batch)
  }

  /// The second part: judges whose datagrams the batch has. The other side has them meanwhile, if they have left.
  package mutating func composed<H: Handler>(_ handler: inout H) {
    tellLoneSend()
    settleTouched(&handler, isBehindTransmit: true)
  }

  @inline(__always)
  private mutating func tellLoneSend() {
    guard let lone = loneSend else { return }
    loneSend = nil
    peers.flows[lone.slot].sent(lone.segment, packetNumber: lone.packetNumber, bytes: lone.bytes, now: now)
    peers.flows[lone.slot].isOutOfData()
  }

  /// - Returns: whether the peer has had all that it may send now.
  private mutating func send<H: Handler>(_ slot: Int, into batch: inout DatagramBatch, _ handler: inout H) -> Bool {
    if peers.rows[slot].isResumed {
      peers.rows[slot].isResumed = false
      deliverResumed(slot, &handler)
    }
    if peers.rows[slot].owesHandshake, !sendHandshake(slot, into: &batch) { return false }
    switch peers.rows[slot].phase {
    case .free, .answering, .forwarding:
      return true
    case .draining:
      return !peers.flows[slot].owesClose || sendClose(slot, into: &batch)
    case .dialling:
      if peers.flows[slot].isClosedByUser { end(slot, .local(code: peers.flows[slot].closeCode), &handler) }
      return true
    case .closing:
      // The original knows no CLOSE, and who has drained has nobody to tell.
      guard peers.rows[slot].isOriginal || peers.flows[slot].drain.isOver || sendClose(slot, into: &batch) else {
        return false
      }
      end(slot, .local(code: peers.flows[slot].closeCode), &handler)
      return true
    case .established:
      let before = peers.flows[slot].lastElicitingSent
      let isDone =
        sendData(slot, into: &batch, &handler) && sendAck(slot, into: &batch)
        && (!peers.flows[slot].owesControl || sendPings(slot, into: &batch) && sendPath(slot, into: &batch))
      if peers.rows[slot].phase == .established {
        touch(slot)
        if before < now, peers.flows[slot].lastElicitingSent == now, awaitsConfirmation(slot) {
          repeatMessage3(slot)
        }
      }
      return isDone
    case .lingering:
      if peers.flows[slot].owesClose, !sendClose(slot, into: &batch) { return false }
      return sendAck(slot, into: &batch)
    }
  }

  // MARK: Data

  /// Bytes of data that a peer may send in its turn: a message, or less where many wait for theirs. Who may send a small
  /// window only, and has it acknowledged long before its next turn, would else get as much less than the others.
  private var turnBytes: Int {
    if ready.isEmpty { return Self.roundBytes }
    return max(Self.roundBytes / ready.count, Self.leastTurn * configuration.maximumDatagram)
  }
  /// What all turns together come to at most, as long as nobody's is shorter than so many datagrams.
  private static var roundBytes: Int { 4 << 20 }
  private static var leastTurn: Int { 8 }

  /// One message's worth of data: probes, then what was lost, then what is new.
  /// - Returns: `false` when there is more to send, or no room.
  private mutating func sendData<H: Handler>(
    _ slot: Int, into batch: inout DatagramBatch, _ handler: inout H
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
      if peers.rows[slot].isOriginal, !permitsOriginal(segment, slot, &handler) { return true }
      var flags: UInt8 = 0
      if peers.flows[slot].send.isFirst(segment.number) { flags |= SegmentFlag.syn }
      if segment.isFin { flags |= SegmentFlag.fin }
      if segment.isRetransmission { flags |= SegmentFlag.rto }
      if isProbe, !peers.rows[slot].isOriginal { flags |= SegmentFlag.ackNow }
      let isFlush = peers.flows[slot].isFlushed && peers.flows[slot].isLast(segment)
      if isFlush { flags |= SegmentFlag.ackNow }
      let length = Datagram.headerLength + Segment.dataLength + segment.length + Datagram.tagLength
      let packetNumber: UInt64
      if segment.length > peers.flows[slot].capacity {
        guard let last = sendPieces(segment, flags: flags, slot, into: &batch, &handler) else { return false }
        packetNumber = last
      } else if takesAck(segment, isAgain: isProbe || segment.isRetransmission, slot) {
        guard let number = sendWithAck(segment, flags: flags, slot, into: &batch, &handler) else { return false }
        packetNumber = number
      } else {
        guard let place = append(length, slot, &batch) else { return false }
        packetNumber = begin(slot, place, length, &batch)
        var bytes = batch.arena.mutableBytes(
          place + Datagram.headerLength, Segment.dataLength + segment.length)
        Segment.writeData(flags: flags, sequence: segment.number, into: &bytes)
        if segment.length > 0 {
          var payload = bytes._mutatingExtracting(Segment.dataLength..<bytes.byteCount)
          handler.fill(peer(slot), offset: segment.offset, into: &payload)
        }
      }
      if isFlush { peers.flows[slot].isFlushed = false }
      if sealCount == 1, ready.isEmpty, !isProbe, !segment.isFin, peers.flows[slot].isLast(segment) {
        loneSend = LoneSend(slot: slot, segment: segment, packetNumber: packetNumber, bytes: length)
        peers.flows[slot].lastElicitingSent = now
        return true
      }
      peers.flows[slot].sent(segment, packetNumber: packetNumber, bytes: length, now: now)
      if segment.isRetransmission { counters.retransmissions &+= 1 }
      if isProbe { peers.flows[slot].probesOwed -= 1 }
      if isTurnOver(slot, first, end, &batch) { return false }
    }
  }

  /// A message each turn, so that every ready peer has its share of a batch. Who is left with the end of what it has, less than a
  /// segment, sends that, too: it would wait for all the others with little to say.
  private mutating func isTurnOver(_ slot: Int, _ first: Int, _ end: Int, _ batch: inout DatagramBatch) -> Bool {
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
  private mutating func nextSegment(_ slot: Int) -> SendWindow.Segment? {
    peers.flows[slot].nextSegment(now: now)
  }

  /// The newest outstanding segment first (its answer describes everything), then the oldest.
  private mutating func nextProbe(_ slot: Int) -> SendWindow.Segment? {
    let segment =
      peers.flows[slot].probesOwed == 2
      ? peers.flows[slot].send.newestOutstanding() : peers.flows[slot].send.oldestOutstanding()
    if segment == nil { peers.flows[slot].probesOwed -= 1 }
    return segment
  }

  // MARK: ACK

  /// A short data segment takes an ACK along, if one is owed: who answers a request needs no datagram beside the answer. What is
  /// sent again has one in any case, as that of the first time may have been lost with it. An ACK that tells of gaps goes alone,
  /// with room for all of them.
  @inline(__always)
  private func takesAck(_ segment: SendWindow.Segment, isAgain: Bool, _ slot: Int) -> Bool {
    segment.length + AckOption.longest <= peers.flows[slot].capacity && !peers.rows[slot].isOriginal
      && (peers.flows[slot].ack.goesAlong(now: now) || (isAgain && peers.flows[slot].ack.hasLargest))
      && !peers.flows[slot].receive.hasEarly
  }

  /// - Returns: the packet number; `nil` when there is no room.
  private mutating func sendWithAck<H: Handler>(
    _ segment: SendWindow.Segment, flags: UInt8, _ slot: Int, into batch: inout DatagramBatch, _ handler: inout H
  ) -> UInt64? {
    tuneReceiveWindow(slot)
    let header = peers.flows[slot].ack.header(now: now)
    let ack = AckOption { peers.flows[slot].receive.writeRuns(header: header, into: &$0) }
    let head = Segment.dataLength + ack.length
    let length = Datagram.headerLength + head + segment.length + Datagram.tagLength
    guard let place = append(length, slot, &batch) else { return nil }
    let packetNumber = begin(slot, place, length, &batch)
    var bytes = batch.arena.mutableBytes(place + Datagram.headerLength, head + segment.length)
    Segment.writeData(flags: flags, sequence: segment.number, into: &bytes)
    ack.write(
      lastInOrder: peers.flows[slot].receive.next &- 1, window: peers.flows[slot].receive.advertise(pool), into: &bytes)
    acknowledged(slot)
    if segment.length > 0 {
      var payload = bytes._mutatingExtracting(head..<bytes.byteCount)
      handler.fill(peer(slot), offset: segment.offset, into: &payload)
    }
    return packetNumber
  }

  private mutating func tuneReceiveWindow(_ slot: Int) {
    let roundTrip = peers.flows[slot].roundTrip.smoothed
    peers.flows[slot].receive.tune(roundTrip: roundTrip == 0 ? .milliseconds(100) : roundTrip, now: now)
  }

  @inline(__always)
  private mutating func sendAck(_ slot: Int, into batch: inout DatagramBatch) -> Bool {
    if peers.rows[slot].isOriginal { return sendOriginalAcks(slot, into: &batch) }
    guard peers.flows[slot].ack.isDue(now: now) || peers.flows[slot].owesFirstAck else { return true }
    return sendAckAlone(slot, into: &batch)
  }

  private mutating func sendAckAlone(_ slot: Int, into batch: inout DatagramBatch) -> Bool {
    let overhead = Datagram.headerLength + Segment.ackLength + Datagram.tagLength
    // Nothing tells that an ACK was too long for the path, so none is longer than what every path carries.
    let bound = PathMTU.base
    // Written at the end of what is used, then placed: an ACK is as long as what it tells.
    guard let space = batch.room(bound, for: peers.rows[slot].address, group: peers.rows[slot].messageGroup) else {
      return false
    }
    let header = peers.flows[slot].ack.header(now: now)
    tuneReceiveWindow(slot)
    var block = batch.arena.mutableBytes(space + Datagram.headerLength + Segment.ackLength, bound - overhead)
    let blockLength = peers.flows[slot].receive.writeRuns(header: header, into: &block)
    let length = overhead + blockLength
    guard let place = append(length, slot, &batch) else { return false }
    precondition(place == space, "an ACK stands where it was written")
    _ = begin(slot, place, length, &batch)
    var bytes = batch.arena.mutableBytes(place + Datagram.headerLength, Segment.ackLength)
    Segment.writeAck(
      flags: 0, lastInOrder: peers.flows[slot].receive.next &- 1, window: peers.flows[slot].receive.advertise(pool),
      into: &bytes)
    acknowledged(slot)
    return true
  }

  private mutating func acknowledged(_ slot: Int) {
    peers.flows[slot].ack.acknowledged(now: now)
    peers.flows[slot].owesFirstAck = false
  }

  // MARK: CONTROL

  private mutating func sendPings(_ slot: Int, into batch: inout DatagramBatch) -> Bool {
    if peers.rows[slot].isOriginal { return sendNudge(slot, into: &batch) }
    if peers.flows[slot].owesPing {
      guard sendControl(slot, Control.ping, token: 0, flags: SegmentFlag.ackNow, into: &batch) else { return false }
      peers.flows[slot].owesPing = false
      peers.flows[slot].awaitsPing = true
      peers.flows[slot].lastElicitingSent = now
    }
    if peers.flows[slot].pingToken != 0 {
      guard
        sendControl(slot, Control.ping, token: peers.flows[slot].pingToken, flags: SegmentFlag.ackNow, into: &batch)
      else { return false }
      peers.flows[slot].pingToken = 0
    }
    while let token = peers.flows[slot].pongs.first {
      guard sendControl(slot, Control.pong, token: token, flags: 0, into: &batch) else { return false }
      peers.flows[slot].pongs.removeFirst()
    }
    return true
  }

  private mutating func sendControl(
    _ slot: Int, _ kind: UInt16, token: UInt16, flags: UInt8, into batch: inout DatagramBatch
  ) -> Bool {
    // Now and then with a flag and an option that mean nothing, so that skipping what is unknown stays true of every peer.
    let random = randomWord()
    let optionLength = random & 3 == 0 ? 2 + Int(random >> 8 & 7) : 0
    let length = Datagram.headerLength + Segment.controlLength + optionLength + Datagram.tagLength
    guard let place = append(length, slot, &batch) else { return false }
    _ = begin(slot, place, length, &batch)
    var bytes = batch.arena.mutableBytes(place + Datagram.headerLength, Segment.controlLength + optionLength)
    Segment.writeControl(
      flags: flags | (optionLength > 0 ? SegmentFlag.ignored : 0), kind: kind, token: token, into: &bytes)
    if optionLength > 0 {
      bytes.setByte(0, UInt8(Segment.controlLength + optionLength))
      bytes.setByte(Segment.controlLength, SegmentOption.meaningless(random >> 16))
      bytes.setByte(Segment.controlLength + 1, UInt8(optionLength - 2))
      for index in 2..<optionLength {
        bytes.setByte(Segment.controlLength + index, UInt8(truncatingIfNeeded: random >> (24 + 5 * UInt64(index))))
      }
    }
    return true
  }

  private mutating func sendClose(_ slot: Int, into batch: inout DatagramBatch) -> Bool {
    let reason = peers.flows[slot].closeReason
    let bodyLength = Control.closeLength(reason)
    let length = Datagram.headerLength + Segment.controlLength + bodyLength + Datagram.tagLength
    guard let place = append(length, slot, &batch) else { return false }
    _ = begin(slot, place, length, &batch)
    var bytes = batch.arena.mutableBytes(place + Datagram.headerLength, Segment.controlLength + bodyLength)
    Segment.writeControl(flags: 0, kind: Control.close, token: 0, into: &bytes)
    Control.writeClose(peers.flows[slot].closeCode, reason, at: Segment.controlLength, into: &bytes)
    peers.flows[slot].owesClose = false
    return true
  }

  // MARK: Handshake

  private mutating func sendHandshake(_ slot: Int, into batch: inout DatagramBatch) -> Bool {
    let length = peers.handshakes[slot].length
    let id = peers.rows[slot].remoteID
    let address = peers.rows[slot].address
    let place =
      peers.rows[slot].phase == .answering && !peers.handshakes[slot].receivesNow
      ? batch.placeUnproved(length, for: address, group: id) : batch.place(length, for: address, group: id)
    guard let place else { return false }
    var bytes = batch.arena.mutableBytes(place, length)
    bytes.copy(peers.handshakes[slot].datagram.bytes(0, length), to: 0)
    peers.rows[slot].owesHandshake = false
    if peers.rows[slot].phase == .dialling { message1Left(slot) }
    counters.datagramsSent &+= 1
    counters.bytesSent &+= UInt64(length)
    return true
  }

  /// Without message 3 the peer can make nothing of the first data: it is repeated beside each burst of it, until
  /// something is heard.
  private mutating func repeatMessage3(_ slot: Int) {
    guard !peers.rows[slot].isOriginal, peers.flows[slot].handshakeRepeats < 6 else { return }
    peers.flows[slot].handshakeRepeats += 1
    peers.rows[slot].owesHandshake = true
    makeReady(slot)
  }

  // MARK: Datagram

  /// Where a sealed datagram of `length` bytes for the peer stands in the batch; `nil` when it is full.
  @inline(__always)
  func append(_ length: Int, _ slot: Int, _ batch: inout DatagramBatch) -> Int? {
    batch.place(length, for: peers.rows[slot].address, group: peers.rows[slot].messageGroup)
  }

  /// Writes the header and takes the next packet number; the datagram will be sealed with the batch.
  @inline(__always)
  mutating func begin(_ slot: Int, _ place: Int, _ length: Int, _ batch: inout DatagramBatch) -> UInt64 {
    let packetNumber = peers.rows[slot].sendPacketNumber
    let epoch = peers.flows[slot].epochs.epoch(of: packetNumber)
    if epoch != peers.flows[slot].epochs.sending { changeSealingKey(slot, to: epoch, &batch) }
    peers.rows[slot].sendPacketNumber += 1
    var header = batch.arena.mutableBytes(place, Datagram.headerLength)
    header.setBigEndian64(0, peers.rows[slot].remoteID)
    header.setBigEndian64(8, packetNumber)
    if sealCount == Self.jobsPerBatch { seal(&batch) }
    sealJobs[sealCount].offset = place
    sealJobs[sealCount].length = length
    sealJobs[sealCount].key = PeerTable.sealingRow(slot)
    sealJobs[sealCount].packetNumber = packetNumber
    sealJobs[sealCount].authenticatesHeader = !peers.rows[slot].isOriginal
    sealCount += 1
    counters.datagramsSent &+= 1
    counters.bytesSent &+= UInt64(length)
    peers.flows[slot].lastSent = now
    return packetNumber
  }

  mutating func seal(_ batch: inout DatagramBatch) {
    guard sealCount > 0 else { return }
    suite.seal(sealJobs, count: sealCount, in: &batch.arena, keys: peers.keys)
    sealCount = 0
  }
}

/// The only segment that waits to be sealed, and the last that its flow has, as requests and answers are: the flow is told of it
/// behind the send call.
struct LoneSend: BitwiseCopyable {
  var slot: Int
  var segment: SendWindow.Segment
  var packetNumber: UInt64
  var bytes: Int
}

// SPDX-License-Identifier: MIT
// The way out, step by step:
// 1. here: ready peers in turn, each a message's worth of what it has to send;
// 2. what a peer sends is composed: its data (`Engine+SendData`, bulk in `Engine+SendRun`), ACKs (`Engine+SendAck`), CONTROL
//    (`Engine+SendControl`), questions about paths (`Engine+Path`), handshake messages (here);
// 3. each datagram is placed and numbered, and 4. the batch is sealed (`Engine+Seal`);
// 5. the reactor sends the batch, and then each connection that has sent is judged (`Engine+Settle`).

extension Engine {
  /// Fills `batch` with what ready peers have to send; an empty batch means that nobody has anything.
  package mutating func transmit<H: Handler>(into batch: inout DatagramBatch, now: Instant, handler: inout H) {
    prepareTransmit(&batch, now: now, handler: &handler)
    finishTransmit(&handler)
  }

  /// Steps 1 to 4, after which the batch can leave. `finishTransmit` has to follow before anything else.
  package mutating func prepareTransmit<H: Handler>(_ batch: inout DatagramBatch, now: Instant, handler: inout H) {
    advance(to: now)
    if isSuspended { return }
    batch.ecn = 0
    if !listener.cookieReplies.isEmpty { sendCookieReplies(into: &batch) }
    if !listener.resets.isEmpty { sendResets(into: &batch) }
    if !sweeps.closing.walk.isOver { closeResting() }
    if !sweeps.departure.isOver { leaveSome() }
    // What a call between turns has set free: a peer that hears of it has its turn in this one.
    if !messages.events.isEmpty || !messages.waiting.isEmpty { reportMessages(&handler) }
    // Peers that get ready meanwhile have their turn in the next call.
    var turns = schedule.ready.count
    while turns > 0, batch.count < batch.messages.count, let turn = schedule.nextReady(&peers) {
      guard case .of(let slot) = turn else {
        turns -= 1
        continue
      }
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

  /// Step 5: after the batch was sent, as the other side waits for it and nobody for this.
  package mutating func finishTransmit<H: Handler>(_ handler: inout H) { settleDirty(&handler, hasSent: true) }

  /// - Returns: whether the peer has had all that it may send now.
  private mutating func send<H: Handler>(_ slot: Slot, into batch: inout DatagramBatch, _ handler: inout H) -> Bool {
    if peers.rows[slot].isResumed {
      peers.rows[slot].isResumed = false
      deliverResumed(slot, &handler)
    }
    // Messages wait for one that rests.
    if isResting(slot) { wake(slot) }
    if peers.rows[slot].owesHandshake, !sendHandshake(slot, into: &batch) { return false }
    guard speaksVersion1(slot) else { return sendOriginal(slot, into: &batch, &handler) }
    switch peers.rows[slot].phase {
    case .free, .halfOpen, .superseded:
      return true
    case .draining:
      return !peers.flows[slot].ending.owesClose || sendClose(slot, into: &batch)
    case .dialling:
      if peers.flows[slot].ending.isClosedByUser {
        end(slot, .local(code: peers.flows[slot].ending.closeCode), &handler)
      }
      return true
    case .closing:
      // Who has drained has nobody to tell.
      guard peers.flows[slot].ending.drain.isOver || sendClose(slot, into: &batch) else { return false }
      end(slot, .local(code: peers.flows[slot].ending.closeCode), &handler)
      return true
    case .established:
      let before = peers.flows[slot].lastElicitingSent
      // Data alone, whose loss is noticed: of ACKs nobody would learn that the path drops what is marked.
      batch.ecn = peers.flows[slot].ecn.mark
      var isDone = sendData(slot, into: &batch, &handler)
      batch.ecn = 0
      if isDone { isDone = sendAck(slot, into: &batch) }
      if isDone, peers.flows[slot].owesControl {
        isDone = sendPings(slot, into: &batch) && sendPath(slot, into: &batch)
      }
      if peers.rows[slot].phase == .established {
        markDirty(slot)
        if before < now, peers.flows[slot].lastElicitingSent == now, awaitsConfirmation(slot) {
          repeatMessage3(slot)
        }
      }
      return isDone
    case .lingering:
      if peers.flows[slot].ending.owesClose, !sendClose(slot, into: &batch) { return false }
      return sendAck(slot, into: &batch)
    }
  }

  // MARK: Handshake

  private mutating func sendHandshake(_ slot: Slot, into batch: inout DatagramBatch) -> Bool {
    let length = peers.handshakes[slot].length
    let id = peers.rows[slot].remoteID
    let address = peers.rows[slot].destination
    let place =
      peers.rows[slot].phase == .halfOpen && !peers.handshakes[slot].receivesNow
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
  private mutating func repeatMessage3(_ slot: Slot) {
    guard peers.flows[slot].handshakeRepeats < 6 else { return }
    peers.flows[slot].handshakeRepeats += 1
    peers.rows[slot].owesHandshake = true
    makeReady(slot)
  }
}

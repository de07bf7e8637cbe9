// SPDX-License-Identifier: MIT
// The way in, step by step:
// 1. here: datagrams are classified by connection id, and become jobs for the suite; handshake messages go to `Handshake/`;
// 2. the batch is opened (`Engine+Open`), bulk is taken as a run (`Engine+ReceiveRun`);
// 3. each segment is dispatched (`Engine+Dispatch`): data to its reader, ACKs to what was sent (`Engine+ReceiveAck`), CONTROL
//    (`Engine+ReceiveControl`);
// 4. each connection that the batch has changed is judged once (`Engine+Settle`).

extension Engine {
  /// Takes a received batch: opens its datagrams in place and calls the handler with what they bring.
  package mutating func receive<H: Handler>(_ batch: inout DatagramBatch, now: Instant, handler: inout H) {
    advance(to: now)
    readAhead(batch)
    for index in 0..<batch.count {
      let message = batch.messages[index]
      let size = max(message.segmentSize, 1)
      counters.bytesReceived &+= UInt64(message.length)
      var at = 0
      while at < message.length {
        let end = classifyRun(batch, message, index, from: at, size: size)
        if inbound.isFull { open(&batch, &handler) }
        // Behind a run of one connection there may be one of another.
        if end > at {
          at = end
          continue
        }
        let length = min(size, message.length - at)
        counters.datagramsReceived &+= 1
        classify(batch, message, index, offset: message.offset + at, length: length, &handler)
        at += length
        if inbound.isFull { open(&batch, &handler) }
      }
    }
    open(&batch, &handler)
    if listener.held.isReady { openHeld(&handler) }
    settleDirty(&handler)
  }

  // MARK: 1. Classify

  /// What most datagrams are becomes jobs for the suite at little cost: new ones of one established connection, as many as
  /// stand side by side, under the key in use.
  /// - Returns: where in the message the first other one begins.
  mutating func classifyRun(
    _ batch: borrowing DatagramBatch, _ message: Message, _ index: Int, from start: Int, size: Int
  ) -> Int {
    guard message.length - start >= Datagram.minimumLength else { return start }
    let id = batch.arena.bytes(message.offset + start, 8).bigEndian64(0)
    guard let slot = peers.slot(of: id), peers.rows[slot].phase == .established, peers.rows[slot].isConfirmed,
      peers.flows.contains(slot)
    else { return start }
    let row = PeerTable.openingRow(slot)
    guard peers.keys[row].aead != 0 else { return start }
    var job = AEADJob()
    job.key = row
    let epoch = peers.headers[slot].epochs
    let run = Inbound.Run(
      segmentSize: size, epoch: epoch.receiving, epochBits: epoch.bits, newest: peers.flows[slot].replay.highest ?? .max
    )
    let before = inbound.count
    let end = inbound.appendRun(
      batch.arena.bytes(message.offset, message.length), at: message.offset, from: start,
      of: Arrival(connectionID: id, slot: slot, message: index, ecn: message.ecn), like: job, run)
    counters.datagramsReceived &+= UInt64(inbound.count - before)
    return end
  }

  /// A datagram of ours becomes a job for the suite; a handshake message is handled at once.
  mutating func classify<H: Handler>(
    _ batch: borrowing DatagramBatch, _ message: Message, _ index: Int, offset: Int, length: Int, _ handler: inout H
  ) {
    guard length >= Datagram.minimumLength, length <= Datagram.maximumLength else {
      counters.wrongLength &+= 1
      return
    }
    let datagram = batch.arena.bytes(offset, length)
    let id = datagram.bigEndian64(0)
    guard let slot = peers.slot(of: id) ?? originalSlot(id, from: message.address) else {
      receiveHandshake(datagram, id: id, from: message.address, &handler)
      return
    }
    let packetNumber = datagram.bigEndian64(8)
    switch peers.rows[slot].phase {
    case .dialling:
      receiveAnswer(datagram, slot, from: message.address, &handler)
    case .established, .closing, .draining, .lingering:
      if Datagram.isHandshake(packetNumber) {
        receiveRepeated(datagram, slot, from: message.address)
        return
      }
      guard let key = openingKey(of: packetNumber, slot) else { return }
      var job = AEADJob()
      job.offset = offset
      job.length = length
      job.key = key
      job.packetNumber = packetNumber
      job.authenticatesHeader = peers.rows[slot].authenticatesHeader
      inbound.append(
        job,
        of: Arrival(
          connectionID: peers.rows[slot].connectionID, slot: slot, message: index, ecn: message.ecn))
    case .halfOpen:
      if Datagram.isHandshake(packetNumber) {
        receiveMessage3(datagram, slot, from: message.address, &handler)
      } else {
        // Data that has overtaken message 3.
        hold(datagram, slot, message)
      }
    case .free, .superseded:
      counters.late &+= 1
    }
  }

  /// The row of the key that a datagram is to be opened with.
  /// - Returns: `nil` when no AEAD is to see it; why is counted.
  private mutating func openingKey(of packetNumber: UInt64, _ slot: Slot) -> KeyRow? {
    // A dial that has failed has none.
    guard peers.keys[PeerTable.openingRow(slot)].aead != 0 else {
      counters.late &+= 1
      return nil
    }
    guard acceptsPacketNumber(packetNumber, slot) else {
      // Anyone can make one up: nothing but the counter changes.
      counters.replays &+= 1
      return nil
    }
    guard let epoch = otherEpoch(packetNumber, slot) else { return PeerTable.openingRow(slot) }
    guard let row = openingRow(slot, epoch: epoch) else {
      // RFC 9001, 6.6: no forgery, as no AEAD has seen it.
      counters.keyUnavailable &+= 1
      return nil
    }
    return row
  }
}

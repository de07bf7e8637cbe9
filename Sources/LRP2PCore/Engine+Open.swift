// The first two steps of the way in: whose datagrams a batch brings, and which of them are authentic. Only what has opened goes
// on to `Engine+Receive`.

extension Engine {
  // MARK: Connection id

  /// What most datagrams are becomes jobs for the suite at little cost: new ones of one established connection, as many as
  /// stand side by side, under the key in use.
  /// - Returns: where in the message the first other one begins.
  mutating func sortRun(
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

  // MARK: Authentication

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
}

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
    var job = AEADJob()
    job.key = row
    let epoch = peers.flows[slot].epochs
    let newest = peers.flows[slot].replay.highest ?? .max
    let end = Self.sortRun(
      batch.arena.bytes(message.offset, message.length), message.offset, from: start, size: size,
      like: Arrival(connectionID: id, slot: Int32(slot), message: Int32(index), ecn: message.ecn), job,
      epoch: (epoch.receiving, epoch.bits), newest: newest, &openJobs, &arrivals, behind: openCount)
    counters.datagramsReceived &+= UInt64(end.count - openCount)
    openCount = end.count
    return end.at
  }

  @inline(__always)
  private static func sortRun(
    _ message: RawSpan, _ offset: Int, from start: Int, size: Int, like arrival: Arrival, _ job: AEADJob,
    epoch: (UInt64, bits: UInt64), newest: UInt64, _ jobs: inout Column<AEADJob>,
    _ arrivals: inout Column<Arrival>, behind count: Int
  ) -> (at: Int, count: Int) {
    var jobs = jobs.mutableSpan
    var arrivals = arrivals.mutableSpan
    var job = job
    var (at, count) = (start, count)
    while at < message.byteCount, count < jobsPerBatch {
      job.offset = offset + at
      job.length = min(size, message.byteCount - at)
      guard job.length >= Datagram.minimumLength, job.length <= Datagram.maximumLength,
        message.bigEndian64(at) == arrival.connectionID
      else { break }
      job.packetNumber = message.bigEndian64(at + 8)
      guard job.packetNumber >> epoch.bits == epoch.0, job.packetNumber > newest
      else { break }
      jobs[count] = job
      arrivals[count] = arrival
      count += 1
      at += job.length
    }
    return (at, count)
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
      receiveAnswer(batch.arena.bytes(offset, length), slot, from: message.address, &handler)
    case .established, .closing, .draining, .lingering:
      let packetNumber = batch.arena.bytes(offset + 8, 8).bigEndian64(0)
      if Datagram.isHandshake(packetNumber) {
        receiveRepeated(batch.arena.bytes(offset, length), slot, from: message.address)
        return
      }
      // A dial that has failed has none.
      guard peers.keys[PeerTable.openingRow(slot)].aead != 0 else {
        counters.late &+= 1
        return
      }
      guard acceptsPacketNumber(packetNumber, slot) else {
        // Anyone can make one up: nothing but the counter changes.
        counters.replays &+= 1
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
          // No AEAD has seen it (RFC 9001, 6.6).
          counters.keyUnavailable &+= 1
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
      if Datagram.isHandshake(batch.arena.bytes(offset + 8, 8).bigEndian64(0)) {
        receiveMessage3(batch.arena.bytes(offset, length), slot, from: message.address, &handler)
      } else {
        // Data that has overtaken message 3.
        hold(batch.arena.bytes(offset, length), slot, from: message.address)
      }
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
    var next = 0
    while next < count {
      // Of many peers few have two side by side.
      if next + 1 < count, openJobs[next + 1].key == openJobs[next].key {
        let run = receiveRun(next, of: count, in: batch, &handler)
        next += run
        if run > 0 { continue }
      }
      let index = next
      next += 1
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
      if !peers.flows.contains(slot) {
        wake(slot)
        // Closed with all others (`closeAll`).
        guard peers.rows[slot].phase == .established else {
          counters.late &+= 1
          counters.datagramsAccepted &-= 1
          continue
        }
      }
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
    if scratchRowsUsed > 0 { wipeScratchRows() }
  }
}

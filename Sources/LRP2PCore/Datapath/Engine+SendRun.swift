// The bulk of what leaves: new data of one connection in whole segments, as many as stand side by side in a message. What each
// of them would ask on its way through `sendData` is asked once for all.

extension Engine {
  /// Places new segments of full length up to the message's end, or `end`; whatever else may be due is left to `sendData`.
  /// - Returns: whether there was one.
  mutating func sendRun<H: Handler>(
    _ slot: Slot, upTo end: Int, into batch: inout DatagramBatch, _ handler: inout H
  ) -> Bool {
    let allowed = peers.flows[slot].wholeSegments(now: now)
    guard allowed > 1, batch.used < end else { return false }
    let capacity = peers.flows[slot].capacity
    let length = Datagram.headerLength + Segment.dataLength + capacity + Datagram.tagLength
    let packetNumber = peers.rows[slot].sendPacketNumber
    guard peers.headers[slot].epochs.epoch(of: packetNumber) == peers.headers[slot].epochs.sending else { return false }
    let most = min(
      allowed, (end - batch.used + length - 1) / length, outbound.room,
      Int(min(peers.headers[slot].epochs.others(behind: packetNumber), 1023)) + 1)
    guard most > 1,
      let (place, count) = batch.place(
        length, upTo: most, for: peers.rows[slot].destination, group: peers.rows[slot].messageGroup)
    else { return false }
    let peer = peer(slot)
    let id = peers.rows[slot].remoteID
    var number = peers.flows[slot].send.next
    var offset = peers.flows[slot].send.nextOffset
    peers.flows[slot].sent(whole: count, packetNumber: packetNumber, bytes: length, now: now)
    peers.headers[slot].lastSent = now
    peers.rows[slot].sendPacketNumber += UInt64(count)
    counters.datagramsSent &+= UInt64(count)
    counters.bytesSent &+= UInt64(count * length)
    var job = AEADJob()
    job.offset = place
    job.length = length
    job.key = PeerTable.sealingRow(slot)
    job.packetNumber = packetNumber
    if peers.flows[slot].written != nil {
      writeRun(slot, job, count: count, into: &batch, &handler)
      return true
    }
    for _ in 0..<count {
      outbound.append(job)
      var bytes = batch.arena.mutableBytes(job.offset, length - Datagram.tagLength)
      bytes.setBigEndian64(0, id)
      bytes.setBigEndian64(8, job.packetNumber)
      var segment = bytes._mutatingExtracting(Datagram.headerLength..<bytes.byteCount)
      Segment.writeData(flags: 0, sequence: number, into: &segment)
      var payload = segment._mutatingExtracting(Segment.dataLength..<segment.byteCount)
      handler.fill(peer, offset: offset, into: &payload)
      job.offset += length
      job.packetNumber += 1
      number &+= 1
      offset += UInt64(capacity)
    }
    return true
  }

  /// The same loop for a connection whose user writes, so that for those who are pulled from no segment has to ask.
  ///
  /// - Parameter first: of the first datagram; the run has been counted.
  @inline(never)
  private mutating func writeRun<H: Handler>(
    _ slot: Slot, _ first: AEADJob, count: Int, into batch: inout DatagramBatch, _ handler: inout H
  ) {
    let (peer, id, capacity) = (peer(slot), peers.rows[slot].remoteID, peers.flows[slot].capacity)
    var number = peers.flows[slot].send.next &- UInt32(count)
    var offset = peers.flows[slot].send.nextOffset - UInt64(count * capacity)
    var job = first
    for _ in 0..<count {
      outbound.append(job)
      var bytes = batch.arena.mutableBytes(job.offset, job.length - Datagram.tagLength)
      bytes.setBigEndian64(0, id)
      bytes.setBigEndian64(8, job.packetNumber)
      var segment = bytes._mutatingExtracting(Datagram.headerLength..<bytes.byteCount)
      Segment.writeData(flags: 0, sequence: number, into: &segment)
      var payload = segment._mutatingExtracting(Segment.dataLength..<segment.byteCount)
      fill(peer, slot, offset: offset, into: &payload, &handler)
      job.offset += job.length
      job.packetNumber += 1
      number &+= 1
      offset += UInt64(capacity)
    }
  }
}

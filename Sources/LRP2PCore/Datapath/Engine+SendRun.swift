// SPDX-License-Identifier: MIT
// The bulk of what leaves: new data of one connection in whole segments, as many as stand side by side in a message. What each
// of them would ask on its way through `sendData` is asked once for all.

extension Engine {
  @inline(__always)
  mutating func sendRun<H: Handler>(
    _ slot: Slot, upTo end: Int, into batch: inout DatagramBatch, _ handler: inout H
  ) -> Bool {
    peers.flows[slot].written == nil
      ? sendRun(slot, upTo: end, of: PulledBytes.self, into: &batch, &handler)
      : sendRun(slot, upTo: end, of: WrittenBytes.self, into: &batch, &handler)
  }

  /// Places new segments of full length up to the message's end, or `end`; whatever else may be due is left to `sendData`.
  /// - Returns: whether there was one.
  @inline(__always)
  private mutating func sendRun<H: Handler, Source: RunSource>(
    _ slot: Slot, upTo end: Int, of source: Source.Type, into batch: inout DatagramBatch, _ handler: inout H
  ) -> Bool {
    let allowed = peers.flows[slot].wholeSegments(now: now)
    guard allowed > 1, batch.used < end else { return false }
    let capacity = peers.flows[slot].capacity
    let length = Datagram.headerLength + Segment.dataLength + capacity + Datagram.tagLength
    var packetNumber = peers.rows[slot].sendPacketNumber
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
    for _ in 0..<count {
      job.packetNumber = packetNumber
      outbound.append(job)
      var bytes = batch.arena.mutableBytes(job.offset, length - Datagram.tagLength)
      bytes.setBigEndian64(0, id)
      bytes.setBigEndian64(8, packetNumber)
      var segment = bytes._mutatingExtracting(Datagram.headerLength..<bytes.byteCount)
      Segment.writeData(flags: 0, sequence: number, into: &segment)
      var payload = segment._mutatingExtracting(Segment.dataLength..<segment.byteCount)
      Source.fill(peer, slot, offset: offset, into: &payload, of: &self, &handler)
      job.offset += length
      packetNumber += 1
      number &+= 1
      offset += UInt64(capacity)
    }
    return true
  }
}

/// Where the bytes of a run come from. A type, so that each has a loop of its own, which asks nothing for each segment.
protocol RunSource {
  static func fill<H: Handler>(
    _ peer: Peer, _ slot: Slot, offset: UInt64, into payload: inout MutableRawSpan, of engine: inout Engine,
    _ handler: inout H)
}

/// The user's own bytes (`Handler.fill`).
enum PulledBytes: RunSource {
  @inline(__always)
  static func fill<H: Handler>(
    _ peer: Peer, _ slot: Slot, offset: UInt64, into payload: inout MutableRawSpan, of engine: inout Engine,
    _ handler: inout H
  ) { handler.fill(peer, offset: offset, into: &payload) }
}

/// What the user has written (`Engine.write`).
enum WrittenBytes: RunSource {
  @inline(__always)
  static func fill<H: Handler>(
    _ peer: Peer, _ slot: Slot, offset: UInt64, into payload: inout MutableRawSpan, of engine: inout Engine,
    _ handler: inout H
  ) { engine.fill(peer, slot, offset: offset, into: &payload, &handler) }
}

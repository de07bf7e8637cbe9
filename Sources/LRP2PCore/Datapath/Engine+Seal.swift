// SPDX-License-Identifier: MIT
// Steps 3 and 4 of the way out: every sealed datagram is placed, numbered and sealed here.

extension Engine {
  /// Where a datagram that will be sealed stands in its batch.
  struct Placed: BitwiseCopyable {
    /// Where its segment begins.
    var segment: Int
    var packetNumber: UInt64
  }

  /// Places a datagram for the peer, with room for a segment of so many bytes, which the caller writes.
  /// - Returns: `nil` when the batch is full.
  @inline(__always)
  mutating func place(_ segmentLength: Int, _ slot: Slot, into batch: inout DatagramBatch) -> Placed? {
    let length = Datagram.headerLength + segmentLength + Datagram.tagLength
    guard
      let offset = batch.place(length, for: peers.rows[slot].destination, group: peers.rows[slot].messageGroup)
    else { return nil }
    return number(slot, at: offset, length, &batch)
  }

  /// Writes the header of a datagram of `length` bytes that stands at `offset`, and takes the next packet number; it will be sealed
  /// with the batch.
  @inline(__always)
  mutating func number(_ slot: Slot, at offset: Int, _ length: Int, _ batch: inout DatagramBatch) -> Placed {
    let packetNumber = peers.rows[slot].sendPacketNumber
    let epoch = peers.headers[slot].epochs.epoch(of: packetNumber)
    if epoch != peers.headers[slot].epochs.sending { changeSealingKey(slot, to: epoch, &batch) }
    peers.rows[slot].sendPacketNumber += 1
    var header = batch.arena.mutableBytes(offset, Datagram.headerLength)
    header.setBigEndian64(0, peers.rows[slot].remoteID)
    header.setBigEndian64(8, packetNumber)
    if outbound.room == 0 { seal(&batch) }
    var job = AEADJob()
    job.offset = offset
    job.length = length
    job.key = PeerTable.sealingRow(slot)
    job.packetNumber = packetNumber
    job.authenticatesHeader = peers.rows[slot].authenticatesHeader
    outbound.append(job)
    counters.datagramsSent &+= 1
    counters.bytesSent &+= UInt64(length)
    peers.headers[slot].lastSent = now
    return Placed(segment: offset + Datagram.headerLength, packetNumber: packetNumber)
  }

  /// Seals all that waits, where it stands in the batch.
  mutating func seal(_ batch: inout DatagramBatch) { outbound.seal(&batch, keys: peers.keys, suite) }
}

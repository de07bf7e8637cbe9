// Memory ahead of its use: in a crowd every peer's rows are cache misses. Taken one datagram after the other each would be
// waited for; read side by side, with nothing that depends on them, they are fetched at the same time.

extension Engine {
  /// Touches what the peers of a received batch will need; worth while for several messages.
  mutating func prefetch(_ batch: borrowing DatagramBatch) {
    guard peers.slots > Self.slotsInCache else { return }
    var sum: UInt64 = 0
    for index in 0..<batch.count where batch.messages[index].length >= Datagram.minimumLength {
      let id = batch.arena.bytes(batch.messages[index].offset, 8).bigEndian64(0)
      let slot = Int(id & 0xFF_FFFF)
      guard slot < peers.slots else { continue }
      sum &+= peers.glance(slot)
    }
    glanced = sum
  }

  /// So many peers' rows stay in the cache by themselves.
  private static var slotsInCache: Int { 1024 }
}

extension PeerTable {
  /// Reads a word of each cache line that a datagram of the peer needs.
  @inline(__always)
  fileprivate func glance(_ slot: Int) -> UInt64 {
    rows[slot].connectionID &+ UInt64(keys[Self.openingRow(slot)].aead)
      &+ UInt64(keys[Self.sealingRow(slot)].aead) &+ (flows.contains(slot) ? 1 : 0) &+ resting[slot].sendingEpoch
      &+ resting[slot].handle &+ resting[slot].ack.duplicates &+ UInt64(resting[slot].peerAckRatio)
  }
}

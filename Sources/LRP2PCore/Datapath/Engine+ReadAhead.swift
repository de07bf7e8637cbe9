// SPDX-License-Identifier: MIT
// Memory ahead of its use. In a crowd every peer's rows are cache misses. Waited for one datagram after the other, each would take its
// time; read side by side, with nothing that depends on them, they come at the same time (docs/decisions/one-way.md has figures).

extension Engine {
  /// Reads what the peers of a received batch will need.
  @inline(__always)
  mutating func readAhead(_ batch: borrowing DatagramBatch) {
    // One alone has nothing to be read beside, and few peers stay in the cache by themselves.
    guard batch.count > 1, peers.slots > 1024 else { return }
    inbound.readAhead = Self.sum(peers, batch)
  }

  // Inlined, as the whole table would be copied for the call (scripts/check-copies).
  @inline(__always)
  private static func sum(_ peers: borrowing PeerTable, _ batch: borrowing DatagramBatch) -> UInt64 {
    var sum: UInt64 = 0
    for index in 0..<batch.count where batch.messages[index].length >= Datagram.minimumLength {
      let slot = Peer.slot(of: batch.arena.bytes(batch.messages[index].offset, 8).bigEndian64(0))
      guard slot.index < peers.slots else { continue }
      sum &+= peers.readAhead(slot)
    }
    // Of the keys, which are read too, nothing is to stay.
    return sum & 1
  }
}

// Key epochs: what a datagram that is not of the epoch in use costs, and the step to the next key.

extension Engine {
  /// Puts the key for a datagram of another epoch into a scratch row.
  /// - Returns: the row, or `nil` when there is no such key: the epoch's was wiped, or it is too far ahead.
  mutating func openingRow(_ slot: Slot, epoch: UInt64) -> KeyRow? {
    if let row = inbound.scratchKeys.row(of: slot, epoch: epoch) { return row }
    guard !inbound.scratchKeys.isFull else { return nil }
    hasHandledSecrets = true
    guard
      let key = epochs(of: slot).openingKey(
        epoch, current: peers.keys[PeerTable.openingRow(slot)], suite: suite)
    else { return nil }
    return inbound.scratchKeys.put(key, of: slot, epoch: epoch, &peers.keys)
  }

  /// A datagram opened under the key in scratch row `row`: a newer epoch's key is taken into use.
  mutating func adoptKey(_ slot: Slot, epoch: UInt64, row: KeyRow) {
    guard epoch > peers.flows[slot].epochs.receiving, peers.rows[slot].phase == .established else { return }
    hasHandledSecrets = true
    let current = peers.keys[PeerTable.openingRow(slot)]
    guard let before = peers.flows[slot].epochs.openingKey(epoch - 1, current: current, suite: suite) else { return }
    // RFC 9001, 6.5: three probe timeouts.
    peers.flows[slot].epochs.adopt(epoch, before: before, deadline: now + 3 * peers.flows[slot].probeTimeout)
    peers.keys[PeerTable.openingRow(slot)] = peers.keys[row]
    suite.forget(PeerTable.openingRow(slot))
    markDirty(slot)
  }

  /// The next packet number is the first of a new epoch. What was placed before is sealed with the old key first.
  mutating func changeSealingKey(_ slot: Slot, to epoch: UInt64, _ batch: inout DatagramBatch) {
    seal(&batch)
    let row = PeerTable.sealingRow(slot)
    while peers.flows[slot].epochs.sending < epoch {
      let next = TrafficKeys.next(peers.keys[row], suite: suite)
      peers.keys[row].bytes.wipe()
      peers.keys[row] = next
      peers.flows[slot].epochs.sending += 1
    }
    suite.forget(row)
    hasHandledSecrets = true
  }
}

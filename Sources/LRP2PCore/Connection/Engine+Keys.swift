// SPDX-License-Identifier: MIT
// Key epochs: what a datagram that is not of the epoch in use costs, and the step to the next key.

extension Engine {
  /// Puts the key for a datagram of another epoch into a scratch row.
  /// - Returns: the row, or `nil` when there is no such key: the epoch's was wiped, or it is too far ahead.
  mutating func openingRow(_ slot: Slot, epoch: UInt64) -> KeyRow? {
    if let row = inbound.scratchKeys.row(of: slot, epoch: epoch) { return row }
    guard !inbound.scratchKeys.isFull else { return nil }
    hasHandledSecrets = true
    guard
      let key = peers.headers[slot].epochs.openingKey(
        epoch, current: peers.keys[PeerTable.openingRow(slot)], previous: previousKey(slot), suite: suite)
    else { return nil }
    return inbound.scratchKeys.put(key, of: slot, epoch: epoch, &peers.keys)
  }

  /// A datagram opened under the key in scratch row `row`: a newer epoch's key is taken into use.
  mutating func adoptKey(_ slot: Slot, epoch: UInt64, row: KeyRow) {
    guard epoch > peers.headers[slot].epochs.receiving, peers.rows[slot].phase == .established else { return }
    hasHandledSecrets = true
    let current = peers.keys[PeerTable.openingRow(slot)]
    guard
      let before = peers.headers[slot].epochs.openingKey(
        epoch - 1, current: current, previous: previousKey(slot), suite: suite)
    else { return }
    // RFC 9001, 6.5: three probe timeouts.
    let deadline = now + 3 * peers.flows[slot].probeTimeout(peers.headers[slot])
    peers.flows[slot].previousKey.replace(with: before, until: deadline)
    peers.headers[slot].epochs.adopt(epoch)
    peers.keys[PeerTable.openingRow(slot)] = peers.keys[row]
    suite.forget(PeerTable.openingRow(slot))
    markDirty(slot)
  }

  /// Before a connection rests, what was overtaken is too old to be opened.
  private func previousKey(_ slot: Slot) -> TrafficKey {
    peers.flows.contains(slot) ? peers.flows[slot].previousKey.key : TrafficKey()
  }

  /// The next packet number is the first of a new epoch. What was placed before is sealed with the old key first.
  mutating func changeSealingKey(_ slot: Slot, to epoch: UInt64, _ batch: inout DatagramBatch) {
    seal(&batch)
    let row = PeerTable.sealingRow(slot)
    while peers.headers[slot].epochs.sending < epoch {
      let next = TrafficKeys.next(peers.keys[row], suite: suite)
      peers.keys[row].bytes.wipe()
      peers.keys[row] = next
      peers.headers[slot].epochs.sending += 1
    }
    suite.forget(row)
    hasHandledSecrets = true
  }
}

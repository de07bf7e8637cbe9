// SPDX-License-Identifier: MIT
// Connections that one side has lost, as a process that is started anew has: it tells whoever still sends, and whoever is told ends
// the connection at once. See docs/decisions/reset.md.

extension Engine {
  // MARK: Who has lost it

  /// What a peer shows to tell that it has lost a connection; `nil` where none is told.
  func ownResetToken(_ slot: Slot) -> ResetToken? {
    guard configuration.resetsPerSecond > 0 else { return nil }
    return resetToken(Reset(id: peers.rows[slot].connectionID, to: peers.rows[slot].address))
  }

  private func resetToken(_ reset: Reset) -> ResetToken {
    ResetToken(key: secrets.resetKey, id: reset.id, address: reset.address, suite: suite)
  }

  /// A datagram has come that is for no connection of ours. If it is sealed, and its id has our tag, there has been one.
  mutating func oweReset(_ datagram: RawSpan, id: UInt64, to address: Address) {
    guard ids.isMarked(id), !Datagram.isHandshake(datagram.bigEndian64(8)), !HandshakeParameters.isMessage1(datagram)
    else { return }
    listener.resets.owe(Reset(id: id, to: address), now: now)
  }

  /// Writes resets into up to a quarter of an outgoing batch.
  mutating func sendResets(into batch: inout DatagramBatch) {
    hasHandledSecrets = true
    let limit = batch.count + max(batch.messages.count / 4, 1)
    while batch.count < limit, let reset = listener.resets.first {
      guard let place = batch.placeUnproved(Reset.length, for: reset.address, group: reset.id) else { return }
      let token = resetToken(reset)
      var bytes = batch.arena.mutableBytes(place, Reset.length)
      reset.write(token, into: &bytes)
      listener.resets.removeFirst()
      counters.resetsSent &+= 1
      counters.datagramsSent &+= 1
      counters.bytesSent &+= UInt64(Reset.length)
    }
  }

  // MARK: Who is told

  mutating func receiveReset<H: Handler>(
    _ datagram: RawSpan, id: UInt64, from address: Address, _ handler: inout H
  ) {
    // A dial whose message 3 has not been answered may not be wanted, and whoever refuses in silence has nothing of it left, either.
    guard let slot = peers.resetTokens.find(id, address, peers.rows),
      peers.resetTokens[slot] == Reset.token(datagram), !awaitsConfirmation(slot)
    else {
      counters.resetsRefused &+= 1
      return
    }
    wake(slot)
    // Over for one side, or for both.
    guard peers.rows[slot].phase == .established else {
      counters.late &+= 1
      return
    }
    counters.datagramsAccepted &+= 1
    counters.resetsReceived &+= 1
    peers.flows[slot].owesNothing(now: now)
    end(slot, .reset, &handler)
  }
}

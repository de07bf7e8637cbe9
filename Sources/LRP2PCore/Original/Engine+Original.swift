// SPDX-License-Identifier: MIT
// The seam of version 0: everything that the rest of the engine asks because a connection may speak it. What it then does is in the other
// files of this folder. The runs of the fast path ask nothing: they are of confirmed connections, which version 0 never has, and what a
// turn sends is decided here before.

extension PeerRow {
  /// Version 0, which knows data and ACKs, and nothing else.
  @inline(__always) package var isOriginal: Bool { version == 0 }

  /// Whether the header of its datagrams is authenticated.
  @inline(__always) var authenticatesHeader: Bool { !isOriginal }
}

extension Engine {
  /// Whether the peer knows more than data and ACKs: CONTROL, handshake messages that come again, other addresses, ACKs at once or with
  /// packet numbers, windows that tell what was refused.
  @inline(__always)
  func speaksVersion1(_ slot: Slot) -> Bool { !peers.rows[slot].isOriginal }

  // MARK: In

  /// The slot of an accepted peer of version 0, which keeps the initiator's id for ever.
  func originalSlot(_ id: UInt64, from address: Address) -> Slot? {
    guard peers.originals.inUse > 0,
      let slot = peers.initiators.find(peers.initiators.hash(id, address), peers.rows, id: id, address: address),
      peers.rows[slot].isOriginal, peers.rows[slot].phase != .halfOpen
    else { return nil }
    return slot
  }

  /// A handshake message for the id of a known initiator, which is no message 1 of version 1.
  mutating func receiveIfOriginalHandshake<H: Handler>(_ datagram: RawSpan, _ slot: Slot, _ handler: inout H) {
    guard peers.rows[slot].isOriginal else {
      counters.unknownConnection &+= 1
      return
    }
    if datagram.byteCount == 40 {
      repeatMessage2(datagram, slot, from: peers.rows[slot].address)
    } else {
      receiveOriginalMessage3(datagram, slot, &handler)
    }
  }

  /// One authentic and new plaintext.
  /// - Returns: whether it was for version 0.
  @inline(__always)
  mutating func receiveIfOriginal<H: Handler>(
    _ plaintext: RawSpan, _ row: PeerRow, _ slot: Slot, _ handler: inout H
  ) -> Bool {
    guard row.isOriginal else { return false }
    receiveOriginal(plaintext, slot, &handler)
    return true
  }

  /// A sealed datagram of the peer has opened, of one that is not confirmed: the handshake is over.
  mutating func confirm(_ slot: Slot) {
    if peers.rows[slot].isOriginal {
      peers.dropHandshakeRow(slot)
    } else {
      peers.rows[slot].isConfirmed = true
      peers.dropHandshake(slot)
    }
  }

  // MARK: Clock

  /// The clock of a handshake that waits for its confirmation: version 0 has none, as a peer that has nothing to send says nothing. Its
  /// message 3 leaves a few times at once.
  /// - Returns: whether it is version 0.
  mutating func goesOnUnconfirmed(_ slot: Slot) -> Bool {
    guard peers.rows[slot].isOriginal else { return false }
    if peers.handshakes[slot].nextAttempt <= now {
      peers.originals[slot].repeatsLeft -= 1
      peers.handshakes[slot].nextAttempt =
        peers.originals[slot].repeatsLeft > 0 ? now + OriginalPeer.message3Interval : .never
      peers.rows[slot].owesHandshake = true
      makeReady(slot)
    }
    if peers.handshakes[slot].started + configuration.handshakeTimeout <= now { peers.dropHandshakeRow(slot) }
    return true
  }

  /// The idle timeout has passed: version 0 answers no keep-alive, so silence says nothing while nothing is outstanding; but not for
  /// ever.
  mutating func outlastsSilence(_ slot: Slot) -> Bool {
    guard peers.rows[slot].isOriginal, peers.flows[slot].send.packetsInFlight == 0 else { return false }
    if peers.originals[slot].silentSince == .never {
      peers.originals[slot].silentSince = peers.headers[slot].lastReceived
    }
    guard now - peers.originals[slot].silentSince < OriginalPeer.longestSilence else { return false }
    peers.headers[slot].lastReceived = now
    return true
  }
}

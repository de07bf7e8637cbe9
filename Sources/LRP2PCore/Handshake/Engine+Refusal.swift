// SPDX-License-Identifier: MIT
// What becomes of an initiator that has shown who it is, and is not wanted.

extension Engine {
  /// Silently: what has come authentically is not wanted.
  mutating func refuse(_ slot: Slot) {
    counters.handshakesFailed &+= 1
    move(slot, .refused)
    free(slot)
  }

  /// What has come authentically is not wanted, and the initiator is told why, by the one sealed segment of a connection that never
  /// begins. The slot stays half-open, and gives way like any other: a repeated message 3 is answered once more.
  mutating func turnAway(
    _ slot: Slot, _ noise: NoiseHandshake, _ message: RawSpan, _ code: CloseCode, _ reason: String
  ) {
    guard configuration.reportsRefusals else {
      refuse(slot)
      return
    }
    counters.handshakesFailed &+= 1
    peers.handshakes[slot].noise = noise
    agreeKeys(slot, peers.headers[slot].aead)
    releaseHeld(slot)
    peers.handshakes[slot].held = 0
    peers.handshakes[slot].isTurnedAway = true
    peers.handshakes[slot].answeredKey = PublicKey(bytes: message.extracting(0..<32))
    // Time for message 3 to come again, not more.
    peers.handshakes[slot].nextAttempt = min(peers.handshakes[slot].nextAttempt, now + Self.turnedAwayFor)
    arm(slot)
    peers.handshakes[slot].receivesNow = true
    sealRefusal(slot, code, reason)
    peers.rows[slot].owesHandshake = true
    makeReady(slot)
  }

  private static var turnedAwayFor: Nanoseconds { .seconds(3) }

  /// Message 3 has come again: the refusal went missing.
  mutating func repeatRefusal(_ message: RawSpan, _ slot: Slot, from address: Address) {
    answerAgain(
      slot,
      if: address == peers.rows[slot].address && message.byteCount >= 32
        && PublicKey(bytes: message.extracting(0..<32)) == peers.handshakes[slot].answeredKey)
  }

  private mutating func sealRefusal(_ slot: Slot, _ code: CloseCode, _ reason: String) {
    let length = Datagram.headerLength + Segment.controlLength + Control.closeLength(reason) + Datagram.tagLength
    let packetNumber = peers.rows[slot].sendPacketNumber
    peers.rows[slot].sendPacketNumber += 1
    var arena = Arena(byteCount: length)
    var bytes = arena.mutableBytes(0, length)
    bytes.setBigEndian64(0, peers.rows[slot].remoteID)
    bytes.setBigEndian64(8, packetNumber)
    var segment = bytes._mutatingExtracting(Datagram.headerLength..<length)
    Segment.writeControl(flags: 0, kind: Control.close, token: 0, into: &segment)
    Control.writeClose(code, reason, at: Segment.controlLength, into: &segment)
    var jobs = Column(repeating: AEADJob(), count: 1)
    jobs[0].length = length
    jobs[0].key = PeerTable.sealingRow(slot)
    jobs[0].packetNumber = packetNumber
    jobs[0].authenticatesHeader = true
    suite.seal(jobs, count: 1, in: &arena, keys: peers.keys)
    peers.handshakes[slot].replaceDatagram(arena, length: length)
  }
}

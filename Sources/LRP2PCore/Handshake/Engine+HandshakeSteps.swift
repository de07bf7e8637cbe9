// SPDX-License-Identifier: MIT
// What the three messages have in common.

extension Engine {
  /// This side of a handshake, under a new ephemeral key. The caller wipes it.
  mutating func newNoise(initiator: Bool) -> NoiseHandshake {
    hasHandledSecrets = true
    var ephemeral = suite.randomKey()
    defer { ephemeral.wipe() }
    return NoiseHandshake(initiator: initiator, staticPublic: publicKey, ephemeralSecret: ephemeral, suite: suite)
  }

  /// Reads a handshake message; its payload stands at the start of `scratch`.
  mutating func readPayload(_ message: RawSpan, with noise: inout NoiseHandshake) -> Int? {
    let suite = self.suite
    hasHandledSecrets = true
    var payload = scratch.mutableBytes(0, scratch.byteCount)
    return noise.read(message, payload: &payload, suite: suite)
  }

  /// Takes over what the peer has said of itself.
  mutating func agree(_ parameters: HandshakeParameters, _ slot: Slot) {
    peers.headers[slot].agree(parameters, configuration: configuration)
    peers.flows[slot].agree(parameters, configuration: configuration)
    peers.rows[slot].takesMerged = parameters.takesMerged
  }

  /// The handshake's own round trip is the first sample, so that the first flight is already paced and probed.
  mutating func sampleHandshake(_ slot: Slot) {
    let sent = peers.handshakes[slot].sentAt
    // Nor from before a planned outage, in which the clock stood still.
    guard now > sent, !isSuspended, sent > schedule.outage.lastStop || schedule.outage.lastStop == 0 else { return }
    peers.flows[slot].roundTrip.update(sample: now - sent, acknowledgementDelay: 0)
  }

  mutating func agreeKeys(_ slot: Slot, _ aead: AEAD) {
    let isInitiator = !peers.rows[slot].isIncoming
    var secrets = peers.handshakes[slot].noise.split(suite: suite)
    let hash = peers.handshakes[slot].noise.handshakeHash
    var forth = TrafficKeys.derive(
      noiseKey: secrets.initiatorToResponder, aead: aead, initiatorToResponder: true, handshakeHash: hash, suite: suite)
    var back = TrafficKeys.derive(
      noiseKey: secrets.responderToInitiator, aead: aead, initiatorToResponder: false, handshakeHash: hash,
      suite: suite)
    secrets.initiatorToResponder.wipe()
    secrets.responderToInitiator.wipe()
    peers.keys[PeerTable.sealingRow(slot)] = isInitiator ? forth : back
    peers.keys[PeerTable.openingRow(slot)] = isInitiator ? back : forth
    forth.bytes.wipe()
    back.bytes.wipe()
    peers.handshakes[slot].noise.wipe()
  }
}

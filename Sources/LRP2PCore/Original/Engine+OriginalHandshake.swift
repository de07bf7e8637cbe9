// SPDX-License-Identifier: MIT
// The handshake with the original peer: the same Noise messages with empty payloads, each of which it sends once.

extension Engine {
  // MARK: Responder

  /// 40 bytes earn 104, once: a repeat that is not asked for would be more than three times as much.
  mutating func receiveOriginalMessage1(_ datagram: RawSpan, id: UInt64, hash: UInt64, from address: Address) {
    guard admitsOriginalMessage1(from: address) else { return }
    let message = datagram.extracting(Datagram.message1HeaderLength..<datagram.byteCount)
    var noise = newNoise(initiator: false)
    defer { noise.wipe() }
    guard readPayload(message, with: &noise) != nil else {
      counters.handshakesMalformed &+= 1
      return
    }
    guard let slot = admit(noise, message, id: id, hash: hash, from: address, isProved: false) else {
      return
    }
    makeOriginal(slot)
    answer(slot, isWritten: writeMessage(slot, payloadLength: 0))
  }

  mutating func receiveOriginalMessage3<H: Handler>(_ datagram: RawSpan, _ slot: Slot, _ handler: inout H) {
    let message = datagram.extracting(Datagram.message1HeaderLength..<datagram.byteCount)
    var noise = peers.handshakes[slot].noise
    defer { noise.wipe() }
    guard readPayload(message, with: &noise) != nil else {
      counters.authenticationFailures &+= 1
      return
    }
    let key = noise.remoteStatic
    guard acceptsKey(key, peers.rows[slot].address), isWithinLimits(key, peers.rows[slot].address) else {
      refuse(slot)
      return
    }
    guard ask(&handler, key, peers.rows[slot].address, payload: RawSpan()) == nil else {
      counters.keysRefused &+= 1
      refuse(slot)
      return
    }
    peers.handshakes[slot].noise = noise
    peers.remoteKeys[slot] = key
    sampleHandshake(slot)
    agreeOriginalKeys(slot)
    // Its entry in `initiators` stays: it never learns another id.
    peers.dropHandshakeRow(slot)
    begin(slot, .message3, &handler)
  }

  // MARK: Initiator

  /// A message 2 that stands right behind the connection id. It has no payload.
  mutating func receiveOriginalMessage2<H: Handler>(
    _ message: RawSpan, _ slot: Slot, from address: Address, _ handler: inout H
  ) {
    guard message.byteCount == NoiseHandshake.message2Overhead else {
      counters.handshakesMalformed &+= 1
      return
    }
    var noise = peers.handshakes[slot].noise
    defer { noise.wipe() }
    guard readPayload(message, with: &noise) != nil else {
      counters.authenticationFailures &+= 1
      return
    }
    guard isExpected(noise.remoteStatic, slot, from: address) else { return }
    takeOver(slot)
    peers.handshakes[slot].noise = noise
    peers.remoteKeys[slot] = noise.remoteStatic
    if !peers.handshakes[slot].isRepeated { sampleHandshake(slot) }
    makeOriginal(slot)
    guard writeMessage(slot, payloadLength: 0) else {
      counters.authenticationFailures &+= 1
      end(slot, .handshakeFailed, &handler)
      return
    }
    peers.rows[slot].owesHandshake = true
    agreeOriginalKeys(slot)
    peers.handshakes[slot].nextAttempt = now + OriginalPeer.message3Interval
    peers.flows[slot].sendNotBefore = now + OriginalPeer.pauseAfterMessage3
    begin(slot, .message2, &handler)
  }

  // MARK: Shared steps

  private mutating func makeOriginal(_ slot: Slot) {
    peers.rows[slot].version = 0
    peers.handshakes[slot].versions = .original
    peers.originals.insert(OriginalPeer(), at: slot)
    peers.headers[slot].aead = .chacha20Poly1305
    peers.headers[slot].epochs = KeyEpochs(bits: 64)
    peers.flows[slot].becomeOriginal(configuration)
  }

  /// The Noise keys as they are, and no epochs.
  private mutating func agreeOriginalKeys(_ slot: Slot) {
    var secrets = peers.handshakes[slot].noise.split(suite: suite)
    let isIncoming = peers.rows[slot].isIncoming
    let (sealing, opening) = (PeerTable.sealingRow(slot), PeerTable.openingRow(slot))
    peers.keys[sealing].aead = AEAD.chacha20Poly1305.rawValue
    peers.keys[sealing].bytes = isIncoming ? secrets.responderToInitiator : secrets.initiatorToResponder
    peers.keys[opening].aead = AEAD.chacha20Poly1305.rawValue
    peers.keys[opening].bytes = isIncoming ? secrets.initiatorToResponder : secrets.responderToInitiator
    secrets.initiatorToResponder.wipe()
    secrets.responderToInitiator.wipe()
    peers.handshakes[slot].noise.wipe()
  }
}

extension Flow {
  /// What the original takes and gives: its sizes, its window, ChaCha20-Poly1305 under one key, small bursts.
  fileprivate mutating func becomeOriginal(_ configuration: EngineConfiguration) {
    isFlushed = false
    // It knows no path MTU: datagrams keep their size.
    mtu = PathMTU(maximum: PathMTU.base)
    capacity = OriginalPeer.capacity
    // Its ACKs are one a segment and tell no packet numbers: what BBR needs to know cannot be measured.
    congestion = CongestionControl(
      .cubic, segment: OriginalPeer.capacity + SendWindow.overhead, initialWindow: min(configuration.initialWindow, 10),
      seed: 0)
    hasStarted = true
    trains = PacketTrains(isOver: true)
    tail = TailRepetition(isOff: true)
    send.open(window: OriginalPeer.window)
  }
}

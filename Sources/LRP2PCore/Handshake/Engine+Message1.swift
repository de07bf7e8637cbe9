// SPDX-License-Identifier: MIT
// Message 1 of the Noise XX handshake, on both sides, and what becomes of a stranger's. A message that fails changes nothing but a
// counter.

extension Engine {
  private static var headerLength: Int { Datagram.message1HeaderLength }

  /// What comes for none of our ids: message 1, or a handshake message of the original.
  mutating func receiveHandshake<H: Handler>(
    _ datagram: RawSpan, id: UInt64, from address: Address, _ handler: inout H
  ) {
    guard ids.isSteeredHere(id) else {
      counters.misdirected &+= 1
      return
    }
    if Datagram.handshakeKind(datagram) == .reset {
      receiveReset(datagram, id: id, from: address, &handler)
      return
    }
    let hash = peers.initiators.hash(id, address)
    if let slot = peers.initiators.find(hash, peers.rows, id: id, address: address) {
      if HandshakeParameters.isMessage1(datagram) {
        repeatMessage2(datagram, slot, from: address)
      } else {
        receiveIfOriginalHandshake(datagram, slot, &handler)
      }
    } else if listener.isAccepting, HandshakeParameters.isMessage1(datagram) {
      guard let proof = admitsMessage1(datagram, id: id, from: address) else { return }
      receiveMessage1(datagram, id: id, hash: hash, from: address, proof)
    } else if listener.isAccepting, configuration.acceptsOriginal, OriginalPeer.isMessage1(datagram) {
      receiveOriginalMessage1(datagram, id: id, hash: hash, from: address)
    } else {
      counters.unknownConnection &+= 1
      oweReset(datagram, id: id, to: address)
    }
  }

  /// A new incoming connection: answers with message 2, which is shorter than a third of message 1.
  private mutating func receiveMessage1(
    _ datagram: RawSpan, id: UInt64, hash: UInt64, from address: Address, _ proof: AddressProof
  ) {
    let message = datagram.extracting(Self.headerLength..<datagram.byteCount)
    guard let (parameters, aead) = checkMessage1(message, of: datagram, from: address) else { return }
    var attemptHash: UInt64 = 0
    if parameters.hasAttemptToken {
      attemptHash = self.attemptHash(parameters.attemptToken, address)
      switch roomForAttempt(parameters.attemptToken, attemptHash, from: address, isProved: proof != .none) {
      case .kept: break
      case .unlinked: attemptHash = 0
      case .none: return
      }
    }
    var noise = newNoise(initiator: false)
    defer { noise.wipe() }
    guard readPayload(message, with: &noise) != nil else {
      counters.handshakesMalformed &+= 1
      return
    }
    guard let slot = admit(noise, message, id: id, hash: hash, from: address, isProved: proof != .none) else { return }
    peers.handshakes[slot].receivesNow = proof == .recent
    if attemptHash != 0 {
      peers.handshakes[slot].token = parameters.attemptToken
      peers.handshakes[slot].attemptHash = attemptHash
      peers.attempts.insert(attemptHash, slot: slot)
    }
    agree(parameters, slot)
    peers.headers[slot].aead = aead
    answer(slot, isWritten: writeMessage2(slot, aead))
  }

  /// The payload is in the clear: whatever speaks against the message is found before any cryptography.
  private mutating func checkMessage1(
    _ message: RawSpan, of datagram: RawSpan, from address: Address
  ) -> (HandshakeParameters, AEAD)? {
    let payload = message.extracting(NoiseHandshake.message1Overhead..<message.byteCount)
    guard let parameters = try? HandshakeParameters.parse(payload, of: .first) else {
      counters.handshakesMalformed &+= 1
      return nil
    }
    guard parameters.offersVersion1 else {
      counters.handshakesIncompatible &+= 1
      tellVersions(datagram, to: address)
      return nil
    }
    guard parameters.unknownCritical == nil, let aead = choose(parameters) else {
      counters.handshakesIncompatible &+= 1
      return nil
    }
    return (parameters, aead)
  }

  /// Takes a slot for a connection whose message 1 was read; `nil` when there is none.
  mutating func admit(
    _ noise: NoiseHandshake, _ message: RawSpan, id: UInt64, hash: UInt64, from address: Address, isProved: Bool
  ) -> Slot? {
    while peers.halfOpenCount >= configuration.maximumHalfOpen, evictHalfOpen(for: isProved) {}
    guard peers.halfOpenCount < configuration.maximumHalfOpen,
      let slot = allocate(.message1, address: address, isProved: isProved)
    else {
      counters.handshakesOverPeerLimit &+= 1
      return nil
    }
    counters.handshakesStarted &+= 1
    peers.rows[slot].remoteID = id
    peers.rows[slot].isIncoming = true
    peers.handshakes.insert(HandshakeRow(noise: noise, byteCount: 512, started: now), at: slot)
    peers.handshakes[slot].answeredKey = PublicKey(bytes: message.extracting(0..<32))
    peers.initiators.insert(hash, slot: slot)
    peers.enlist(slot, isProved: isProved)
    return slot
  }

  /// Message 2 leaves with the next batch.
  /// - Parameter isWritten: `false` when the initiator's key is of low order: the slot is free again.
  mutating func answer(_ slot: Slot, isWritten: Bool) {
    guard isWritten else {
      counters.authenticationFailures &+= 1
      move(slot, .refused)
      free(slot)
      return
    }
    counters.datagramsAccepted &+= 1
    peers.handshakes[slot].sentAt = now
    peers.handshakes[slot].nextAttempt = now + configuration.handshakeTimeout
    peers.rows[slot].owesHandshake = true
    makeReady(slot)
    arm(slot)
  }

  /// Message 2 went missing: the same message 1 has come again, and pays for the same answer.
  mutating func repeatMessage2(_ datagram: RawSpan, _ slot: Slot, from address: Address) {
    let isSame =
      peers.rows[slot].phase == .halfOpen
      && PublicKey(bytes: datagram.extracting(8..<40)) == peers.handshakes[slot].answeredKey
    // Which of them message 3 answers cannot be told.
    if isSame {
      peers.handshakes[slot].sentAt = .never
      peers.hear(slot, at: address.local)
    }
    answerAgain(slot, if: isSame)
  }

  /// What was answered last has come again, if it is the same.
  mutating func answerAgain(_ slot: Slot, if isSame: Bool) {
    guard isSame else {
      counters.handshakesOutOfPlace &+= 1
      return
    }
    counters.datagramsAccepted &+= 1
    peers.rows[slot].owesHandshake = true
    makeReady(slot)
  }
}

// SPDX-License-Identifier: MIT
// Message 2: the responder's answer, as the initiator takes it.

extension Engine {
  /// What comes for an id that was dialled with.
  mutating func receiveAnswer<H: Handler>(
    _ datagram: RawSpan, _ slot: Slot, from address: Address, _ handler: inout H
  ) {
    guard peers.rows[slot].address == address else {
      counters.handshakesFromElsewhere &+= 1
      return
    }
    guard !peers.flows[peers.slot(of: peers.handshakes[slot].firstAttempt) ?? slot].ending.isClosedByUser else {
      counters.late &+= 1
      return
    }
    if isEcho(datagram, slot) {
      counters.handshakesOutOfPlace &+= 1
      doubt(slot, .unreachable(.ownAddress))
      return
    }
    switch Datagram.handshakeKind(datagram) {
    case .cookieReply: receiveCookieReply(datagram, slot)
    case .versions:
      if CookieReply.lacksVersion1(
        datagram, answering: peers.handshakes[slot].datagram.bytes(0, peers.handshakes[slot].length))
      {
        counters.datagramsAccepted &+= 1
        doubt(slot, .handshakeFailed)
      } else {
        counters.handshakesMalformed &+= 1
      }
    case .noise:
      receiveMessage2(
        datagram.extracting(Datagram.handshakeHeaderLength..<datagram.byteCount), slot, from: address, &handler)
    case .reset: counters.handshakesOutOfPlace &+= 1
    case nil:
      guard peers.handshakes[slot].versions != .version1 else {
        counters.handshakesMalformed &+= 1
        return
      }
      receiveOriginalMessage2(
        datagram.extracting(Datagram.message1HeaderLength..<datagram.byteCount), slot, from: address, &handler)
    }
  }

  /// Whether it is the very message 1 that was sent.
  private func isEcho(_ datagram: RawSpan, _ slot: Slot) -> Bool {
    let length = peers.handshakes[slot].length
    guard datagram.byteCount == length else { return false }
    let sent = peers.handshakes[slot].datagram.bytes(0, length)
    for index in 0..<min(length, 40) where datagram.byte(index) != sent.byte(index) { return false }
    return true
  }

  private mutating func receiveMessage2<H: Handler>(
    _ message: RawSpan, _ slot: Slot, from address: Address, _ handler: inout H
  ) {
    guard peers.handshakes[slot].versions != .original, message.byteCount >= NoiseHandshake.message2Overhead else {
      counters.handshakesMalformed &+= 1
      return
    }
    var noise = peers.handshakes[slot].noise
    defer { noise.wipe() }
    guard let length = readPayload(message, with: &noise) else {
      counters.authenticationFailures &+= 1
      return
    }
    guard
      let parameters = try? HandshakeParameters.parse(scratch.bytes(0, length), of: .second), parameters.offersVersion1,
      parameters.unknownCritical == nil, parameters.hasReceiveID, parameters.aeadCount > 0,
      let aead = ownAEAD(parameters.aeads[0])
    else {
      counters.handshakesIncompatible &+= 1
      doubt(slot, .handshakeFailed)
      return
    }
    guard isExpected(noise.remoteStatic, slot, from: address) else { return }
    guard let applicationProtocol = agreedProtocol(parameters) else {
      counters.handshakesIncompatible &+= 1
      doubt(slot, .noCommonProtocol)
      return
    }
    takeOver(slot)
    peers.handshakes[slot].noise = noise
    peers.handshakes[slot].answeredKey = PublicKey(bytes: message.extracting(0..<32))
    peers.handshakes[slot].nextAttempt = .never
    peers.rows[slot].remoteID = parameters.receiveID
    peers.hear(slot, at: address.local)
    peers.remoteKeys[slot] = noise.remoteStatic
    agree(parameters, slot)
    peers.headers[slot].aead = aead
    peers.headers[slot].applicationProtocol = UInt8(applicationProtocol)
    if let cookie = parameters.cookie { dialler.cookies[address] = cookie }
    dialler.lengths.remember(peers.handshakes[slot].length, to: address, now: now)
    if !peers.handshakes[slot].isRepeated { sampleHandshake(slot) }
    answerMessage2(slot, aead, parameters.resetToken, &handler)
  }

  /// Whether the responder's key is one that this side has dialled for.
  mutating func isExpected(_ key: PublicKey, _ slot: Slot, from address: Address) -> Bool {
    if peers.handshakes[slot].expected.accepts(key, at: address) { return true }
    counters.keysRefused &+= 1
    doubt(slot, .keyRefused)
    return false
  }

  /// Message 3 leaves with the next batch, and the connection begins.
  private mutating func answerMessage2<H: Handler>(
    _ slot: Slot, _ aead: AEAD, _ token: ResetToken?, _ handler: inout H
  ) {
    guard writeMessage3(slot) else {
      counters.authenticationFailures &+= 1
      end(slot, .handshakeFailed, &handler)
      return
    }
    peers.rows[slot].owesHandshake = true
    agreeKeys(slot, aead)
    // Until the responder's first sealed datagram comes, message 3 is probed for like a PING.
    peers.flows[slot].awaitsPing = true
    peers.flows[slot].lastElicitingSent = now
    peers.keep(token, slot)
    begin(slot, .message2, &handler)
  }

  /// The keys are agreed: the connection begins.
  mutating func begin<H: Handler>(_ slot: Slot, _ event: Phase.Event, _ handler: inout H) {
    move(slot, event)
    counters.datagramsAccepted &+= 1
    counters.handshakesCompleted &+= 1
    peers.headers[slot].lastReceived = now
    makeReady(slot)
    markDirty(slot)
    handler.connected(peer(slot), info(slot), engine: &self)
  }

  /// Whether this side has dialled and nothing sealed has opened yet. So long it keeps its handshake row, a responder only until
  /// message 3. The hot row is asked first: for most the answer is there.
  @inline(__always)
  func awaitsConfirmation(_ slot: Slot) -> Bool {
    !peers.rows[slot].isConfirmed && !peers.rows[slot].isIncoming && peers.handshakes.contains(slot)
  }

  /// A handshake message has come for a connection that has its keys. Until a sealed datagram has opened, the other side may lack our
  /// last one: the initiator repeats message 3 for a repeated message 2, the responder answers a repeated message 3 with an ACK.
  mutating func receiveRepeated(_ datagram: RawSpan, _ slot: Slot, from address: Address) {
    guard Datagram.handshakeKind(datagram) == .noise, !peers.rows[slot].isConfirmed, speaksVersion1(slot),
      peers.rows[slot].isIncoming ? repeatsMessage3(slot, from: address) : repeatsMessage2(datagram, slot)
    else {
      counters.late &+= 1
      return
    }
    counters.datagramsAccepted &+= 1
    if peers.rows[slot].isIncoming {
      wake(slot)
      peers.flows[slot].owesFirstAck = true
    } else {
      peers.rows[slot].owesHandshake = true
    }
    makeReady(slot)
  }

  private func repeatsMessage2(_ datagram: RawSpan, _ slot: Slot) -> Bool {
    let start = Datagram.handshakeHeaderLength
    return awaitsConfirmation(slot) && datagram.byteCount >= start + NoiseHandshake.message2Overhead
      && PublicKey(bytes: datagram.extracting(start..<start + 32)) == peers.handshakes[slot].answeredKey
  }

  private func repeatsMessage3(_ slot: Slot, from address: Address) -> Bool {
    peers.rows[slot].phase == .established && peers.rows[slot].address == address
  }
}

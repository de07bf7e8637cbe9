// SPDX-License-Identifier: MIT
// Message 3: the initiator shows who it is, and the responder decides.

extension Engine {
  /// A handshake message for an id that message 2 has told.
  mutating func receiveMessage3<H: Handler>(
    _ datagram: RawSpan, _ slot: Slot, from address: Address, _ handler: inout H
  ) {
    guard Datagram.handshakeKind(datagram) == .noise, peers.handshakes[slot].versions != .original else {
      counters.handshakesOutOfPlace &+= 1
      return
    }
    let message = datagram.extracting(Datagram.handshakeHeaderLength..<datagram.byteCount)
    if peers.handshakes[slot].isTurnedAway {
      repeatRefusal(message, slot, from: address)
      return
    }
    var noise = peers.handshakes[slot].noise
    defer { noise.wipe() }
    guard let length = readPayload(message, with: &noise) else {
      counters.authenticationFailures &+= 1
      return
    }
    let key = noise.remoteStatic
    defer { wipeScratch(length) }
    guard let parameters = try? HandshakeParameters.parse(scratch.bytes(0, length), of: .third) else {
      counters.handshakesMalformed &+= 1
      refuse(slot)
      return
    }
    let applicationProtocol = agreedProtocol(parameters)
    if let refusal = refusal(of: parameters, applicationProtocol, key, slot, &handler) {
      turnAway(slot, noise, message, refusal.code, refusal.text)
      return
    }
    peers.handshakes[slot].noise = noise
    peers.remoteKeys[slot] = key
    agree(parameters, slot)
    peers.headers[slot].applicationProtocol = UInt8(applicationProtocol ?? 0)
    sampleHandshake(slot)
    if address == peers.rows[slot].address { peers.hear(slot, at: address.local) }
    beginAccepted(slot, parameters.resetToken, &handler)
    // It has got another address since message 1, and is asked there.
    if address != peers.rows[slot].address, peers.rows[slot].phase == .established {
      beginValidation(slot, of: address, bytes: datagram.byteCount)
    }
  }

  /// What speaks against an initiator that has shown who it is; `nil` when it is taken.
  private mutating func refusal<H: Handler>(
    of parameters: HandshakeParameters, _ applicationProtocol: Int?, _ key: PublicKey, _ slot: Slot, _ handler: inout H
  ) -> (code: CloseCode, text: String)? {
    if let unknown = parameters.unknownCritical {
      counters.handshakesIncompatible &+= 1
      return (.unknownCritical, unknown.text)
    }
    guard parameters.offersVersion1 else {
      counters.handshakesIncompatible &+= 1
      return (.noCommonProtocol, "no common version")
    }
    guard applicationProtocol != nil else {
      counters.handshakesIncompatible &+= 1
      return (.noCommonProtocol, "no common protocol")
    }
    // Before the limits: who is not wanted in any case need not try again.
    guard acceptsKey(key, peers.rows[slot].address) else { return (.keyRefused, "key refused") }
    guard isWithinLimits(key, peers.rows[slot].address) else {
      return (.resources, "too many connections")
    }
    let (start, count) = (parameters.payload.lowerBound, parameters.payload.count)
    let refusal = ask(&handler, key, peers.rows[slot].address, payload: scratch.bytes(start, count))
    if refusal != nil { counters.keysRefused &+= 1 }
    return refusal
  }

  /// What the rule for keys says of an initiator.
  mutating func acceptsKey(_ key: PublicKey, _ address: Address) -> Bool {
    if configuration.accepting.accepts(key, at: address) { return true }
    counters.keysRefused &+= 1
    return false
  }

  /// What the program says of an initiator whose key is accepted; `nil` when it takes it.
  func ask<H: Handler>(
    _ handler: inout H, _ key: PublicKey, _ address: Address, payload: RawSpan
  ) -> (code: CloseCode, text: String)? {
    switch handler.admission(of: key, from: address, payload: payload) {
    case .accepted: return nil
    case .refused(let code, let reason): return (code.isReserved ? .keyRefused : code, reason)
    }
  }

  /// The initiator is wanted: the connection begins.
  private mutating func beginAccepted<H: Handler>(_ slot: Slot, _ token: ResetToken?, _ handler: inout H) {
    agreeKeys(slot, peers.headers[slot].aead)
    peers.handshakes[slot].nextAttempt = .never
    peers.flows[slot].owesFirstAck = true
    if peers.handshakes[slot].held > 0 { listener.held.isReady = true }
    dropOtherAttempts(of: slot)
    peers.dropHandshakeRow(slot)
    peers.keep(token, slot)
    begin(slot, .message3, &handler)
  }
}

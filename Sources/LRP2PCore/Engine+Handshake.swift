// The Noise XX handshake, in the order of its messages. A message that fails changes nothing but a counter.

extension Engine {
  private static var headerLength: Int { Datagram.message1HeaderLength }

  // MARK: Message 1

  /// A new dial; `transmit` sends its message 1.
  mutating func startDialling(_ slot: Int, pinned: PublicKey?, versions: ProtocolVersions) {
    counters.handshakesStarted &+= 1
    writeMessage1(
      slot, pinned: pinned, versions: versions, token: (randomWord(), randomWord()),
      cookie: rememberedCookies[peers.rows[slot].address], length: min(configuration.maximumDatagram, 1400))
    sendMessage1(slot)
  }

  /// - Parameter length: of the datagram; what parameters do not need is padding.
  mutating func writeMessage1(
    _ slot: Int, pinned: PublicKey?, versions: ProtocolVersions, token: (UInt64, UInt64), cookie: ShownCookie?,
    length: Int
  ) {
    var noise = newNoise(initiator: true)
    // Who dials between two turns knows no time; the next `transmit` does.
    peers.handshakes.insert(HandshakeRow(noise: noise, byteCount: length, started: .never), at: slot)
    noise.wipe()
    peers.handshakes[slot].pinned = pinned
    peers.handshakes[slot].versions = versions
    peers.handshakes[slot].token = token
    peers.remoteKeys[slot] = pinned ?? PublicKey()

    let written: Bool
    if versions == .original {
      written = writeMessage(slot, payloadLength: 0, id: peers.rows[slot].connectionID, kind: nil)
    } else {
      var parameters = ownParameters(slot)
      parameters.isPublic = true
      for aead in configuration.aeads where suite.supports(aead) { parameters.offer(aead) }
      parameters.attemptToken = token
      parameters.hasAttemptToken = true
      parameters.cookie = cookie
      written = write(
        parameters, slot, id: peers.rows[slot].connectionID, kind: nil,
        paddedTo: length - Self.headerLength - NoiseHandshake.message1Overhead)
    }
    precondition(written, "message 1 needs no key agreement")
  }

  /// What comes for none of our ids: message 1, or a handshake message of the original.
  mutating func receiveHandshake<H: Handler>(
    _ datagram: RawSpan, id: UInt64, from address: Address, _ handler: inout H
  ) {
    guard ids.isSteeredHere(id) else {
      counters.misdirected &+= 1
      return
    }
    let hash = peers.foreign.hash(id, address)
    if let slot = peers.foreign.find(hash, peers.rows, id: id, address: address) {
      if HandshakeParameters.isMessage1(datagram) || (peers.rows[slot].isOriginal && datagram.byteCount == 40) {
        repeatMessage2(datagram, slot)
      } else if peers.rows[slot].isOriginal {
        receiveOriginalMessage3(datagram, slot, &handler)
      } else {
        counters.unknownConnection &+= 1
      }
    } else if configuration.acceptsConnections, HandshakeParameters.isMessage1(datagram) {
      guard let proof = admitsMessage1(datagram, id: id, from: address) else { return }
      receiveMessage1(datagram, id: id, hash: hash, from: address, proof)
    } else if configuration.acceptsConnections, configuration.acceptsOriginal, OriginalPeer.isMessage1(datagram) {
      receiveOriginalMessage1(datagram, id: id, hash: hash, from: address)
    } else {
      counters.unknownConnection &+= 1
    }
  }

  /// A new incoming connection: answers with message 2, which is shorter than a third of message 1.
  private mutating func receiveMessage1(
    _ datagram: RawSpan, id: UInt64, hash: UInt64, from address: Address, _ proof: AddressProof
  ) {
    let message = datagram.extracting(Self.headerLength..<datagram.byteCount)
    // The payload is in the clear: whatever speaks against the message is found before any cryptography.
    let payload = message.extracting(NoiseHandshake.message1Overhead..<message.byteCount)
    guard let parameters = try? HandshakeParameters.parse(payload) else {
      counters.handshakesMalformed &+= 1
      return
    }
    guard parameters.offersVersion1 else {
      counters.handshakesIncompatible &+= 1
      tellVersions(datagram, to: address)
      return
    }
    guard parameters.unknownCritical == nil, let aead = choose(parameters) else {
      counters.handshakesIncompatible &+= 1
      return
    }
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
    peers.flows[slot].aead = aead
    peers.flows[slot].agree(parameters, configuration: configuration)
    peers.rows[slot].takesMerged = parameters.takesMerged
    var parametersOfOurs = ownParameters(slot)
    parametersOfOurs.offer(aead)
    parametersOfOurs.cookie = ShownCookie(lastingCookie(for: address))
    answer(slot, payloadLength: writePayload(parametersOfOurs), kind: .noise)
  }

  /// Takes a slot for a connection whose message 1 was read; `nil` when there is none.
  mutating func admit(
    _ noise: NoiseHandshake, _ message: RawSpan, id: UInt64, hash: UInt64, from address: Address, isProved: Bool
  ) -> Int? {
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
    peers.foreign.insert(hash, slot: slot)
    peers.enlist(slot, isProved: isProved)
    return slot
  }

  /// Writes message 2 around the payload in `scratch`; frees the slot when the initiator's key is of low order.
  mutating func answer(_ slot: Int, payloadLength: Int, kind: HandshakeKind?) {
    guard writeMessage(slot, payloadLength: payloadLength, id: peers.rows[slot].remoteID, kind: kind) else {
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

  /// The responder's choice: the first AEAD of the initiator's that it has too.
  private func choose(_ parameters: HandshakeParameters) -> AEAD? {
    for index in 0..<parameters.aeadCount {
      if let aead = AEAD(rawValue: parameters.aeads[index]), configuration.aeads.contains(aead), suite.supports(aead) {
        return aead
      }
    }
    return nil
  }

  /// Message 2 went missing: the same message 1 has come again, and pays for the same answer.
  private mutating func repeatMessage2(_ datagram: RawSpan, _ slot: Int) {
    answerAgain(
      slot,
      if: peers.rows[slot].phase == .answering
        && PublicKey(bytes: datagram.extracting(8..<40)) == peers.handshakes[slot].answeredKey)
  }

  /// What was answered last has come again, if it is the same.
  mutating func answerAgain(_ slot: Int, if isSame: Bool) {
    guard isSame else {
      counters.handshakesOutOfPlace &+= 1
      return
    }
    counters.datagramsAccepted &+= 1
    peers.rows[slot].owesHandshake = true
    makeReady(slot)
  }

  // MARK: Message 2

  /// What comes for an id that was dialled with.
  mutating func receiveAnswer<H: Handler>(
    _ datagram: RawSpan, _ slot: Int, from address: Address, _ handler: inout H
  ) {
    guard peers.rows[slot].address == address else {
      counters.handshakesFromElsewhere &+= 1
      return
    }
    guard !peers.flows[peers.slot(of: peers.handshakes[slot].leader) ?? slot].isClosedByUser else {
      counters.late &+= 1
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
    case nil:
      guard peers.handshakes[slot].versions != .version1 else {
        counters.handshakesMalformed &+= 1
        return
      }
      receiveOriginalMessage2(
        datagram.extracting(Self.headerLength..<datagram.byteCount), slot, from: address, &handler)
    }
  }

  private mutating func receiveMessage2<H: Handler>(
    _ message: RawSpan, _ slot: Int, from address: Address, _ handler: inout H
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
      let parameters = try? HandshakeParameters.parse(scratch.bytes(0, length)), parameters.offersVersion1,
      parameters.unknownCritical == nil, parameters.hasReceiveID, parameters.aeadCount == 1,
      let aead = choose(parameters)
    else {
      counters.handshakesIncompatible &+= 1
      doubt(slot, .handshakeFailed)
      return
    }
    let key = noise.remoteStatic
    let isAccepted =
      peers.handshakes[slot].pinned.map { $0 == key } ?? handler.accepts(key: key, from: address)
    guard isAccepted else {
      counters.keysRefused &+= 1
      doubt(slot, .keyRefused)
      return
    }
    takeOver(slot)
    peers.handshakes[slot].noise = noise
    peers.handshakes[slot].answeredKey = PublicKey(bytes: message.extracting(0..<32))
    peers.handshakes[slot].nextAttempt = .never
    peers.rows[slot].remoteID = parameters.receiveID
    peers.remoteKeys[slot] = key
    peers.flows[slot].aead = aead
    peers.flows[slot].agree(parameters, configuration: configuration)
    peers.rows[slot].takesMerged = parameters.takesMerged
    if let cookie = parameters.cookie { rememberedCookies[address] = cookie }
    if !peers.handshakes[slot].isRepeated { sampleHandshake(slot) }

    let parametersOfOurs = ownParameters(slot)
    guard write(parametersOfOurs, slot, id: peers.rows[slot].remoteID, kind: .noise) else {
      counters.authenticationFailures &+= 1
      end(slot, .handshakeFailed, &handler)
      return
    }
    peers.rows[slot].owesHandshake = true
    agreeKeys(slot, aead)
    // Until the responder's first sealed datagram comes, message 3 is probed for like a PING.
    peers.flows[slot].awaitsPing = true
    peers.flows[slot].lastElicitingSent = now
    begin(slot, .message2, &handler)
  }

  /// The keys are agreed: the connection begins.
  mutating func begin<H: Handler>(_ slot: Int, _ event: Phase.Event, _ handler: inout H) {
    move(slot, event)
    counters.datagramsAccepted &+= 1
    counters.handshakesCompleted &+= 1
    peers.flows[slot].lastReceived = now
    makeReady(slot)
    touch(slot)
    handler.connected(peer(slot), incoming: peers.rows[slot].isIncoming, engine: &self)
  }

  /// Whether this side has dialled and nothing sealed has opened yet. So long it keeps its handshake row, a responder only until
  /// message 3. The hot row is asked first: for most the answer is there.
  @inline(__always)
  func awaitsConfirmation(_ slot: Int) -> Bool {
    !peers.rows[slot].isConfirmed && !peers.rows[slot].isIncoming && peers.handshakes.contains(slot)
  }

  /// A handshake message has come for a connection that has its keys. Until a sealed datagram has opened, the other side may lack our
  /// last one: the initiator repeats message 3 for a repeated message 2, the responder answers a repeated message 3 with an ACK.
  mutating func receiveRepeated(_ datagram: RawSpan, _ slot: Int, from address: Address) {
    guard Datagram.handshakeKind(datagram) == .noise, !peers.rows[slot].isConfirmed, !peers.rows[slot].isOriginal,
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

  private func repeatsMessage2(_ datagram: RawSpan, _ slot: Int) -> Bool {
    let start = Datagram.handshakeHeaderLength
    return awaitsConfirmation(slot) && datagram.byteCount >= start + NoiseHandshake.message2Overhead
      && PublicKey(bytes: datagram.extracting(start..<start + 32)) == peers.handshakes[slot].answeredKey
  }

  private func repeatsMessage3(_ slot: Int, from address: Address) -> Bool {
    peers.rows[slot].phase == .established && peers.rows[slot].address == address
  }

  // MARK: Message 3

  /// A handshake message for an id that message 2 has told.
  mutating func receiveMessage3<H: Handler>(
    _ datagram: RawSpan, _ slot: Int, from address: Address, _ handler: inout H
  ) {
    guard Datagram.handshakeKind(datagram) == .noise, !peers.rows[slot].isOriginal else {
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
    guard let parameters = try? HandshakeParameters.parse(scratch.bytes(0, length)) else {
      counters.handshakesMalformed &+= 1
      refuse(slot)
      return
    }
    if let unknown = parameters.unknownCritical {
      counters.handshakesIncompatible &+= 1
      turnAway(slot, noise, message, CloseCode.unknownCritical, unknown.text)
      return
    }
    guard parameters.offersVersion1 else {
      counters.handshakesIncompatible &+= 1
      turnAway(slot, noise, message, CloseCode.noCommonProtocol, "no common version")
      return
    }
    guard isWithinLimits(key, peers.rows[slot].address) else {
      turnAway(slot, noise, message, CloseCode.resources, "too many connections")
      return
    }
    guard handler.accepts(key: key, from: peers.rows[slot].address) else {
      counters.keysRefused &+= 1
      turnAway(slot, noise, message, CloseCode.keyRefused, "key refused")
      return
    }
    peers.handshakes[slot].noise = noise
    peers.remoteKeys[slot] = key
    peers.flows[slot].agree(parameters, configuration: configuration)
    peers.rows[slot].takesMerged = parameters.takesMerged
    sampleHandshake(slot)
    agreeKeys(slot, peers.flows[slot].aead)
    peers.handshakes[slot].nextAttempt = .never
    peers.flows[slot].owesFirstAck = true
    if peers.handshakes[slot].held > 0 { held.isReady = true }
    dropOtherAttempts(of: slot)
    peers.dropHandshakeRow(slot)
    begin(slot, .message3, &handler)
    // It has got another address since message 1, and is asked there.
    if address != peers.rows[slot].address, peers.rows[slot].phase == .established {
      beginValidation(slot, of: address, bytes: datagram.byteCount)
    }
  }

  // MARK: Shared steps

  /// What this side says of itself.
  private mutating func ownParameters(_ slot: Int) -> HandshakeParameters {
    var parameters = HandshakeParameters()
    parameters.receiveID = peers.rows[slot].connectionID
    parameters.hasReceiveID = true
    parameters.maximumDatagram = configuration.maximumDatagram
    parameters.initialWindow = UInt32(min(configuration.largestReceiveWindow, configuration.initialReceiveWindow))
    parameters.idleTimeoutMilliseconds = UInt32(clamping: configuration.idleTimeout / 1_000_000)
    parameters.maximumAckDelayMicroseconds = UInt32(clamping: configuration.maximumAckDelay / 1000)
    parameters.ackRatio = UInt16(configuration.ackRatio)
    parameters.takesMerged = ids.count == 1
    // Now and then a parameter that means nothing, so that skipping unknown ones stays true of every peer.
    let random = randomWord()
    if random & 3 == 0 { parameters.reservedType = UInt16(truncatingIfNeeded: random >> 32) | 0x8000 }
    if random & 12 == 0 { parameters.reservedVersion = UInt8(truncatingIfNeeded: random >> 48) | 1 }
    return parameters
  }

  /// This side of a handshake, under a new ephemeral key. The caller wipes it.
  mutating func newNoise(initiator: Bool) -> NoiseHandshake {
    hasHandledSecrets = true
    var ephemeral = suite.randomKey()
    defer { ephemeral.wipe() }
    return NoiseHandshake(initiator: initiator, staticPublic: publicKey, ephemeralSecret: ephemeral, suite: suite)
  }

  /// Writes parameters to the start of `scratch`.
  private mutating func writePayload(_ parameters: HandshakeParameters, paddedTo: Int = 0) -> Int {
    var payload = scratch.mutableBytes(0, max(HandshakeParameters.bound, paddedTo))
    return parameters.write(into: &payload, paddedTo: paddedTo)
  }

  private mutating func write(
    _ parameters: HandshakeParameters, _ slot: Int, id: UInt64, kind: HandshakeKind?, paddedTo: Int = 0
  ) -> Bool {
    let length = writePayload(parameters, paddedTo: paddedTo)
    return writeMessage(slot, payloadLength: length, id: id, kind: kind)
  }

  /// Writes the next handshake message into the row's datagram, around the payload at the start of `scratch`; `false`
  /// when the key agreement gives zero.
  mutating func writeMessage(_ slot: Int, payloadLength: Int, id: UInt64, kind: HandshakeKind?) -> Bool {
    let suite = self.suite
    hasHandledSecrets = true
    return peers.handshakes[slot].write(scratch, payloadLength, id: id, kind: kind, secrets: secrets, suite: suite)
  }

  /// Reads a handshake message; its payload stands at the start of `scratch`.
  mutating func readPayload(_ message: RawSpan, with noise: inout NoiseHandshake) -> Int? {
    let suite = self.suite
    hasHandledSecrets = true
    var payload = scratch.mutableBytes(0, scratch.byteCount)
    return noise.read(message, payload: &payload, suite: suite)
  }

  /// The handshake's own round trip is the first sample, so that the first flight is already paced and probed.
  mutating func sampleHandshake(_ slot: Int) {
    let sent = peers.handshakes[slot].sentAt
    guard now > sent else { return }
    peers.flows[slot].roundTrip.update(sample: now - sent, acknowledgementDelay: 0)
  }

  mutating func agreeKeys(_ slot: Int, _ aead: AEAD) {
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

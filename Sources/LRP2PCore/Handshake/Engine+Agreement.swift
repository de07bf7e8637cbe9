// What both sides of a handshake say of themselves, and what they agree on.

extension Engine {
  /// What both sides speak over this connection: of the dialler's `EngineConfiguration.applicationProtocols` the first that the listener
  /// has. `nil` until the handshake is done, where this side has none configured, with the original peer, and when the handle is void.
  public func applicationProtocol(of peer: Peer) -> ApplicationProtocol? {
    guard let slot = known(peer) else { return nil }
    let index = Int(
      isResting(slot) ? peers.resting[slot].lasting.applicationProtocol : peers.flows[slot].lasting.applicationProtocol)
    return index == 0 ? nil : configuration.applicationProtocols[index - 1]
  }

  /// What this side says of itself.
  mutating func ownParameters(_ slot: Slot) -> HandshakeParameters {
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
    parameters.features = UInt32(configuration.features)
    if random & 48 == 0 { parameters.features |= 1 << (16 + UInt32(truncatingIfNeeded: random >> 56) & 15) }
    return parameters
  }

  /// The responder's choice: the first AEAD of the initiator's that it has too.
  func choose(_ parameters: HandshakeParameters) -> AEAD? {
    for index in 0..<parameters.aeadCount {
      if let aead = ownAEAD(parameters.aeads[index]) { return aead }
    }
    return nil
  }

  /// The AEAD of this number, if this side has it.
  func ownAEAD(_ number: UInt8) -> AEAD? {
    guard let aead = AEAD(rawValue: number), configuration.aeads.contains(aead), suite.supports(aead) else {
      return nil
    }
    return aead
  }

  /// Which of its application protocols this side speaks over the connection, counted from 1: the first that the other lists or has
  /// named, whose parameters were read from the start of `scratch`. 0 if this side has none, `nil` if none is common.
  func agreedProtocol(_ parameters: HandshakeParameters) -> Int? {
    if protocolNames.isEmpty { return 0 }
    let index = protocolNames.first(
      in: scratch.bytes(parameters.protocols.lowerBound, parameters.protocols.count))
    return index == 0 ? nil : index
  }

  /// Writes message 3, and forgets what the program has to say in it.
  mutating func writeMessage3(_ slot: Slot) -> Bool {
    var parameters = ownParameters(slot)
    parameters.resetToken = ownResetToken(slot)
    let names = protocolNames.bytes
    let index = Int(peers.flows[slot].lasting.applicationProtocol)
    let name = index == 0 ? 0..<0 : protocolNames.place(of: index)
    var payload = ProgramBytes()
    swap(&payload, &peers.handshakes[slot].payload)
    let padded = min(configuration.message3Bytes, peers.handshakes[slot].datagram.byteCount)
    let length = unsafe writePayload(
      parameters, paddedTo: padded - Datagram.handshakeHeaderLength - NoiseHandshake.message3Overhead,
      protocols: names.span.bytes.extracting(name), payload: payload.bytes)
    defer { wipeScratch(length) }
    return writeMessage(slot, payloadLength: length, id: peers.rows[slot].remoteID, kind: .noise)
  }

  /// What message 3 has told is for the programs only.
  mutating func wipeScratch(_ length: Int) {
    var bytes = scratch.mutableBytes(0, length)
    LRP2PCore.wipe(&bytes)
  }
}

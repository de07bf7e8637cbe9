// SPDX-License-Identifier: MIT
// What this side writes of a handshake: messages 1, 2 and 3.

extension Engine {
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
    parameters.features = UInt32(configuration.allFeatures)
    parameters.maximumMessage = UInt32(configuration.largestMessage)
    if random & 48 == 0 { parameters.features |= 1 << (16 + UInt32(truncatingIfNeeded: random >> 56) & 15) }
    return parameters
  }

  /// - Parameter length: of the datagram; what parameters do not need is padding.
  mutating func writeMessage1(
    _ slot: Slot, expecting keys: PeerKeys, versions: VersionPolicy, token: (UInt64, UInt64), cookie: ShownCookie?,
    length: Int
  ) {
    var noise = newNoise(initiator: true)
    // Who dials between two turns knows no time; the next `transmit` does.
    peers.handshakes.insert(HandshakeRow(noise: noise, byteCount: length, started: .never), at: slot)
    noise.wipe()
    peers.handshakes[slot].expected = keys
    peers.handshakes[slot].versions = versions
    peers.handshakes[slot].token = token
    peers.remoteKeys[slot] = keys.only ?? PublicKey()

    let isWritten: Bool
    if versions == .original {
      isWritten = writeMessage(slot, payloadLength: 0)
    } else {
      var parameters = ownParameters(slot)
      parameters.isPublic = true
      for aead in configuration.aeads where suite.supports(aead) { parameters.offer(aead) }
      parameters.attemptToken = token
      parameters.hasAttemptToken = true
      parameters.cookie = cookie
      isWritten = writeMessage(slot, parameters, paddedTo: length)
    }
    precondition(isWritten, "message 1 needs no key agreement")
  }

  mutating func writeMessage2(_ slot: Slot, _ aead: AEAD) -> Bool {
    var parameters = ownParameters(slot)
    parameters.offer(aead)
    parameters.cookie = ShownCookie(lastingCookie(for: peers.rows[slot].address))
    parameters.resetToken = ownResetToken(slot)
    let names = protocolNames.bytes
    return unsafe writeMessage(slot, parameters, protocols: names.span.bytes)
  }

  /// Writes message 3, and forgets what the program has to say in it.
  mutating func writeMessage3(_ slot: Slot) -> Bool {
    var parameters = ownParameters(slot)
    parameters.resetToken = ownResetToken(slot)
    let names = protocolNames.bytes
    let index = Int(peers.headers[slot].applicationProtocol)
    let name = index == 0 ? 0..<0 : protocolNames.place(of: index)
    var payload = ProgramBytes()
    swap(&payload, &peers.handshakes[slot].payload)
    return unsafe writeMessage(
      slot, parameters, protocols: names.span.bytes.extracting(name), payload: payload.bytes,
      paddedTo: min(configuration.message3Bytes, peers.handshakes[slot].datagram.byteCount))
  }

  /// The writer of all three: parameters and what goes with them, padded to a datagram of `paddedTo` bytes.
  /// - Returns: `false` when the key agreement gives zero.
  private mutating func writeMessage(
    _ slot: Slot, _ parameters: HandshakeParameters, protocols: RawSpan = RawSpan(), payload: RawSpan = RawSpan(),
    paddedTo datagramLength: Int = 0
  ) -> Bool {
    let paddedTo = max(datagramLength - peers.handshakes[slot].overhead, 0)
    var bytes = scratch.mutableBytes(0, max(HandshakeParameters.bound, paddedTo))
    let length = parameters.write(into: &bytes, paddedTo: paddedTo, protocols: protocols, payload: payload)
    defer { wipeScratch(length) }
    return writeMessage(slot, payloadLength: length)
  }

  /// Writes the next handshake message into the row's datagram, around the payload at the start of `scratch`; `false`
  /// when the key agreement gives zero.
  mutating func writeMessage(_ slot: Slot, payloadLength: Int) -> Bool {
    let suite = self.suite
    let id = peers.rows[slot].remoteID
    hasHandledSecrets = true
    return peers.handshakes[slot].write(scratch, payloadLength, id: id, secrets: secrets, suite: suite)
  }

  /// What message 3 tells is for the programs only.
  mutating func wipeScratch(_ length: Int) {
    var bytes = scratch.mutableBytes(0, length)
    LRP2PCore.wipe(&bytes)
  }
}

// The path: a peer that is heard from another address, and what size of datagram arrives.

extension Engine {
  /// An authentic datagram did not come from the peer's address.
  mutating func heardElsewhere(_ slot: Int, from address: Address, bytes: Int, packetNumber: UInt64) {
    // The original's peers stay where they are: nothing in its protocol could prove a move.
    guard peers.rows[slot].phase == .established, !peers.rows[slot].isOriginal else { return }
    let isNewest = peers.flows[slot].replay.highest == packetNumber
    if peers.flows[slot].path.heard(from: address, bytes: bytes, isNewest: isNewest, now: now) {
      beginValidation(slot, of: address, bytes: bytes)
    } else if isNewest, peers.flows[slot].path.putsOff(now: now) {
      counters.pathValidationsPutOff &+= 1
    }
    touch(slot)
  }

  mutating func beginValidation(_ slot: Int, of address: Address, bytes: Int) {
    counters.pathValidations &+= 1
    peers.flows[slot].path.begin(
      address, bytes: bytes, challenges: (randomWord(), randomWord()),
      probeTimeout: min(peers.flows[slot].probeTimeout, .seconds(3)), now: now)
  }

  /// RESPONSE: of the candidate, of the old address, or of a probe for the path's size.
  mutating func receiveResponse<H: Handler>(_ body: RawSpan, _ slot: Int, _ handler: inout H) {
    guard body.byteCount >= Control.challengeLength else {
      counters.malformed &+= 1
      return
    }
    let value = body.bigEndian64(0)
    if peers.flows[slot].mtu.answered(value) {
      peers.flows[slot].pathSizeChanged()
      return
    }
    guard peers.flows[slot].path.asks(value) else {
      counters.responsesUnasked &+= 1
      return
    }
    let verdict = peers.flows[slot].path.answered(
      value, probeTimeout: min(peers.flows[slot].probeTimeout, .seconds(3)), now: now)
    if case .stay = verdict { counters.pathValidationsRefused &+= 1 }
    follow(verdict, slot, &handler)
  }

  mutating func expirePath<H: Handler>(_ slot: Int, _ handler: inout H) {
    let lastReceived = peers.flows[slot].lastReceived
    if peers.flows[slot].mtu.expired(lastReceived: lastReceived, now: now) { peers.flows[slot].owesPing = true }
    let verdict = peers.flows[slot].path.expired(
      probeTimeout: min(peers.flows[slot].probeTimeout, .seconds(3)), now: now)
    if case .stay = verdict { counters.pathValidationsUnanswered &+= 1 }
    follow(verdict, slot, &handler)
  }

  private mutating func follow<H: Handler>(_ verdict: PathValidation.Verdict, _ slot: Int, _ handler: inout H) {
    guard case .move = verdict else { return }
    let old = peers.rows[slot].address
    let new = peers.flows[slot].path.candidate
    peers.rows[slot].address = new
    countMove(slot, from: old)
    counters.pathChanges &+= 1
    let isOtherHost = old.high != new.high || old.low != new.low || old.scope != new.scope
    peers.flows[slot].moved(toOtherHost: isOtherHost, configuration: configuration, now: now)
    makeReady(slot)
    handler.moved(peer(slot), to: new, engine: &self)
  }

  // MARK: Out

  /// CHALLENGEs and RESPONSEs, each to the address that it is about.
  mutating func sendPath(_ slot: Int, into batch: inout DatagramBatch) -> Bool {
    while peers.flows[slot].path.responseCount > 0 {
      let last = peers.flows[slot].path.responseCount - 1
      guard
        sendChallenge(
          slot, Control.response, peers.flows[slot].path.responses[last],
          to: peers.flows[slot].path.responseAddresses[last], length: PathValidation.shortestChallenge, &batch)
      else { return false }
      peers.flows[slot].path.sentResponse()
    }
    if peers.flows[slot].path.owesOld {
      guard
        sendChallenge(
          slot, Control.challenge, peers.flows[slot].path.oldChallenge, to: peers.rows[slot].address,
          length: PathValidation.shortestChallenge, &batch)
      else { return false }
      peers.flows[slot].path.sentOld()
    }
    let allowance = peers.flows[slot].path.allowance
    if peers.flows[slot].path.owesNew, allowance >= PathValidation.shortestChallenge {
      let length = min(allowance, PathMTU.base)
      guard
        sendChallenge(
          slot, Control.challenge, peers.flows[slot].path.newChallengeValue, to: peers.flows[slot].path.candidate,
          length: length, &batch)
      else { return false }
      peers.flows[slot].path.sentNew(bytes: length, now: now)
    }
    if peers.flows[slot].mtu.owesProbe {
      guard
        sendChallenge(
          slot, Control.challenge, peers.flows[slot].mtu.challenge, to: peers.rows[slot].address,
          length: peers.flows[slot].mtu.probing, &batch)
      else { return false }
      peers.flows[slot].mtu.probeSent(timeout: peers.flows[slot].probeTimeout, now: now)
    }
    return true
  }

  /// - Parameter length: of the datagram; what the 8 bytes do not need is padding.
  private mutating func sendChallenge(
    _ slot: Int, _ kind: UInt16, _ value: UInt64, to address: Address, length: Int, _ batch: inout DatagramBatch
  ) -> Bool {
    // Never in a message with other connections' datagrams: one that is too long for the path takes the message along.
    let group = peers.rows[slot].remoteID
    let place =
      address == peers.rows[slot].address
      ? batch.place(length, for: address, group: group) : batch.placeUnproved(length, for: address, group: group)
    guard let place else { return false }
    _ = begin(slot, place, length, &batch)
    let body = length - Datagram.headerLength - Datagram.tagLength
    var bytes = batch.arena.mutableBytes(place + Datagram.headerLength, body)
    Segment.writeControl(flags: 0, kind: kind, token: 0, into: &bytes)
    bytes.setBigEndian64(Segment.controlLength, value)
    for index in Segment.controlLength + Control.challengeLength..<body { bytes.setByte(index, 0) }
    return true
  }

  /// A segment that was cut for a path that carried more: its pieces, side by side.
  /// - Returns: the packet number of the last piece; `nil` when there is no room for all that is left.
  mutating func sendPieces<H: Handler>(
    _ segment: SendWindow.Segment, flags: UInt8, _ slot: Int, into batch: inout DatagramBatch, _ handler: inout H
  ) -> UInt64? {
    let most = (peers.flows[slot].capacity - Segment.pieceOptionLength) / Reassembly.unit * Reassembly.unit
    let overhead = Datagram.headerLength + Segment.dataLength + Segment.pieceOptionLength + Datagram.tagLength
    var packetNumber: UInt64 = 0
    // A batch that was full in the middle of a segment: the next one goes on there.
    var offset = peers.flows[slot].pieceNumber == segment.number ? peers.flows[slot].pieceOffset : 0
    while offset < segment.length {
      let length = min(most, segment.length - offset)
      guard let place = append(overhead + length, slot, &batch) else {
        peers.flows[slot].pieceNumber = segment.number
        peers.flows[slot].pieceOffset = offset
        return nil
      }
      packetNumber = begin(slot, place, overhead + length, &batch)
      var bytes = batch.arena.mutableBytes(
        place + Datagram.headerLength, Segment.dataLength + Segment.pieceOptionLength + length)
      Segment.writePiece(
        flags: flags, sequence: segment.number, offset: offset, total: segment.length, into: &bytes)
      var payload = bytes._mutatingExtracting(Segment.dataLength + Segment.pieceOptionLength..<bytes.byteCount)
      handler.fill(peer(slot), offset: segment.offset + UInt64(offset), into: &payload)
      offset += length
    }
    peers.flows[slot].pieceOffset = 0
    return packetNumber
  }
}

extension Flow {
  /// The size of a full datagram is another one now.
  package mutating func pathSizeChanged() {
    capacity = Self.capacity(datagram: mtu.datagram)
    congestion.setSegment(mtu.datagram)
  }

  /// The peer's datagrams go to another address from now on. What was on the way to the old one is asked for at once.
  fileprivate mutating func moved(toOtherHost isOtherHost: Bool, configuration: EngineConfiguration, now: Instant) {
    if isOtherHost {
      // Nothing that is known of the old path holds for the new one (RFC 9000, section 9.4).
      roundTrip = RoundTripEstimate()
      roundTrip.update(sample: path.roundTrip, acknowledgementDelay: 0)
      if mtu.fallBack() { capacity = Self.capacity(datagram: mtu.datagram) }
      congestion = CongestionControl(
        congestion.algorithm, segment: mtu.datagram, initialWindow: configuration.initialWindow, seed: now)
      pacer = Pacer()
      rate = DeliveryRate()
      trains = PacketTrains()
      hasStarted = false
      remembered = nil
    }
    probeCount = 0
    hasProbedEarly = false
    lastElicitingSent = now
    if send.packetsInFlight > 0 { probesOwed = 2 } else { owesPing = true }
  }
}

// SPDX-License-Identifier: MIT
// The path: a peer that is heard from another address, and what size of datagram arrives.

extension Engine {
  /// The probe timeout that questions about a path are repeated by.
  @inline(__always)
  func pathTimeout(_ slot: Slot) -> Nanoseconds {
    min(peers.flows[slot].probeTimeout(peers.headers[slot]), .seconds(3))
  }

  /// An authentic datagram did not come from the peer's address.
  mutating func receivedFromNewAddress(_ slot: Slot, from address: Address, bytes: Int, packetNumber: UInt64) {
    // Version 0's peers stay where they are: nothing in its protocol could prove a move.
    guard peers.rows[slot].phase == .established, speaksVersion1(slot) else { return }
    let isValidated = peers.flows[slot].path.isActive && peers.flows[slot].path.candidate == address
    guard isValidated || !peers.flows[slot].pathSwitch.concerns(address) else { return }
    let isNewest = peers.flows[slot].replay.highest == packetNumber
    if peers.flows[slot].path.heard(from: address, bytes: bytes, isNewest: isNewest, now: now) {
      beginValidation(slot, of: address, bytes: bytes, packetNumber: packetNumber)
    } else if isNewest, peers.flows[slot].path.putsOff(address, now: now) {
      counters.pathValidationsPutOff &+= 1
    }
    markDirty(slot)
  }

  /// An authentic datagram of the peer's address has come to another of ours: the newest shows where the peer sends.
  mutating func receivedAtOther(_ slot: Slot, _ local: UInt8, packetNumber: UInt64) {
    if peers.flows[slot].replay.highest == packetNumber { peers.hear(slot, at: local) }
  }

  mutating func beginValidation(_ slot: Slot, of address: Address, bytes: Int, packetNumber: UInt64 = 0) {
    counters.pathValidations &+= 1
    peers.flows[slot].path.begin(
      address, bytes: bytes, packetNumber: packetNumber, challenges: (randomWord(), randomWord()),
      probeTimeout: pathTimeout(slot), now: now)
  }

  /// RESPONSE: of the candidate, of the old address, or of a probe for the path's size.
  mutating func receiveResponse<H: Handler>(_ body: RawSpan, _ slot: Slot, _ handler: inout H) {
    guard body.byteCount >= Control.challengeLength else {
      counters.malformed &+= 1
      return
    }
    let value = body.bigEndian64(0)
    if peers.flows[slot].mtu.answered(value) {
      peers.flows[slot].pathSizeChanged()
      return
    }
    if peers.flows[slot].pathSwitch.asks(value) {
      switchAnswered(slot, &handler)
      return
    }
    guard peers.flows[slot].path.asks(value) else {
      counters.responsesUnasked &+= 1
      return
    }
    let verdict = peers.flows[slot].path.answered(
      value, probeTimeout: pathTimeout(slot), now: now)
    if case .stay = verdict { counters.pathValidationsRefused &+= 1 }
    follow(verdict, slot, &handler)
  }

  mutating func expirePath<H: Handler>(_ slot: Slot, _ handler: inout H) {
    let lastReceived = peers.headers[slot].lastReceived
    if peers.flows[slot].mtu.expired(lastReceived: lastReceived, now: now) { peers.flows[slot].owesPing = true }
    let verdict = peers.flows[slot].path.expired(
      probeTimeout: pathTimeout(slot), now: now)
    if case .stay = verdict { counters.pathValidationsUnanswered &+= 1 }
    follow(verdict, slot, &handler)
    expireSwitch(slot, &handler)
  }

  mutating func follow<H: Handler>(_ verdict: PathValidation.Verdict, _ slot: Slot, _ handler: inout H) {
    guard case .move = verdict else { return }
    let new = peers.flows[slot].path.candidate
    if peers.flows[slot].path.isSwitch {
      oweResponse(slot, peers.flows[slot].path.switchValue, to: new)
      settlePath(slot)
    }
    relocate(slot, to: new, roundTrip: peers.flows[slot].path.roundTrip, &handler)
  }

  /// The peer is at another address, which has answered after `roundTrip`.
  mutating func relocate<H: Handler>(
    _ slot: Slot, to new: Address, roundTrip: Nanoseconds, _ handler: inout H
  ) {
    let old = peers.rows[slot].address
    peers.move(slot, to: new)
    countMove(slot, from: old)
    counters.pathChanges &+= 1
    let isOtherHost = old.high != new.high || old.low != new.low || old.scope != new.scope
    takePath(slot, toOtherHost: isOtherHost, roundTrip: roundTrip)
    handler.moved(peer(slot), to: new, engine: &self)
  }

  /// What is sent goes over another path from here on.
  mutating func takePath(_ slot: Slot, toOtherHost isOtherHost: Bool, roundTrip: Nanoseconds) {
    peers.flows[slot].moved(toOtherHost: isOtherHost, roundTrip: roundTrip, configuration: configuration, now: now)
    peers.flows[slot].ecn.pathChanged(
      next: peers.flows[slot].send.next, reported: peers.headers[slot].highestMarked)
    makeReady(slot)
  }

  // MARK: Out

  /// CHALLENGEs, RESPONSEs and SWITCHes, each to the address that it is about.
  /// - Returns: whether all of them had room.
  mutating func sendPath(_ slot: Slot, into batch: inout DatagramBatch) -> Bool {
    sendResponses(slot, &batch) && sendValidation(slot, &batch) && sendSwitch(slot, &batch)
      && sendSizeProbe(slot, &batch)
  }

  private mutating func sendResponses(_ slot: Slot, _ batch: inout DatagramBatch) -> Bool {
    while peers.flows[slot].path.responseCount > 0 {
      let last = peers.flows[slot].path.responseCount - 1
      guard
        sendChallenge(
          slot, Control.response, peers.flows[slot].path.responses[last],
          to: peers.flows[slot].path.responseAddresses[last], length: PathValidation.shortestChallenge, &batch)
      else { return false }
      peers.flows[slot].path.sentResponse()
    }
    return true
  }

  private mutating func sendValidation(_ slot: Slot, _ batch: inout DatagramBatch) -> Bool {
    if peers.flows[slot].path.owesOld {
      guard
        sendChallenge(
          slot, Control.challenge, peers.flows[slot].path.oldChallenge, to: peers.rows[slot].address,
          length: PathValidation.shortestChallenge, &batch)
      else { return false }
      peers.flows[slot].path.sentOld()
    }
    let allowance = peers.flows[slot].path.allowance
    guard peers.flows[slot].path.owesNew, allowance >= PathValidation.shortestChallenge else { return true }
    let length = min(allowance, PathMTU.base)
    guard
      sendChallenge(
        slot, Control.challenge, peers.flows[slot].path.newChallengeValue, to: peers.flows[slot].path.candidate,
        length: length, &batch)
    else { return false }
    peers.flows[slot].path.sentNew(bytes: length, now: now)
    return true
  }

  private mutating func sendSwitch(_ slot: Slot, _ batch: inout DatagramBatch) -> Bool {
    guard peers.flows[slot].pathSwitch.owes else { return true }
    let target = peers.flows[slot].pathSwitch.target
    // As long as any path carries, so that the new one is known to.
    guard
      sendChallenge(
        slot, peers.flows[slot].pathSwitch.kind, peers.flows[slot].pathSwitch.value,
        to: target == .none ? peers.rows[slot].address : target, length: PathMTU.base, &batch)
    else { return false }
    peers.flows[slot].pathSwitch.sent(probeTimeout: pathTimeout(slot), now: now)
    return true
  }

  private mutating func sendSizeProbe(_ slot: Slot, _ batch: inout DatagramBatch) -> Bool {
    guard peers.flows[slot].mtu.owesProbe else { return true }
    guard
      sendChallenge(
        slot, Control.challenge, peers.flows[slot].mtu.challenge, to: peers.rows[slot].address,
        length: peers.flows[slot].mtu.probing, &batch)
    else { return false }
    peers.flows[slot].mtu.probeSent(timeout: peers.flows[slot].probeTimeout(peers.headers[slot]), now: now)
    return true
  }

  /// - Parameter length: of the datagram; what the 8 bytes do not need is padding.
  private mutating func sendChallenge(
    _ slot: Slot, _ kind: UInt16, _ value: UInt64, to address: Address, length: Int, _ batch: inout DatagramBatch
  ) -> Bool {
    // Never in a message with other connections' datagrams: one that is too long for the path takes the message along.
    let group = peers.rows[slot].remoteID
    let address = peers.rows[slot].isIncoming ? address : address.fromAnywhere
    let place =
      address == peers.rows[slot].address
      ? batch.place(length, for: address, group: group) : batch.placeUnproved(length, for: address, group: group)
    guard let place else { return false }
    let body = length - Datagram.headerLength - Datagram.tagLength
    var bytes = batch.arena.mutableBytes(number(slot, at: place, length, &batch).segment, body)
    Segment.writeControl(flags: 0, kind: kind, token: 0, into: &bytes)
    bytes.setBigEndian64(Segment.controlLength, value)
    for index in Segment.controlLength + Control.challengeLength..<body { bytes.setByte(index, 0) }
    return true
  }
}

extension Flow {
  /// The size of a full datagram is another one now.
  package mutating func pathSizeChanged() {
    capacity = Segment.capacity(datagram: mtu.datagram)
    congestion.setSegment(mtu.datagram)
  }

  /// The peer's datagrams go to another address from now on. What was on the way to the old one is asked for at once.
  mutating func moved(
    toOtherHost isOtherHost: Bool, roundTrip sample: Nanoseconds, configuration: EngineConfiguration, now: Instant
  ) {
    if isOtherHost {
      // Nothing that is known of the old path holds for the new one (RFC 9000, section 9.4).
      roundTrip = RoundTripEstimate(expected: configuration.initialRoundTrip)
      roundTrip.update(sample: sample, acknowledgementDelay: 0)
      mtu.restart()
      capacity = Segment.capacity(datagram: mtu.datagram)
      congestion = CongestionControl(
        congestion.algorithm, segment: mtu.datagram, initialWindow: configuration.initialWindow, seed: now)
      pacer = Pacer()
      rate = DeliveryRate()
      trains = PacketTrains()
      lostSinceDelivery = 0
      awaitsDelivery = false
      hasStarted = false
      remembered = nil
    }
    ptoCount = 0
    hasProbedEarly = false
    lastElicitingSent = now
    if send.packetsInFlight > 0 { probesOwed = 2 } else { owesPing = true }
  }
}

extension Flow {
  /// Nothing is under way, owed or stored, and both streams go on: all that has to be kept fits a `RestingRow`.
  @inline(__always)
  package var isQuiet: Bool {
    send.isQuiet && receive.isQuiet && ack.isQuiet && path.isQuiet && mtu.isQuiet && epochs.previous.aead == 0
      && !(owesPing || awaitsPing || owesFirstAck || isClosedByUser || owesClose)
      && pongs.isEmpty && pingToken == 0 && probesOwed == 0 && reportedOffset == send.acknowledgedOffset
      // What an earlier connection has learnt is for the first data; what this one has is kept.
      && (remembered == nil || hasStarted || remembered?.bytesPerSecond == rate.bytesPerSecond)
  }

  /// When the flow has been idle for long enough to rest.
  @inline(__always)
  package func restDeadline(after interval: Nanoseconds) -> Instant {
    interval == 0 ? .never : max(lastReceived, lastSent) + max(interval, probeTimeout)
  }

  /// Writes what is kept into `row`, all of it.
  @inline(__always)
  package func rest(in row: inout RestingRow) {
    row.replay = replay.rest
    row.receivingEpoch = epochs.receiving
    row.sendingEpoch = epochs.sending
    row.lastReceived = lastReceived
    row.lastSent = lastSent
    row.idleTimeout = idleTimeout
    row.handle = handle
    row.send = send.rest
    row.receive = receive.rest
    row.roundTrip = roundTrip.rest
    row.ack = ack.rest
    row.mtu = mtu.rest
    row.highestAcknowledged = highestAcknowledged
    row.highestCE = highestCE
    row.deliveryRate = rate.bytesPerSecond
    row.pathHoldOffUntil = path.holdOffUntil
    row.retransmissions = retransmissions
    row.hasLost = hasLost
    row.authenticationFailures = authenticationFailures
    row.peerMaximumAckDelay = peerMaximumAckDelay
    row.peerAckRatio = UInt16(clamping: peerAckRatio)
    row.aead = aead
    row.congestion = congestion.algorithm
  }

  /// Whether it takes no more memory than at first.
  @inline(__always)
  package var isSmall: Bool {
    send.ring.count == SendWindow.smallestRing && receive.storedCount == ReceiveWindow.smallestStore
      && replay.isSmall && rate.isSmall && reassembly == nil
  }

  /// Gives back what is more than that. What it knew is gone.
  package mutating func shrink() {
    send.restart(from: SendWindow.Rest())
    receive.restart(from: ReceiveWindow.Rest())
    replay.restart(from: ReplayWindow.Rest())
    rate.restart(bytesPerSecond: 0)
    reassembly = nil
  }

  /// Nothing has moved for long: gives back what a burst has needed.
  package mutating func shrinkInSilence(to pool: inout ReceivePool) {
    send.shrink()
    rate.forgetPackets()
    // The memory of packet numbers is charged with the receive window's.
    if receive.shrink(to: &pool), !replay.isSmall { replay.restart(from: replay.rest) }
  }

  /// The connection is over: nothing is sent or taken again, and what remembers it is given back.
  package mutating func abandon() {
    send.abandon()
    epochs.wipePrevious()
    replay.restart(from: replay.rest)
    rate.restart(bytesPerSecond: 0)
    reassembly = nil
  }

  /// Becomes the flow of a connection that goes on behind a rest, in the memory of one that was quiet, so that what
  /// `isQuiet` asks for need not be set, or of which `forgetEnd` has made one. The congestion controller starts anew, from
  /// what was learnt of the path (docs/congestion.md).
  @inline(__always)
  package mutating func restart(from row: RestingRow, initialWindow: Int, keyEpochBits: UInt64, seed: UInt64) {
    send.restart(from: row.send)
    receive.restart(from: row.receive)
    replay.restart(from: row.replay)
    rate.restart(bytesPerSecond: row.deliveryRate)
    roundTrip = RoundTripEstimate(from: row.roundTrip)
    ack = AckSchedule(from: row.ack)
    epochs = row.epochs(bits: keyEpochBits)
    path = PathValidation(holdOffUntil: row.pathHoldOffUntil)
    mtu = PathMTU(from: row.mtu)
    capacity = Self.capacity(datagram: mtu.datagram)
    congestion = CongestionControl(
      row.congestion, segment: mtu.datagram, initialWindow: initialWindow, seed: seed)
    trains = PacketTrains()
    pacer = Pacer()
    tail = TailRepetition()
    reassembly = nil
    pieceNumber = 0
    pieceOffset = 0
    remembered = row.learnt
    hasStarted = false
    handshakeRepeats = 0
    handle = row.handle
    aead = row.aead
    peerAckRatio = Int(row.peerAckRatio)
    peerMaximumAckDelay = row.peerMaximumAckDelay
    toldAckDelay = peerMaximumAckDelay
    toldDuplicates = 0
    idleTimeout = row.idleTimeout
    lastReceived = row.lastReceived
    lastSent = row.lastSent
    lastElicitingSent = row.lastSent
    lossDeadline = .never
    pacingDeadline = 0
    sendNotBefore = 0
    probeCount = 0
    hasProbedEarly = false
    isFlushed = false
    isCongestionLimited = false
    highestAcknowledged = row.highestAcknowledged
    highestCE = row.highestCE
    retransmissions = row.retransmissions
    hasLost = row.hasLost
    authenticationFailures = row.authenticationFailures
    reportedOffset = send.acknowledgedOffset
    wheelDeadline = .never
  }

  /// Its connection is over: what `restart` leaves alone, and no quiet flow has.
  package mutating func forgetEnd() {
    owesPing = false
    awaitsPing = false
    pongs = Pongs()
    pingToken = 0
    owesFirstAck = false
    probesOwed = 0
    owesClose = false
    isClosedByUser = false
    closeCode = 0
    closeReason = ""
    lingerDeadline = .never
    lingerStart = 0
    lingerAnswers = 0
    drain = Drain()
    lingerReceived = 0
    lingerAnswerAt = 1
  }

  /// Becomes the flow of a connection that begins, in such memory; `row` is `RestingRow(beginning:)`.
  @inline(__always)
  package mutating func begin(
    from row: RestingRow, configuration: EngineConfiguration, seed: UInt64, now: Instant
  ) {
    restart(
      from: row, initialWindow: configuration.initialWindow, keyEpochBits: configuration.keyEpochBits, seed: seed)
    // A resting row has no search for the path's size.
    mtu = PathMTU(maximum: configuration.maximumDatagram)
    lastReceived = now
    lastSent = now
    lastElicitingSent = now
  }
}

extension RestingRow {
  /// What every flow begins from.
  package init(beginning configuration: EngineConfiguration) {
    self.init()
    Flow(configuration: configuration, seed: 0, now: 0).rest(in: &self)
  }
}

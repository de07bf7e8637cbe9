// SPDX-License-Identifier: MIT
extension Flow {
  /// Nothing is under way, owed or stored, and both streams go on: all that has to be kept fits a `RestingRow`.
  @inline(__always)
  package var isQuiet: Bool {
    send.isQuiet && receive.isQuiet && ack.isQuiet && path.isQuiet && pathSwitch.isQuiet && mtu.isQuiet
      && previousKey.key.aead == 0
      && !(owesPing || awaitsPing || owesFirstAck || ending.isClosedByUser || ending.owesClose)
      && pongs.isEmpty && pingToken == 0 && probesOwed == 0 && reportedOffset == send.acknowledgedOffset
      // What an earlier connection has learnt is for the first data; what this one has is kept.
      && (remembered == nil || hasStarted || remembered?.bytesPerSecond == rate.bytesPerSecond)
  }

  /// When the flow has been idle for long enough to rest.
  @inline(__always)
  package func restDeadline(_ header: ConnectionHeader, after interval: Nanoseconds) -> Instant {
    interval == 0 ? .never : max(header.lastReceived, header.lastSent) + max(interval, probeTimeout(header))
  }

  /// Writes what is kept into `row`, all of it.
  @inline(__always)
  package func rest(in row: inout RestingRow) {
    row.replay = replay.rest
    row.send = send.rest
    row.receive = receive.rest
    row.roundTrip = roundTrip.rest
    row.ack = ack.rest
    row.mtu = mtu.rest
    row.deliveryRate = rate.bytesPerSecond
    row.pathHoldOffUntil = path.restingHoldOff
    row.congestion = congestion.algorithm
    row.ecn = ecn.state
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
    previousKey.wipe()
    replay.restart(from: replay.rest)
    rate.restart(bytesPerSecond: 0)
    reassembly = nil
  }

  /// Becomes the flow of a connection that goes on behind a rest, in the memory of one that was quiet, so that what
  /// `isQuiet` asks for need not be set, or of which `forgetEnd` has made one. The congestion controller starts anew, from
  /// what was learnt of the path (docs/congestion.md).
  @inline(__always)
  package mutating func restart(from header: ConnectionHeader, configuration: EngineConfiguration, seed: UInt64) {
    restart(from: header.rest, configuration: configuration, seed: seed)
    toldAckDelay = header.peerMaximumAckDelay
    lastElicitingSent = header.lastSent
    ecn = ECNValidation(header.rest.ecn, next: send.next, reported: header.highestMarked)
  }

  /// The same, but for what the header tells.
  @inline(__always)
  private mutating func restart(from row: RestingRow, configuration: EngineConfiguration, seed: UInt64) {
    send.restart(from: row.send)
    receive.restart(from: row.receive)
    replay.restart(from: row.replay)
    rate.restart(bytesPerSecond: row.deliveryRate)
    roundTrip = RoundTripEstimate(from: row.roundTrip, expected: configuration.initialRoundTrip)
    ack = AckSchedule(from: row.ack)
    previousKey = PreviousKey()
    path = PathValidation(holdOffUntil: row.pathHoldOffUntil, newest: replay.highest)
    pathSwitch = PathSwitch()
    mtu = PathMTU(from: row.mtu)
    capacity = Segment.capacity(datagram: mtu.datagram)
    congestion = CongestionControl(
      row.congestion, segment: mtu.datagram, initialWindow: configuration.initialWindow, seed: seed)
    trains = PacketTrains()
    pacer = Pacer()
    tail = TailRepetition()
    reassembly = nil
    pieceNumber = 0
    pieceOffset = 0
    written = nil
    remembered = learnt
    hasStarted = false
    handshakeRepeats = 0
    toldDuplicates = 0
    lossDeadline = .never
    pacingDeadline = 0
    sendNotBefore = 0
    ptoCount = 0
    hasProbedEarly = false
    isFlushed = false
    isCongestionLimited = false
    lostSinceDelivery = 0
    awaitsDelivery = false
    reportedOffset = send.acknowledgedOffset
    wheelDeadline = .never
  }

  /// Its connection is over: what `restart` leaves alone, and no quiet flow has.
  package mutating func forgetEnd() {
    ending = Ending()
    owesPing = false
    awaitsPing = false
    pongs = Pongs()
    pingToken = 0
    owesFirstAck = false
    probesOwed = 0
  }

  /// Becomes the flow of a connection that begins, in such memory; the header's row is `RestingRow(beginning:)`.
  @inline(__always)
  package mutating func begin(from header: ConnectionHeader, configuration: EngineConfiguration, seed: UInt64) {
    restart(from: header, configuration: configuration, seed: seed)
    // A resting row has no search for the path's size.
    mtu = PathMTU(maximum: configuration.maximumDatagram)
  }
}

extension RestingRow {
  /// What every flow begins from.
  package init(beginning configuration: EngineConfiguration) {
    self.init()
    Flow(configuration: configuration, seed: 0, now: 0).rest(in: &self)
  }
}

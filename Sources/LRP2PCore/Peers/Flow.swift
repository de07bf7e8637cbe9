/// Everything about one connection that moves data: both windows, round trip, congestion, and what is owed.
package struct Flow: ~Copyable {
  package var send: SendWindow
  package var receive: ReceiveWindow
  package var replay = ReplayWindow()
  package var roundTrip = RoundTripEstimate()
  package var congestion: CongestionControl
  package var rate = DeliveryRate()
  package var trains = PacketTrains()
  package var pacer = Pacer()
  package var ack = AckSchedule()
  package var epochs: KeyEpochs
  package var path = PathValidation()
  package var mtu: PathMTU
  /// Segments that arrive in pieces; `nil` until the first does.
  package var reassembly: Reassembly?
  /// The segment whose pieces did not all fit the last batch, and how far it got.
  package var pieceNumber: UInt32 = 0
  package var pieceOffset = 0

  /// Its number among the flows, and when the wheel over these will call; the true deadline may be later.
  package var place = 0
  package var wheelDeadline: Instant = .never

  /// What the user knows the connection by, if not by its own id: the id of the dial's first attempt. 0 is its own.
  package var handle: UInt64 = 0
  package var aead = AEAD.chacha20Poly1305
  /// Payload bytes of a full data segment.
  package var capacity: Int
  /// What the peer asked for, and what it promised.
  package var peerAckRatio = 2
  package var peerMaximumAckDelay: Nanoseconds = .milliseconds(25)
  /// The longest time that the peer's ACKs have lately told they were delayed by; each of them forgets a quarter of it.
  package internal(set) var toldAckDelay: Nanoseconds = .milliseconds(25)
  /// How many datagrams have reached the peer twice, as it tells.
  var toldDuplicates: UInt64 = 0
  /// The smaller of both offers; 0 is none.
  package var idleTimeout: Nanoseconds = 0

  package var lastReceived: Instant
  package var lastSent: Instant
  /// When the newest datagram that asks for an ACK left.
  package var lastElicitingSent: Instant
  package var lossDeadline: Instant = .never
  /// Nothing is paced before; 0 is not at all.
  package var pacingDeadline: Instant = 0
  /// No data leaves before.
  package var sendNotBefore: Instant = 0
  /// When whoever is over, or about to be, waits no longer: for CLOSE to leave, for the reader, or for what is still on its way.
  package internal(set) var lingerDeadline: Instant = .never
  var lingerStart: Instant = 0
  /// Answers that have been given since, to a peer that repeats its FIN.
  var lingerAnswers = 0
  /// The connection is over, and its reader has not had all of what was acknowledged.
  package var drain = Drain()
  /// Probe timeouts since the last progress.
  package var probeCount = 0
  /// This silence has been probed before the probe timeout.
  package internal(set) var hasProbedEarly = false
  /// Something was taken for lost, or a probe timeout has passed with data outstanding; kept over a rest.
  var hasLost = false
  /// Probes to send now, whatever the congestion window says.
  package var probesOwed = 0
  package var owesPing = false
  /// The last of what is offered, which has not left, is to ask for its ACK at once.
  var isFlushed = false
  /// A PING is unanswered.
  package var awaitsPing = false
  package var pongs = Pongs()
  /// The token of a PING that the user has asked for; 0 is none.
  package var pingToken: UInt16 = 0
  /// An ACK goes out although no packet asks for it: it answers message 3.
  package var owesFirstAck = false

  package var owesClose = false
  package var isClosedByUser = false
  package var closeCode: UInt32 = 0
  package var closeReason = ""
  /// Datagrams received since CLOSE was sent, and the count at which it is sent again.
  package var lingerReceived = 0
  package var lingerAnswerAt = 1

  /// Below this the user was told that everything is acknowledged.
  package var reportedOffset: UInt64 = 0
  /// The first data has left.
  package var hasStarted = false
  /// Times that message 3 has been repeated beside the first data.
  package var handshakeRepeats = 0
  /// What an earlier connection has learnt of this path, until the first window is acknowledged.
  package var remembered: RememberedPath?
  package var highestCE: UInt64 = 0
  package var tail = TailRepetition()
  /// The congestion window, not a lack of data, held the last sending back.
  package var isCongestionLimited = false
  package var authenticationFailures: UInt64 = 0
  package var retransmissions: UInt64 = 0
  package var highestAcknowledged: UInt64 = 0

  package init(configuration: EngineConfiguration, seed: UInt64, now: Instant) {
    send = SendWindow(first: configuration.initialSequence, window: 0, most: configuration.largestSendWindow)
    receive = ReceiveWindow(
      first: configuration.initialSequence,
      window: UInt32(min(configuration.largestReceiveWindow, configuration.initialReceiveWindow)),
      maximum: UInt32(configuration.largestReceiveWindow))
    epochs = KeyEpochs(bits: configuration.keyEpochBits)
    mtu = PathMTU(maximum: configuration.maximumDatagram)
    capacity = Self.capacity(datagram: mtu.datagram)
    congestion = CongestionControl(
      configuration.congestion, segment: mtu.datagram, initialWindow: configuration.initialWindow, seed: seed)
    idleTimeout = configuration.idleTimeout
    lastReceived = now
    lastSent = now
    lastElicitingSent = now
  }

  package static func capacity(datagram: Int) -> Int {
    datagram - Datagram.headerLength - Segment.dataLength - Datagram.tagLength
  }

  /// Takes over what the peer has said of itself in its authenticated payloads.
  package mutating func agree(_ peer: HandshakeParameters, configuration: EngineConfiguration) {
    mtu = PathMTU(maximum: min(configuration.maximumDatagram, peer.maximumDatagram), start: mtu.datagram)
    capacity = Self.capacity(datagram: mtu.datagram)
    congestion.setSegment(mtu.datagram)
    send.open(window: peer.initialWindow)
    peerAckRatio = Int(peer.ackRatio)
    peerMaximumAckDelay = .microseconds(UInt64(peer.maximumAckDelayMicroseconds))
    toldAckDelay = peerMaximumAckDelay
    let offered = Nanoseconds.milliseconds(UInt64(peer.idleTimeoutMilliseconds))
    if offered != 0 { idleTimeout = idleTimeout == 0 ? offered : min(idleTimeout, offered) }
  }

  /// The probe timeout without backoff.
  package var probeTimeout: Nanoseconds { roundTrip.probeTimeout(maximumAckDelay: peerMaximumAckDelay) }

  /// When to probe; `.never` when nothing is unanswered.
  @inline(__always)
  package func probeDeadline(handshakeTimeout: Nanoseconds) -> Instant {
    guard send.packetsInFlight > 0 || awaitsPing || send.isWindowClosed else { return .never }
    // What is about to be taken for lost is not probed for (RFC 9002, 6.2.1).
    guard lossDeadline == .never else { return .never }
    let longest = longestProbeInterval(handshakeTimeout)
    if let early = earlyProbeTimeout { return lastElicitingSent + min(early, longest) }
    let backedOff = min(probeTimeout << UInt64(min(probeCount, 12)), longest)
    return lastElicitingSent + (asksForWindowOnly ? spread(backedOff) : backedOff)
  }

  /// All has arrived, and a probe asks whether the peer's window has opened.
  @inline(__always)
  private var asksForWindowOnly: Bool { send.packetsInFlight == 0 && !awaitsPing }

  /// Many whose windows closed together do not ask together: each leaves out a part of its own of every wait but the first, up to
  /// half.
  @inline(__always)
  private func spread(_ wait: Nanoseconds) -> Nanoseconds {
    max(wait - wait / 128 * UInt64(truncatingIfNeeded: place & 63), min(wait, probeTimeout))
  }

  /// The first probe of a silence need not wait for the longest delay that the peer may make, only for what it makes: a window
  /// whose one ACK was lost would else stand for a thousand short round trips. As RFC 8985's tail loss probe it changes nothing
  /// beside.
  @inline(__always)
  private var earlyProbeTimeout: Nanoseconds? {
    guard !hasProbedEarly, probeCount == 0, roundTrip.hasSample, send.packetsInFlight > 0 else { return nil }
    let delay = max(toldAckDelay, roundTrip.smoothed / 4, .milliseconds(1))
    return delay < peerMaximumAckDelay ? roundTrip.probeTimeout(maximumAckDelay: delay) : nil
  }

  /// Silence is to be probed, with data outstanding by as many segments as are returned.
  mutating func beginProbe() -> Int {
    if earlyProbeTimeout != nil {
      hasProbedEarly = true
      return 1
    }
    probeCount += 1
    if send.packetsInFlight > 0 { hasLost = true }
    return 2
  }

  private static var longestProbeInterval: Nanoseconds { .seconds(60) }

  /// Eight probes fit the time after which the connection is given up: by this side or, until a first sealed datagram has
  /// shown that the handshake is over for both, by an initiator. Four, while the peer is heard: it has to hear of us too, for
  /// its own idle timeout and at the address that we are at by now. Two, while it answers that its window is closed.
  /// A first round trip in a queue may have made the probe timeout longer than that: then no more is waited for than what
  /// makes a loss.
  @inline(__always)
  private func longestProbeInterval(_ handshakeTimeout: Nanoseconds) -> Nanoseconds {
    let isUnconfirmed = replay.highest == nil
    guard idleTimeout > 0 || isUnconfirmed else { return Self.longestProbeInterval }
    let idle = idleTimeout == 0 ? .max : idleTimeout
    let patience = isUnconfirmed ? min(idle, handshakeTimeout) : idle
    let share = patience >> (asksForWindowOnly ? 1 : lastReceived >= lastElicitingSent ? 2 : 3)
    let shortest = roundTrip.hasSample ? roundTrip.lossDelay + peerMaximumAckDelay : probeTimeout
    return min(max(share, shortest), Self.longestProbeInterval)
  }

  @inline(__always)
  package func keepAliveDeadline(_ interval: Nanoseconds) -> Instant {
    // While something is unanswered its probes see to that; a PING would put them off.
    interval == 0 || awaitsPing || send.packetsInFlight > 0
      ? .never : lastSent + Self.keepAlive(interval, idleTimeout: idleTimeout)
  }

  /// A PING leaves half an idle timeout after what was sent last, at the latest: should it be lost, there is time to send it again
  /// (`longestProbeInterval`).
  @inline(__always)
  package static func keepAlive(_ interval: Nanoseconds, idleTimeout: Nanoseconds) -> Nanoseconds {
    idleTimeout == 0 ? interval : min(interval, idleTimeout / 2)
  }

  @inline(__always)
  package var idleDeadline: Instant { idleTimeout == 0 ? .never : lastReceived + idleTimeout }

  /// Both directions have ended and all is acknowledged.
  package var isFinished: Bool { send.isComplete && receive.isFinDelivered }

  /// The connection is over for its user.
  package mutating func linger(wasDialling: Bool, now: Instant) {
    // One whose reader was late has ended before.
    let now = drain.isOver ? drain.began : now
    lingerStart = now
    lingerAnswers = 0
    // A peer whose every ACK was lost has no RTT sample: it repeats its FIN after 1, 3 and 7 s. Of those three, one
    // has to reach us.
    let shortest: Nanoseconds = isFinished ? 7 * RoundTripEstimate.initialProbeTimeout : .milliseconds(250)
    // However long the probe timeout has become by round trips in a queue or in sleep: three probes of the peer take no
    // longer than this.
    let longest: Nanoseconds = 3 * Self.longestProbeInterval
    lingerDeadline = wasDialling ? now : now + min(max(7 * probeTimeout, shortest), longest)
  }

  /// A repeated FIN starts the wait anew (RFC 9293, 3.10.7.4, TIME-WAIT), long enough for probes that back off, but not beyond
  /// `longestLinger`: a peer that repeats it for ever must not keep the slot.
  package mutating func extendLinger(now: Instant) {
    // The machine was suspended, or busy, beyond the deadline: that was no wait, and must not be made three times as long.
    if now > lingerDeadline { lingerStart += now - lingerDeadline }
    lingerAnswers += 1
    lingerDeadline = max(lingerDeadline, min(now + 3 * (now - lingerStart), lingerStart + Self.longestLinger))
  }

  /// Two of RFC 9293's maximum segment lifetimes: four probes of a peer that backs off as far as it may.
  package static var longestLinger: Nanoseconds { .seconds(240) }
  /// Whether a repeated FIN is answered once more. Half of the answers may be lost, many times over.
  var answersFin: Bool { lingerAnswers < 100 }

}

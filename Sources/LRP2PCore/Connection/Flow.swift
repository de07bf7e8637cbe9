// SPDX-License-Identifier: MIT
/// Everything about one connection that exists only while it moves data: both windows, round trip, congestion, and what is owed. What
/// else its methods need of the connection they are given with its header.
package struct Flow: ~Copyable {
  package var send: SendWindow
  package var receive: ReceiveWindow
  package var replay = ReplayWindow()
  package var roundTrip: RoundTripEstimate
  package var congestion: CongestionControl
  package var rate = DeliveryRate()
  package var trains = PacketTrains()
  package var pacer = Pacer()
  package var ack = AckSchedule()
  package var previousKey = PreviousKey()
  package var path = PathValidation()
  package var pathSwitch = PathSwitch()
  package var ecn = ECNValidation()
  package var mtu: PathMTU
  /// Segments that arrive in pieces; `nil` until the first does.
  package var reassembly: Reassembly?
  /// The segment whose pieces did not all fit the last batch, and how far it got.
  package var pieceNumber: UInt32 = 0
  package var pieceOffset = 0

  /// Its number among the flows, and when the wheel over these will call; the true deadline may be later.
  package var place = 0
  package var wheelDeadline: Instant = .never

  /// Payload bytes of a full data segment.
  package var capacity: Int
  /// The stream of what the user has written (`Engine.write`); `nil` where it has not, lately.
  package var written: Int?
  /// The longest time that the peer's ACKs have lately told they were delayed by; each of them forgets a quarter of it.
  package internal(set) var toldAckDelay: Nanoseconds = .milliseconds(25)
  /// How many datagrams have reached the peer twice, as it tells.
  var toldDuplicates: UInt64 = 0

  /// When the newest datagram that asks for an ACK left.
  package var lastElicitingSent: Instant
  package var lossDeadline: Instant = .never
  /// Nothing is paced before; 0 is not at all.
  package var pacingDeadline: Instant = 0
  /// No data leaves before.
  package var sendNotBefore: Instant = 0
  /// Probe timeouts since the last progress.
  package var ptoCount = 0
  /// This silence has been probed before the probe timeout.
  package internal(set) var hasProbedEarly = false
  /// Bytes that ACKs have called lost since the last one that acknowledged any.
  var lostSinceDelivery: UInt64 = 0
  /// An ACK has called data lost or refused and acknowledged none; until one does, and a rate is known, what leaves is paced.
  var awaitsDelivery = false
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

  /// Below this the user was told that everything is acknowledged.
  package var reportedOffset: UInt64 = 0
  /// The first data has left.
  package var hasStarted = false
  /// Times that message 3 has been repeated beside the first data.
  package var handshakeRepeats = 0
  /// What an earlier connection has learnt of this path, until the first window is acknowledged.
  package var remembered: RememberedPath?
  package var tail = TailRepetition()
  /// The congestion window, not a lack of data, held the last sending back.
  package var isCongestionLimited = false

  /// What it still has to do when it is over, or about to be.
  package var ending = Ending()

  package init(configuration: EngineConfiguration, seed: UInt64, now: Instant) {
    send = SendWindow(first: configuration.initialSequence, window: 0, most: configuration.largestSendWindow)
    receive = ReceiveWindow(
      first: configuration.initialSequence,
      window: UInt32(min(configuration.largestReceiveWindow, configuration.initialReceiveWindow)),
      maximum: UInt32(configuration.largestReceiveWindow))
    roundTrip = RoundTripEstimate(expected: configuration.initialRoundTrip)
    mtu = PathMTU(maximum: configuration.maximumDatagram)
    capacity = Segment.capacity(datagram: mtu.datagram)
    congestion = CongestionControl(
      configuration.congestion, segment: mtu.datagram, initialWindow: configuration.initialWindow, seed: seed)
    lastElicitingSent = now
    if configuration.usesECN { ecn = ECNValidation(.testing, next: send.next, reported: 0) }
  }

  /// Takes over what the peer has said of itself in its authenticated payloads.
  package mutating func agree(_ peer: HandshakeParameters, configuration: EngineConfiguration) {
    mtu = PathMTU(maximum: min(configuration.maximumDatagram, peer.maximumDatagram), start: mtu.datagram)
    capacity = Segment.capacity(datagram: mtu.datagram)
    congestion.setSegment(mtu.datagram)
    send.open(window: peer.initialWindow)
    toldAckDelay = .microseconds(UInt64(peer.maximumAckDelayMicroseconds))
  }

  /// Time threshold of loss detection, as far as the path has been seen to reorder.
  @inline(__always)
  package var lossDelay: Nanoseconds { roundTrip.lossDelay(reorderingSteps: send.reorderingSteps) }

  /// The probe timeout without backoff.
  @inline(__always)
  package func probeTimeout(_ header: ConnectionHeader) -> Nanoseconds {
    roundTrip.probeTimeout(maximumAckDelay: header.peerMaximumAckDelay)
  }

  /// When to probe; `.never` when nothing is unanswered.
  @inline(__always)
  package func probeDeadline(_ header: ConnectionHeader, handshakeTimeout: Nanoseconds) -> Instant {
    guard send.packetsInFlight > 0 || awaitsPing || send.isWindowClosed else { return .never }
    // What is about to be taken for lost is not probed for (RFC 9002, 6.2.1).
    guard lossDeadline == .never else { return .never }
    let longest = longestProbeInterval(header, handshakeTimeout)
    if let early = earlyProbeTimeout(header) { return lastElicitingSent + min(early, longest) }
    let backedOff = min(probeTimeout(header) << UInt64(min(ptoCount, 12)), longest)
    return lastElicitingSent + (asksForWindowOnly ? spread(backedOff, header) : backedOff)
  }

  /// All has arrived, and a probe asks whether the peer's window has opened.
  @inline(__always)
  private var asksForWindowOnly: Bool { send.packetsInFlight == 0 && !awaitsPing }

  /// Many whose windows closed together do not ask together: each leaves out a part of its own of every wait but the first, up to
  /// half.
  @inline(__always)
  private func spread(_ wait: Nanoseconds, _ header: ConnectionHeader) -> Nanoseconds {
    max(wait - wait / 128 * UInt64(truncatingIfNeeded: place & 63), min(wait, probeTimeout(header)))
  }

  /// The first probe of a silence need not wait for the longest delay that the peer may make, only for what it makes: a window
  /// whose one ACK was lost would else stand for a thousand short round trips. As RFC 8985's tail loss probe it changes nothing
  /// beside.
  @inline(__always)
  private func earlyProbeTimeout(_ header: ConnectionHeader) -> Nanoseconds? {
    guard !hasProbedEarly, ptoCount == 0, roundTrip.hasSample, send.packetsInFlight > 0 else { return nil }
    let delay = max(toldAckDelay, roundTrip.smoothed / 4, .milliseconds(1))
    return delay < header.peerMaximumAckDelay ? roundTrip.probeTimeout(maximumAckDelay: delay) : nil
  }

  /// Silence is to be probed, with data outstanding by as many segments as are returned.
  mutating func beginProbe(_ header: inout ConnectionHeader) -> Int {
    if earlyProbeTimeout(header) != nil {
      hasProbedEarly = true
      return 1
    }
    ptoCount += 1
    if send.packetsInFlight > 0 { header.hasLost = true }
    return 2
  }

  /// A minute, or three of the round trips that are expected.
  private var longestProbeInterval: Nanoseconds { max(.seconds(60), roundTrip.initialProbeTimeout) }

  /// Eight probes fit the time after which the connection is given up: by this side or, until a first sealed datagram has
  /// shown that the handshake is over for both, by an initiator. Four, while the peer is heard: it has to hear of us too, for
  /// its own idle timeout and at the address that we are at by now. Two, while it answers that its window is closed.
  /// A first round trip in a queue may have made the probe timeout longer than that: then no more is waited for than what
  /// makes a loss.
  @inline(__always)
  private func longestProbeInterval(_ header: ConnectionHeader, _ handshakeTimeout: Nanoseconds) -> Nanoseconds {
    let isUnconfirmed = replay.highest == nil
    guard header.idleTimeout > 0 || isUnconfirmed else { return longestProbeInterval }
    let idle = header.idleTimeout == 0 ? .max : header.idleTimeout
    let patience = isUnconfirmed ? min(idle, handshakeTimeout) : idle
    let share = patience >> (asksForWindowOnly ? 1 : header.lastReceived >= lastElicitingSent ? 2 : 3)
    let shortest = roundTrip.hasSample ? lossDelay + header.peerMaximumAckDelay : probeTimeout(header)
    return min(max(share, shortest), longestProbeInterval)
  }

  @inline(__always)
  package func keepAliveDeadline(_ header: ConnectionHeader, _ interval: Nanoseconds) -> Instant {
    // While something is unanswered its probes see to that; a PING would put them off.
    interval == 0 || awaitsPing || send.packetsInFlight > 0
      ? .never : header.keepAliveDeadline(interval)
  }

  /// Both directions have ended and all is acknowledged.
  package var isFinished: Bool { send.isComplete && receive.isFinDelivered }

  /// The other side has ended the connection, or has lost it, or this one only reads: there is nobody to acknowledge anything to.
  mutating func owesNothing(now: Instant) {
    ack.didSendAck(now: now)
    owesFirstAck = false
  }

  /// The connection is over for its user.
  ///
  /// - Parameter isBrief: nothing that could still come deserves an answer.
  package mutating func linger(isBrief: Bool, _ header: inout ConnectionHeader, now: Instant) {
    let probeTimeout = probeTimeout(header)
    // One whose reader was late has ended before.
    let now = ending.drain.isOver ? ending.drain.began : now
    ending.lingerStart = now
    ending.lingerAnswers = 0
    // A peer whose every ACK was lost has no RTT sample: it repeats its FIN after 1, 3 and 7 s, or where it expects a longer round trip
    // so much later. Of those three, one has to reach us.
    let first = max(.seconds(1), min(roundTrip.initialProbeTimeout, 3 * probeTimeout))
    let shortest: Nanoseconds = isFinished ? 7 * first : .milliseconds(250)
    // However long the probe timeout has become by round trips in a queue or in sleep: three probes of the peer take no
    // longer than this.
    let longest: Nanoseconds = 3 * longestProbeInterval
    ending.lingerDeadline = isBrief ? now : now + min(max(7 * probeTimeout, shortest), longest)
  }

  /// A repeated FIN starts the wait anew (RFC 9293, 3.10.7.4, TIME-WAIT), long enough for probes that back off, but not beyond
  /// `longestLinger`: a peer that repeats it for ever must not keep the slot.
  package mutating func extendLinger(now: Instant) {
    // The machine was suspended, or busy, beyond the deadline: that was no wait, and must not be made three times as long.
    if now > ending.lingerDeadline { ending.lingerStart += now - ending.lingerDeadline }
    ending.lingerAnswers += 1
    ending.lingerDeadline = max(
      ending.lingerDeadline, min(now + 3 * (now - ending.lingerStart), ending.lingerStart + Self.longestLinger))
  }

  /// Two of RFC 9293's maximum segment lifetimes: four probes of a peer that backs off as far as it may.
  package static var longestLinger: Nanoseconds { .seconds(240) }
  /// Whether a repeated FIN is answered once more. Half of the answers may be lost, many times over.
  var answersFin: Bool { ending.lingerAnswers < 100 }
}

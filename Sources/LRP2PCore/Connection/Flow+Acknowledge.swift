// SPDX-License-Identifier: MIT
extension Flow {
  /// What an ACK changes beside the send window: round trip, congestion window, pace, loss and probe timers.
  package mutating func acknowledged(
    _ outcome: SendWindow.Outcome, _ block: AckBlock, _ header: inout ConnectionHeader, next: UInt64, now: Instant
  ) {
    var sampled = false
    let delay = min(Nanoseconds.microseconds(block.delayMicroseconds), header.peerMaximumAckDelay)
    // Before an ACK has told of any, number 0 is the highest, too.
    if let sample = outcome.sample,
      block.largestPacketNumber > header.highestAcknowledged || header.highestAcknowledged == 0,
      roundTrip.update(sample: sample, acknowledgementDelay: delay)
    {
      send.mayDouble = roundTrip.latest <= roundTrip.minimum + roundTrip.minimum / 8 * 7
      sampled = true
    }
    noteDelay(delay, block, header)
    let isNewest = block.largestPacketNumber >= header.highestAcknowledged
    header.highestAcknowledged = max(header.highestAcknowledged, block.largestPacketNumber)
    countDelivery(outcome, block, isSampled: sampled, next: next, now: now)
    if !trains.isOver, isNewest { endStart(block, arrival: now - min(delay, now), now: now) }
    // Any word from the peer about the newest packet answers the probes. While the window stays closed, the
    // intervals between them grow all the same.
    if isNewest { awaitsPing = false }
    if outcome.acknowledgedPackets > 0 || outcome.windowAdvanced || (isNewest && !send.isWindowClosed) {
      ptoCount = 0
    }
    if outcome.acknowledgedPackets > 0 { hasProbedEarly = false }
    if mtu.acknowledged(longest: outcome.longestAcknowledged, lostLongest: outcome.longestLost, now: now) {
      pathSizeChanged()
    }
    lossDeadline = outcome.lossTime
    if outcome.spuriousLosses > 0 {
      send.widenReordering(roundTrip: roundTrip.smoothed, now: now)
      rate.foundSpurious(bytes: UInt64(outcome.spuriousLosses * mtu.datagram))
      congestion.spurious(packets: outcome.spuriousLosses, now: now)
    }
    if isNewest { countMarks(outcome, block, &header, next: next, now: now) }
    if outcome.acknowledgedPackets == 0 { rate.lost(bytes: outcome.lostBytes) }
    // The peer's room, not the path, is what holds the rate back: no sample of it counts as the path's.
    if outcome.refusedPackets > 0 { rate.limitedByApplication(bytesInFlight: send.bytesInFlight) }
    answerLosses(outcome, &header, now: now)
    noteDelivery(outcome, now: now)
    pace(now: now)
  }

  /// What has arrived tells the path's rate, and lets the congestion window grow.
  @inline(__always)
  private mutating func countDelivery(
    _ outcome: SendWindow.Outcome, _ block: AckBlock, isSampled: Bool, next: UInt64, now: Instant
  ) {
    guard outcome.acknowledgedPackets > 0 else { return }
    rate.lost(bytes: outcome.lostBytes)
    let sample = rate.acknowledged(
      bytes: outcome.acknowledgedBytes, newest: outcome.hasNewest ? outcome.newestPacketNumber : nil,
      minimumRoundTrip: roundTrip.hasSample
        ? max(roundTrip.minimum - roundTrip.minimum / 8, roundTrip.smoothed * 3 / 4) : 0, now: now)
    congestion.acknowledged(
      AckSample(
        now: now, bytes: outcome.acknowledgedBytes, bytesInFlight: send.bytesInFlight,
        lostBytes: outcome.lostBytes, isLimiting: isCongestionLimited, roundTrip: roundTrip, isSampled: isSampled,
        largest: block.largestPacketNumber, next: next, rate: sample))
  }

  /// What the peer reports of marks (RFC 3168): whether the path keeps them, and whether it has met congestion.
  @inline(__always)
  private mutating func countMarks(
    _ outcome: SendWindow.Outcome, _ block: AckBlock, _ header: inout ConnectionHeader, next: UInt64, now: Instant
  ) {
    header.highestMarked = max(header.highestMarked, block.ect0 &+ block.ce)
    guard
      ecn.acknowledged(
        reported: header.highestMarked, ect1: block.ect1, base: send.base, next: send.next, sent: next)
    else { return }
    if block.ce > header.highestCE { answerMarks(outcome, block, &header, now: now) }
  }

  private mutating func answerMarks(
    _ outcome: SendWindow.Outcome, _ block: AckBlock, _ header: inout ConnectionHeader, now: Instant
  ) {
    header.highestCE = block.ce
    let snapshot = outcome.hasNewest ? rate.snapshot(of: outcome.newestPacketNumber) : nil
    congestion.congestionExperienced(
      sentTime: snapshot?.sent ?? now, inFlight: snapshot?.inFlight ?? send.bytesInFlight, now: now)
  }

  /// What is called lost or refused is in flight no more, so the congestion window alone does not hold back what leaves for a peer
  /// that calls everything so.
  private mutating func noteDelivery(_ outcome: SendWindow.Outcome, now: Instant) {
    if outcome.acknowledgedPackets > 0 {
      lostSinceDelivery = 0
      if awaitsDelivery, roundTrip.hasSample, congestion.pacingRate(smoothed: roundTrip.smoothed) > 0 {
        awaitsDelivery = false
      }
    } else if outcome.lostPackets + outcome.refusedPackets > 0 {
      awaitsDelivery = true
      lostSinceDelivery += outcome.lostBytes
      // Three windows in turn, of which nothing has arrived, are as bad as silence (RFC 9002, 7.6).
      guard lostSinceDelivery >= 3 * congestion.window else { return }
      lostSinceDelivery = 0
      congestion.persistentCongestion(now: now)
    }
  }

  /// What an ACK tells of how long the peer's ACKs take. Of an old packet it tells its age.
  @inline(__always)
  private mutating func noteDelay(_ delay: Nanoseconds, _ block: AckBlock, _ header: ConnectionHeader) {
    if block.largestPacketNumber > header.highestAcknowledged {
      toldAckDelay = max(delay, toldAckDelay - toldAckDelay / 4)
    }
    // The early probe came twice: the ACK that it was to replace was lost, or only late. If that goes on none is early, and where
    // many ACKs come it does not last.
    if hasProbedEarly, block.duplicates > toldDuplicates { toldAckDelay = header.peerMaximumAckDelay }
    toldDuplicates = max(toldDuplicates, block.duplicates)
  }

  /// Losses that the clock has found.
  package mutating func lost(_ outcome: SendWindow.Outcome, _ header: inout ConnectionHeader, now: Instant) {
    rate.lost(bytes: outcome.lostBytes)
    answerLosses(outcome, &header, now: now)
  }

  private mutating func answerLosses(_ outcome: SendWindow.Outcome, _ header: inout ConnectionHeader, now: Instant) {
    guard outcome.lostPackets > 0 else { return }
    header.hasLost = true
    let snapshot = rate.snapshot(of: outcome.newestLost)
    congestion.lost(
      packets: outcome.lostPackets, sentTime: outcome.newestLostTime,
      inFlight: snapshot?.inFlight ?? send.bytesInFlight,
      lostSince: rate.lost - min(snapshot?.lost ?? rate.lost, rate.lost), now: now)
  }

  package mutating func pace(now: Instant) {
    guard roundTrip.hasSample || awaitsDelivery else { return }
    var rate = congestion.pacingRate(smoothed: roundTrip.smoothed)
    if awaitsDelivery {
      // Two windows in a round trip, as a start has them. Where none is known it is RFC 9002's (6.2.2).
      let known = roundTrip.hasSample ? max(roundTrip.smoothed, 1) : .milliseconds(333)
      let most = UInt64(min(2e9 * Double(congestion.window) / Double(known), 1e15))
      rate = rate == 0 ? most : min(rate, most)
    }
    if !hasCongestionWindow || !send.hasData { pacer.stopsWaiting(now: now) }
    pacer.setRate(bytesPerSecond: rate, roundTrip: roundTrip.minimum, now: now)
  }

  // MARK: Start

  /// The round trip for which the initial window is meant, and the longest that gives a larger one.
  private static var referenceRoundTrip: Nanoseconds { .milliseconds(100) }
  /// Over shorter paths the start is not paced.
  private static var shortestPaced: Nanoseconds { .milliseconds(5) }
  private static var longestRoundTrip: Nanoseconds { .milliseconds(600) }

  /// The first data leaves. Over a long path, the initial window of each 100 ms of round trip, in trains whose
  /// dispersion tells the bottleneck's capacity (docs/congestion.md).
  mutating func start(now: Instant) {
    hasStarted = true
    guard roundTrip.hasSample else {
      trains = PacketTrains(isOver: true)
      return
    }
    let known = roundTrip.minimum
    let segment = UInt64(mtu.datagram)
    // What is less than the initial window tells of nothing that a new start would not find out, and may be of a blackout.
    if let path = remembered, path.resembles(roundTrip: known),
      Self.product(path.bytesPerSecond, min(path.roundTrip, known)) > congestion.window
    {
      // Half of what is remembered, in the course of a round trip; whether it holds is seen by what is delivered.
      trains = PacketTrains(isOver: true)
      let product = Self.product(path.bytesPerSecond, min(path.roundTrip, known))
      let first = path.isCertain ? product : product / 2
      congestion.start(window: max(first, congestion.window), roundTrip: known, now: now)
      congestion.expect(capacity: path.bytesPerSecond, window: first, roundTrip: known)
      pace(now: now)
      return
    }
    remembered = nil
    guard known > Self.referenceRoundTrip else {
      trains = PacketTrains(isOver: true)
      // Twice a window in a round trip, and of it at once what a short queue takes.
      guard known > Self.shortestPaced else { return }
      pacer.start(
        bytesPerSecond: 2 * congestion.window * 1_000_000_000 / known, burst: 4 * mtu.datagram, now: now)
      return
    }
    let window = Self.product(
      congestion.window * 1_000_000_000 / Self.referenceRoundTrip, min(known, Self.longestRoundTrip))
    congestion.start(window: window, roundTrip: known, now: now)
    // Within a quarter of the round trip, so that the next one can make use of what they tell.
    pacer.setRate(bytesPerSecond: 4 * window * 1_000_000_000 / known, now: now)
    pacer.setQuantum(PacketTrains.length * Int(segment))
  }

  /// The trains have arrived: half of the capacity in the next round trip, all of it if that is delivered too.
  private mutating func endStart(_ block: AckBlock, arrival: Instant, now: Instant) {
    let capacity = trains.acknowledged(
      largest: block.largestPacketNumber, arrival: arrival, segment: UInt64(mtu.datagram))
    if trains.isOver { pacer.setQuantum(0) }
    guard let capacity else { return }
    congestion.expect(
      capacity: capacity, window: Self.product(capacity, roundTrip.minimum) / 2, roundTrip: roundTrip.minimum)
  }

  private static func product(_ bytesPerSecond: UInt64, _ time: Nanoseconds) -> UInt64 {
    UInt64(min(Double(bytesPerSecond) * Double(time) / 1e9, 1e15))
  }

  /// What a later connection may start from.
  package var learnt: RememberedPath? {
    guard roundTrip.hasSample, rate.bytesPerSecond > 0 else { return nil }
    return RememberedPath(roundTrip: roundTrip.minimum, bytesPerSecond: rate.bytesPerSecond)
  }

  package mutating func exchangeCongestion(_ algorithm: CongestionAlgorithm, now: Instant) {
    congestion.exchange(for: algorithm, roundTrip: roundTrip, bytesPerSecond: rate.bytesPerSecond, now: now)
    pace(now: now)
  }

  // MARK: After the batch

  /// The replay window does not cover twice what is in flight here.
  @inline(__always)
  var needsLongerReplayWindow: Bool {
    receive.hasEarly && receive.packetsBehindGaps * 4 > replay.bits && replay.bits < 1 << 25
  }

  /// So that it does, before more may come.
  package mutating func growReplayWindow() {
    guard needsLongerReplayWindow else { return }
    let span = receive.packetsBehindGaps
    var bits = replay.bits
    while bits < span * 4 { bits *= 2 }
    replay.grow(toBits: min(bits, 1 << 25))
  }

  /// Whether there is a CONTROL to send, CLOSE aside.
  @inline(__always)
  var owesControl: Bool {
    owesPing || pingToken != 0 || !pongs.isEmpty || path.owesAnything || pathSwitch.owes || mtu.owesProbe
  }

  /// Whether `transmit` would find something to send now. It changes nothing, but what only reads a flow is given a copy of it where
  /// the compiler does not inline it, as it does not here.
  @inline(__always)
  package mutating func hasWork(now: Instant) -> Bool {
    if owesControl || ending.owesClose || ending.isClosedByUser || owesFirstAck || probesOwed > 0 { return true }
    if ack.isDue(now: now) { return true }
    guard send.hasData || tail.mayRepeat(send, window: congestion.window) else { return false }
    return hasCongestionWindow && pacingDeadline <= now
  }
}

extension Flow {
  /// What an ACK changes beside the send window: round trip, congestion window, pace, loss and probe timers.
  package mutating func acknowledged(
    _ outcome: SendWindow.Outcome, _ block: AckBlock, next: UInt64, now: Instant
  ) {
    var sampled = false
    if let sample = outcome.sample, block.largestPacketNumber > highestAcknowledged || !roundTrip.hasSample {
      let delay = min(Nanoseconds.microseconds(block.delayMicroseconds), peerMaximumAckDelay)
      roundTrip.update(sample: sample, acknowledgementDelay: delay)
      sampled = true
    }
    let isNewest = block.largestPacketNumber >= highestAcknowledged
    highestAcknowledged = max(highestAcknowledged, block.largestPacketNumber)
    if outcome.acknowledgedPackets > 0 {
      congestion.acknowledged(
        bytes: outcome.acknowledgedBytes, isLimiting: isCongestionLimited, roundTrip: roundTrip, sampled: sampled,
        largest: block.largestPacketNumber, next: next, now: now)
    }
    // Any word from the peer about the newest packet answers the probes. While the window stays closed, the
    // intervals between them grow all the same.
    if isNewest { awaitsPing = false }
    if outcome.acknowledgedPackets > 0 || outcome.windowAdvanced || (isNewest && !send.isWindowClosed) {
      probeCount = 0
    }
    if mtu.acknowledged(longest: outcome.longestAcknowledged, lostLongest: outcome.longestLost, now: now) {
      pathSizeChanged()
    }
    lossDeadline = outcome.lossTime
    lost(outcome, now: now)
    pace(now: now)
  }

  package mutating func lost(_ outcome: SendWindow.Outcome, now: Instant) {
    guard outcome.lostPackets > 0 else { return }
    congestion.lost(sentTime: outcome.newestLostTime, now: now)
  }

  /// The window's worth each round trip, and a quarter more so that the window, not the pace, is the limit (RFC 9002,
  /// 7.7); twice in slow start.
  package mutating func pace(now: Instant) {
    guard roundTrip.hasSample else { return }
    let microseconds = max(roundTrip.smoothed / 1000, 1)
    let window = min(congestion.window, 1 << 40)
    let factor: UInt64 = congestion.inSlowStart ? 8 : 5
    pacer.setRate(bytesPerSecond: window * factor / 4 * 1_000_000 / microseconds, now: now)
  }

  /// The replay window covers twice what is in flight here, before more may come.
  package mutating func growReplayWindow() {
    let span = receive.highest.distance(since: receive.next)
    guard span * 4 > replay.bits, replay.bits < 1 << 25 else { return }
    var bits = replay.bits
    while bits < span * 4 { bits *= 2 }
    replay.grow(toBits: min(bits, 1 << 25))
  }

  /// Whether `transmit` would find something to send now.
  package func hasWork(now: Instant) -> Bool {
    if owesClose || isClosedByUser || owesPing || pingToken != 0 || path.owesAnything || mtu.owesProbe || owesPong
      || owesFirstAck || probesOwed > 0
    {
      return true
    }
    if ack.isDue(now: now) { return true }
    guard send.hasLost || send.canSendNew() else { return false }
    return send.bytesInFlight < congestion.window && pacingDeadline <= now
  }
}

// The clock: due timers of the user and of peers. An established connection's deadlines are in a wheel over flows while it has
// one; what it waits for at rest, and what the other phases do, is in a wheel over slots. So of a connection among a million
// that wakes and rests again only the small wheel is changed. Either wheel is set to the earliest deadline or before it: moving
// one back costs nothing, the wheel's call then finds nothing to do and sets it anew.

extension Engine {
  /// Tells the time when nothing is due.
  package mutating func pass(to now: Instant) { self.now = max(self.now, now) }

  /// Calls what is due at `now`.
  package mutating func expire<H: Handler>(now: Instant, handler: inout H) {
    self.now = max(self.now, now)
    while let token = userTimers.popExpired(now: self.now) { handler.timerFired(token: token, engine: &self) }
    while let place = flowWheel.popExpired(now: self.now) {
      let slot = peers.places.slot(at: place)
      peers.flows[slot].wheelDeadline = .never
      guard peers.rows[slot].phase == .established else {
        if peers.rows[slot].phase == .closing { touch(slot) }
        continue
      }
      expireEstablished(slot, &handler)
      touch(slot)
    }
    while let slot = wheel.popExpired(now: self.now) {
      peers.rows[slot].wheelDeadline = .never
      expire(slot, &handler)
    }
    settleTouched(&handler)
  }

  private mutating func expire<H: Handler>(_ slot: Int, _ handler: inout H) {
    switch peers.rows[slot].phase {
    case .free, .forwarding:
      return
    case .closing:
      // CLOSE has not got out of the socket all this time.
      if peers.flows[slot].lingerDeadline <= now { end(slot, .local(code: peers.flows[slot].closeCode), &handler) }
    case .draining:
      if expireDraining(slot, &handler) { return }
    case .lingering:
      if peers.flows[slot].lingerDeadline <= now {
        move(slot, .lingered)
        free(slot)
        return
      }
    case .answering:
      if peers.handshakes[slot].nextAttempt <= now {
        if !peers.handshakes[slot].isTurnedAway { counters.handshakesFailed &+= 1 }
        move(slot, .abandoned)
        free(slot)
        return
      }
    case .dialling:
      // Only a dial's first attempt has a clock.
      if peers.handshakes[slot].leader != 0 { return }
      if peers.handshakes[slot].deadline(configuration.handshakeTimeout) <= now {
        let reason = peers.handshakes[slot].doubt ?? .handshakeTimeout
        // Or closed, and about to be told of that.
        end(slot, peers.flows[slot].isClosedByUser ? .local(code: peers.flows[slot].closeCode) : reason, &handler)
      } else if peers.handshakes[slot].nextAttempt <= now {
        startNextAttempt(slot)
      }
    case .established:
      // One that is awake sets this wheel anew when it rests; it is judged in case it has not been for long.
      if !peers.flows.contains(slot), expireResting(slot, &handler) { return }
    }
    touch(slot)
  }

  private mutating func expireEstablished<H: Handler>(_ slot: Int, _ handler: inout H) {
    if peers.rows[slot].isOriginal {
      guard expireOriginal(slot, &handler) else { return }
    } else if peers.flows[slot].idleDeadline <= now {
      end(slot, .idleTimeout, &handler)
      return
    }
    // A responder that refuses our key is silent: without its first sealed datagram the handshake has failed.
    if awaitsConfirmation(slot),
      peers.handshakes[slot].deadline(configuration.handshakeTimeout) <= now
    {
      end(slot, .handshakeTimeout, &handler)
      return
    }
    if peers.flows[slot].lossDeadline <= now {
      let outcome = peers.flows[slot].send.loseSuspects(
        lossDelay: peers.flows[slot].roundTrip.lossDelay, now: now)
      peers.flows[slot].lossDeadline = outcome.lossTime
      peers.flows[slot].lost(outcome, now: now)
      peers.flows[slot].pace(now: now)
    }
    if peers.flows[slot].pacingDeadline <= now { peers.flows[slot].pacingDeadline = 0 }
    if peers.flows[slot].epochs.previousDeadline <= now { peers.flows[slot].epochs.wipePrevious() }
    expirePath(slot, &handler)
    probeOrKeepAlive(slot)
  }

  // Not generic, as `settle` is not.
  private mutating func probeOrKeepAlive(_ slot: Int) {
    if peers.flows[slot].probeDeadline(handshakeTimeout: configuration.handshakeTimeout) <= now { probe(slot) }
    if peers.flows[slot].keepAliveDeadline(configuration.keepAlive) <= now {
      peers.flows[slot].owesPing = true
      peers.flows[slot].shrinkInSilence(to: &pool)
      pool.trim()
    }
  }

  /// RFC 9002, 6.2.4: probes that ask for an answer at once. Nothing is taken for lost by silence alone.
  private mutating func probe(_ slot: Int) {
    counters.probeTimeouts &+= 1
    let probes = peers.flows[slot].beginProbe()
    if peers.flows[slot].send.packetsInFlight > 0 {
      peers.flows[slot].probesOwed = probes
      // RFC 9002, 7.6: silence for three probe timeouts is persistent congestion.
      if peers.flows[slot].probeCount == 3 { peers.flows[slot].congestion.persistentCongestion() }
      // Or a black hole, at each further one too: the search may have found the path longer in between.
      if peers.flows[slot].probeCount >= 3, peers.flows[slot].mtu.fallBack() { peers.flows[slot].pathSizeChanged() }
    } else {
      peers.flows[slot].owesPing = true
    }
    // The responder has no other way to learn that message 3 is missing.
    if awaitsConfirmation(slot) { peers.rows[slot].owesHandshake = true }
  }

  /// The earliest thing that a peer waits for.
  private func deadline(of slot: Int) -> Instant {
    switch peers.rows[slot].phase {
    case .free, .forwarding:
      return .never
    case .closing, .draining, .lingering:
      return peers.flows[slot].lingerDeadline
    case .answering:
      return peers.handshakes[slot].nextAttempt
    case .dialling:
      if peers.handshakes[slot].leader != 0 { return .never }
      return min(peers.handshakes[slot].nextAttempt, peers.handshakes[slot].deadline(configuration.handshakeTimeout))
    case .established:
      if !peers.flows.contains(slot) { return restingDeadline(slot) }
      var deadline = peers.flows[slot].nextDeadline(
        keepAlive: configuration.keepAlive, restAfter: configuration.restAfter,
        handshakeTimeout: configuration.handshakeTimeout, now: now)
      if peers.rows[slot].isOriginal { deadline = min(deadline, peers.originals[slot].repeatDeadline) }
      guard awaitsConfirmation(slot) else { return deadline }
      return min(deadline, peers.handshakes[slot].deadline(configuration.handshakeTimeout))
    }
  }

  /// Sets the wheel if a deadline is earlier than what it is set to.
  mutating func arm(_ slot: Int) {
    let deadline = deadline(of: slot)
    guard peers.rows[slot].phase == .established, peers.flows.contains(slot) else {
      guard deadline < peers.rows[slot].wheelDeadline else { return }
      peers.rows[slot].wheelDeadline = deadline
      wheel.set(slot, at: deadline)
      return
    }
    guard deadline < peers.flows[slot].wheelDeadline else { return }
    peers.flows[slot].wheelDeadline = deadline
    if peers.places.count > flowWheel.slots { flowWheel.grow(to: peers.places.count) }
    flowWheel.set(peers.flows[slot].place, at: deadline)
  }

  /// The slot's flow, if it has one, is about to be another's.
  mutating func cancelFlowDeadline(_ slot: Int) {
    guard peers.flows.contains(slot), peers.flows[slot].wheelDeadline != .never else { return }
    flowWheel.cancel(peers.flows[slot].place)
  }
}

extension Flow {
  /// The earliest deadline of an established peer.
  @inline(__always)
  package func nextDeadline(
    keepAlive: Nanoseconds, restAfter: Nanoseconds, handshakeTimeout: Nanoseconds, now: Instant
  ) -> Instant {
    var earliest = min(idleDeadline, lossDeadline, epochs.previousDeadline)
    // What has come already is `transmit`'s to do, which then sets the next one.
    func consider(_ deadline: Instant) {
      if deadline > now { earliest = min(earliest, deadline) }
    }
    consider(keepAliveDeadline(keepAlive))
    consider(probeDeadline(handshakeTimeout: handshakeTimeout))
    consider(ack.deadline)
    consider(pacingDeadline)
    consider(path.deadline)
    consider(mtu.deadline)
    consider(restDeadline(after: restAfter))
    return earliest
  }
}

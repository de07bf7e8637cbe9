// SPDX-License-Identifier: MIT
// The clock: due timers of the user and of peers, and what each phase of a connection waits for (`Schedule`).

extension Engine {
  /// Tells the time when nothing is due.
  package mutating func pass(to now: Instant) { advance(to: now) }

  /// Calls what is due at `now`.
  package mutating func expire<H: Handler>(now: Instant, handler: inout H) {
    advance(to: now)
    if isSuspended { return }
    // One that a callback sets for now is for the next turn: it would set it again and again.
    var timers = schedule.userTimers.count
    while timers > 0, let token = schedule.popExpiredTimer(now: self.now) {
      timers -= 1
      handler.timerFired(token: token, engine: &self)
    }
    while let slot = schedule.popExpiredFlow(now: self.now, &peers) {
      guard peers.rows[slot].phase == .established else {
        if peers.rows[slot].phase == .closing { markDirty(slot) }
        continue
      }
      expireEstablished(slot, &handler)
      markDirty(slot)
    }
    while let slot = schedule.popExpiredSlot(now: self.now, &peers) { expire(slot, &handler) }
    settleDirty(&handler)
  }

  private mutating func expire<H: Handler>(_ slot: Slot, _ handler: inout H) {
    switch peers.rows[slot].phase {
    case .free, .superseded:
      return
    case .closing:
      // CLOSE has not got out of the socket all this time.
      if peers.flows[slot].ending.lingerDeadline <= now {
        end(slot, .local(code: peers.flows[slot].ending.closeCode), &handler)
      }
    case .draining:
      if expireDraining(slot, &handler) { return }
    case .lingering:
      if peers.flows[slot].ending.lingerDeadline <= now {
        move(slot, .lingered)
        free(slot)
        return
      }
    case .halfOpen:
      if peers.handshakes[slot].nextAttempt <= now {
        if !peers.handshakes[slot].isTurnedAway { counters.handshakesFailed &+= 1 }
        move(slot, .abandoned)
        free(slot)
        return
      }
    case .dialling:
      // Only a dial's first attempt has a clock.
      if peers.handshakes[slot].firstAttempt != 0 { return }
      if let reason = advanceDial(slot) {
        // Or closed, and about to be told of that.
        end(
          slot, peers.flows[slot].ending.isClosedByUser ? .local(code: peers.flows[slot].ending.closeCode) : reason,
          &handler)
      }
    case .established:
      // One that is awake sets this wheel anew when it rests; it is judged in case it has not been for long.
      if !peers.flows.contains(slot), expireResting(slot, &handler) { return }
    }
    markDirty(slot)
  }

  private mutating func expireEstablished<H: Handler>(_ slot: Slot, _ handler: inout H) {
    if peers.headers[slot].idleDeadline <= now, !outlastsSilence(slot) {
      end(slot, .idleTimeout, &handler)
      return
    }
    // A responder that refuses our key is silent: without its first sealed datagram the handshake has failed.
    if awaitsConfirmation(slot), !goesOnUnconfirmed(slot),
      peers.handshakes[slot].deadline(configuration.handshakeTimeout) <= now
    {
      end(slot, .handshakeTimeout, &handler)
      return
    }
    if peers.flows[slot].lossDeadline <= now {
      let outcome = peers.flows[slot].send.loseSuspects(
        lossDelay: peers.flows[slot].lossDelay, now: now)
      peers.flows[slot].lossDeadline = outcome.lossTime
      peers.flows[slot].lost(outcome, &peers.headers[slot], now: now)
      peers.flows[slot].pace(now: now)
    }
    if peers.flows[slot].pacingDeadline <= now { peers.flows[slot].pacingDeadline = 0 }
    if peers.flows[slot].previousKey.deadline <= now { peers.flows[slot].previousKey.wipe() }
    expirePath(slot, &handler)
    probeOrKeepAlive(slot)
  }

  // Not generic, as `settle` is not.
  private mutating func probeOrKeepAlive(_ slot: Slot) {
    if peers.flows[slot].probeDeadline(peers.headers[slot], handshakeTimeout: configuration.handshakeTimeout) <= now {
      probe(slot)
    }
    if peers.flows[slot].keepAliveDeadline(peers.headers[slot], configuration.keepAlive) <= now {
      peers.flows[slot].owesPing = true
      peers.flows[slot].shrinkInSilence(to: &pool)
      pool.trim()
    }
  }

  /// RFC 9002, 6.2.4: probes that ask for an answer at once. Nothing is taken for lost by silence alone.
  private mutating func probe(_ slot: Slot) {
    counters.probeTimeouts &+= 1
    let probes = peers.flows[slot].beginProbe(&peers.headers[slot])
    if peers.flows[slot].send.packetsInFlight > 0 {
      peers.flows[slot].probesOwed = probes
      peers.flows[slot].ecn.probed(peers.flows[slot].ptoCount)
      // RFC 9002, 7.6: silence for three probe timeouts is persistent congestion.
      if peers.flows[slot].ptoCount == 3 { peers.flows[slot].congestion.persistentCongestion(now: now) }
      // Or a black hole, at each further one too: the search may have found the path longer in between.
      if peers.flows[slot].ptoCount >= 3, peers.flows[slot].mtu.fallBack() { peers.flows[slot].pathSizeChanged() }
    } else {
      peers.flows[slot].owesPing = true
    }
    // The responder has no other way to learn that message 3 is missing.
    if awaitsConfirmation(slot) { peers.rows[slot].owesHandshake = true }
  }

  /// The earliest thing that a peer waits for.
  private func deadline(of slot: Slot) -> Instant {
    switch peers.rows[slot].phase {
    case .free, .superseded:
      return .never
    case .closing, .draining, .lingering:
      return peers.flows[slot].ending.lingerDeadline
    case .halfOpen:
      return peers.handshakes[slot].nextAttempt
    case .dialling:
      if peers.handshakes[slot].firstAttempt != 0 { return .never }
      return min(peers.handshakes[slot].nextAttempt, peers.handshakes[slot].deadline(configuration.handshakeTimeout))
    case .established:
      if !peers.flows.contains(slot) { return restingDeadline(slot) }
      let deadline = peers.flows[slot].nextDeadline(
        peers.headers[slot], keepAlive: configuration.keepAlive, restAfter: configuration.restAfter,
        handshakeTimeout: configuration.handshakeTimeout, now: now)
      guard awaitsConfirmation(slot) else { return deadline }
      return min(
        deadline, peers.handshakes[slot].nextAttempt, peers.handshakes[slot].deadline(configuration.handshakeTimeout))
    }
  }

  /// Sets the wheel if a deadline is earlier than what it is set to.
  mutating func arm(_ slot: Slot) { schedule.arm(slot, at: deadline(of: slot), &peers) }
}

extension Flow {
  /// The earliest deadline of an established peer.
  @inline(__always)
  package func nextDeadline(
    _ header: ConnectionHeader, keepAlive: Nanoseconds, restAfter: Nanoseconds, handshakeTimeout: Nanoseconds,
    now: Instant
  ) -> Instant {
    var earliest = min(header.idleDeadline, lossDeadline, previousKey.deadline)
    // What has come already is `transmit`'s to do, which then sets the next one.
    func consider(_ deadline: Instant) {
      if deadline > now { earliest = min(earliest, deadline) }
    }
    consider(keepAliveDeadline(header, keepAlive))
    consider(probeDeadline(header, handshakeTimeout: handshakeTimeout))
    consider(ack.deadline)
    consider(pacingDeadline)
    consider(path.deadline)
    consider(pathSwitch.deadline)
    consider(mtu.deadline)
    consider(restDeadline(header, after: restAfter))
    return earliest
  }
}

// SPDX-License-Identifier: MIT
// What was acknowledged in order is delivered: a connection that ends while its reader is behind keeps what is unread, and nothing
// else, until the reader has had it, closes, or has stood still for `unreadTimeout`.

extension Engine {
  /// Whether a connection that is about to end for `reason` has something that its reader has not had.
  func isUnread(_ slot: Slot, _ reason: CloseReason) -> Bool {
    guard peers.rows[slot].phase == .established, peers.flows[slot].receive.packetsUnread > 0 else { return false }
    switch reason {
    case .idleTimeout, .remote, .reset, .noCommonProtocol, .unsupported, .keyExhausted, .sequenceExhausted: return true
    case .finished, .local, .handshakeTimeout, .unreachable, .keyRefused, .handshakeFailed, .protocolViolation,
      .unreadTimeout:
      return false
    }
  }

  /// The connection is over but for its reader. It sends nothing any more but a CLOSE that the peer is owed, and what comes is late.
  mutating func drain(_ slot: Slot, _ reason: CloseReason) {
    move(slot, .endedUnread)
    // While it is known which segments carry messages.
    releaseOutbox(slot)
    peers.flows[slot].beginDrain(reason, patience: configuration.unreadTimeout, now: now)
    // Nothing can complete these any more.
    peers.flows[slot].receive.releaseEarly(to: &pool)
    peers.flows[slot].receive.shrink(to: &pool)
    peers.flows[slot].releasePieces(to: &pool)
    peers.flows[slot].reassembly = nil
    releaseWritten(slot)
    releaseIntake(slot)
    leaveGroups(slot)
    // A reader that goes on in this very turn.
    if !peers.flows[slot].receive.isPaused {
      peers.rows[slot].isResumed = true
      makeReady(slot)
    }
    markDirty(slot)
  }

  /// The reader goes on.
  mutating func deliverResumed<H: Handler>(_ slot: Slot, _ handler: inout H) {
    let unread = peers.flows[slot].receive.packetsUnread
    deliverStored(slot, &handler)
    markDirty(slot)
    if peers.rows[slot].phase == .draining {
      drained(slot, hasTaken: peers.flows[slot].receive.packetsUnread < unread, &handler)
    } else if peers.rows[slot].phase == .established, peers.flows[slot].receive.reopened(pool) {
      peers.flows[slot].ack.demand()
    }
  }

  private mutating func drained<H: Handler>(_ slot: Slot, hasTaken: Bool, _ handler: inout H) {
    guard peers.flows[slot].receive.packetsUnread == 0 else {
      if hasTaken { peers.flows[slot].waitForReader(patience: configuration.unreadTimeout, now: now) }
      return
    }
    let isFinished = peers.flows[slot].ending.drain.isSendComplete && peers.flows[slot].receive.isFinDelivered
    end(slot, isFinished ? .finished : peers.flows[slot].ending.drain.reason, &handler)
  }

  /// The wheel has called for a connection that drains.
  /// - Returns: whether its reader has stood still for too long, and it is over.
  mutating func expireDraining<H: Handler>(_ slot: Slot, _ handler: inout H) -> Bool {
    guard peers.flows[slot].ending.lingerDeadline <= now,
      peers.flows[slot].readerStoodStill(patience: configuration.unreadTimeout, now: now)
    else { return false }
    peers.flows[slot].receive.isPaused = false
    while let (_, length) = peers.flows[slot].receive.nextStored() {
      counters.unreadBytesDropped &+= UInt64(length)
      peers.flows[slot].receive.storedDelivered(to: &pool)
    }
    end(slot, .unreadTimeout, &handler)
    return true
  }
}

extension Flow {
  /// Only what is unread is kept.
  fileprivate mutating func beginDrain(_ reason: CloseReason, patience: Nanoseconds, now: Instant) {
    ending.drain.begin(reason, isSendComplete: send.isComplete, now: now)
    waitForReader(patience: patience, now: now)
    send.restart(from: SendWindow.Rest())
    replay.restart(from: replay.rest)
    rate.restart(bytesPerSecond: rate.bytesPerSecond)
    previousKey.wipe()
    tail = TailRepetition()
    owesPing = false
    pongs = Pongs()
    pingToken = 0
    owesNothing(now: now)
    probesOwed = 0
  }
}

// SPDX-License-Identifier: MIT
// Rest: an established connection over which nothing moves gives its flow up for a row of fixed size, and has it again as
// soon as something does.

extension Engine {
  /// Whether the connection is established and has no flow.
  @inline(__always)
  func isResting(_ slot: Slot) -> Bool { !peers.flows.contains(slot) && peers.rows[slot].phase == .established }

  /// The connection's flow exists from here on, until it is judged again behind the batch.
  mutating func wake(_ slot: Slot) {
    guard isResting(slot) else { return }
    peers.wake(slot, configuration: configuration, now: now)
    if let outbox = outbox(slot) { noteMessages(slot, outbox) }
    markDirty(slot)
    if sweeps.closing.walk.contains(slot) {
      close(slot, code: sweeps.closing.code, reason: sweeps.closing.reason)
    }
  }

  /// Lets the connection rest if all is quiet. At once where many are awake and it has sent less than an initial window,
  /// so that a new congestion controller would know as much; else once it has been idle for a while.
  mutating func restIfQuiet(_ slot: Slot) {
    guard peers.rows[slot].phase == .established, !peers.rows[slot].isReady, !peers.rows[slot].isResumed,
      speaksVersion1(slot)
    else { return }
    let initialWindow = UInt64(configuration.initialWindow * configuration.maximumDatagram)
    let isCrowded =
      peers.flows.inUse > configuration.flowsAtLeisure && peers.flows[slot].rate.delivered < initialWindow
    guard isCrowded || peers.flows[slot].restDeadline(peers.headers[slot], after: configuration.restAfter) <= now,
      peers.flows[slot].isQuiet, !awaitsConfirmation(slot), !awaitsWritable(slot)
    else { return }
    peers.flows[slot].releasePieces(to: &pool)
    peers.flows[slot].receive.shrink(to: &pool)
    releaseWritten(slot)
    schedule.cancelFlow(slot, peers)
    peers.rest(slot)
    pool.trim()
  }

  // MARK: A datagram, before it is opened

  @inline(__always)
  func acceptsPacketNumber(_ packetNumber: UInt64, _ slot: Slot) -> Bool {
    peers.flows.contains(slot)
      ? peers.flows[slot].replay.accepts(packetNumber) : peers.headers[slot].rest.replay.accepts(packetNumber)
  }

  /// The key epoch of a packet number, if it is not the one in use.
  @inline(__always)
  func otherEpoch(_ packetNumber: UInt64, _ slot: Slot) -> UInt64? {
    let epoch = peers.headers[slot].epochs.epoch(of: packetNumber)
    return epoch == peers.headers[slot].epochs.receiving ? nil : epoch
  }

  /// A datagram for the connection could not be opened; the caller counts why.
  mutating func failedAuthentication(_ slot: Slot) {
    peers.headers[slot].authenticationFailures &+= 1
    if peers.headers[slot].isKeyExhausted { markDirty(slot) }
  }

  // MARK: Clock

  func restingDeadline(_ slot: Slot) -> Instant {
    min(peers.headers[slot].idleDeadline, peers.headers[slot].keepAliveDeadline(configuration.keepAlive))
  }

  /// The wheel has called for a connection that rests.
  /// - Returns: whether it is over.
  mutating func expireResting<H: Handler>(_ slot: Slot, _ handler: inout H) -> Bool {
    let isOver = peers.headers[slot].idleDeadline <= now
    guard isOver || peers.headers[slot].keepAliveDeadline(configuration.keepAlive) <= now else { return false }
    // Or closed with all others, and about to be told of that.
    guard wakes(slot) else { return false }
    if isOver { end(slot, .idleTimeout, &handler) } else { peers.flows[slot].owesPing = true }
    return isOver
  }
}

// Rest: an established connection over which nothing moves gives its flow up for a row of fixed size, and has it again as
// soon as something does.

extension Engine {
  /// Whether the connection is established and has no flow.
  @inline(__always)
  func isResting(_ slot: Int) -> Bool { !peers.flows.contains(slot) && peers.rows[slot].phase == .established }

  /// The connection's flow exists from here on, until it is judged again behind the batch.
  mutating func wake(_ slot: Int) {
    guard isResting(slot) else { return }
    peers.wake(slot, configuration: configuration, now: now)
    touch(slot)
    if closeOfResting.slots.contains(slot) {
      close(slot, code: closeOfResting.code, reason: closeOfResting.reason)
    }
  }

  /// Lets the connection rest if all is quiet. At once where many are awake and it has sent less than an initial window,
  /// so that a new congestion controller would know as much; else once it has been idle for a while.
  mutating func restIfQuiet(_ slot: Int) {
    guard peers.rows[slot].phase == .established, !peers.rows[slot].isReady, !peers.rows[slot].isResumed,
      !peers.rows[slot].isOriginal
    else { return }
    let initialWindow = UInt64(configuration.initialWindow * configuration.maximumDatagram)
    let isCrowded =
      peers.flows.inUse > configuration.flowsAtLeisure && peers.flows[slot].rate.delivered < initialWindow
    guard isCrowded || peers.flows[slot].restDeadline(after: configuration.restAfter) <= now,
      peers.flows[slot].isQuiet, !awaitsConfirmation(slot)
    else { return }
    peers.flows[slot].releasePieces(to: &pool)
    peers.flows[slot].receive.shrink(to: &pool)
    cancelFlowDeadline(slot)
    peers.rest(slot)
    pool.trim()
  }

  // MARK: A datagram, before it is opened

  @inline(__always)
  func acceptsPacketNumber(_ packetNumber: UInt64, _ slot: Int) -> Bool {
    peers.flows.contains(slot)
      ? peers.flows[slot].replay.accepts(packetNumber) : peers.resting[slot].replay.accepts(packetNumber)
  }

  /// The key epoch of a packet number, if it is not the one in use.
  @inline(__always)
  func otherEpoch(_ packetNumber: UInt64, _ slot: Int) -> UInt64? {
    if peers.flows.contains(slot) {
      let epoch = peers.flows[slot].epochs.epoch(of: packetNumber)
      return epoch == peers.flows[slot].epochs.receiving ? nil : epoch
    }
    let epoch = packetNumber >> configuration.keyEpochBits
    return epoch == peers.resting[slot].receivingEpoch ? nil : epoch
  }

  package func epochs(of slot: Int) -> KeyEpochs {
    peers.flows.contains(slot)
      ? peers.flows[slot].epochs : peers.resting[slot].epochs(bits: configuration.keyEpochBits)
  }

  /// A datagram for the connection could not be opened; the caller counts why.
  mutating func failedAuthentication(_ slot: Int) {
    if peers.flows.contains(slot) {
      peers.flows[slot].authenticationFailures &+= 1
    } else {
      peers.resting[slot].authenticationFailures &+= 1
    }
    if isKeyExhausted(slot) { touch(slot) }
  }

  /// RFC 9001, 6.6: the integrity limits of both AEADs, over the connection.
  func isKeyExhausted(_ slot: Int) -> Bool {
    let (failures, aead) =
      peers.flows.contains(slot)
      ? (peers.flows[slot].authenticationFailures, peers.flows[slot].aead)
      : (peers.resting[slot].authenticationFailures, peers.resting[slot].aead)
    return failures > (aead == .aes256GCM ? 1 << 52 : 1 << 36)
  }

  mutating func duplicateReceived(_ slot: Int) {
    if peers.flows.contains(slot) {
      peers.flows[slot].ack.duplicate()
    } else {
      peers.resting[slot].ack.duplicates &+= 1
    }
  }

  // MARK: Clock

  func restingDeadline(_ slot: Int) -> Instant {
    min(peers.resting[slot].idleDeadline, peers.resting[slot].keepAliveDeadline(configuration.keepAlive))
  }

  /// The wheel has called for a connection that rests.
  /// - Returns: whether it is over.
  mutating func expireResting<H: Handler>(_ slot: Int, _ handler: inout H) -> Bool {
    let isOver = peers.resting[slot].idleDeadline <= now
    guard isOver || peers.resting[slot].keepAliveDeadline(configuration.keepAlive) <= now else { return false }
    // Or closed with all others, and about to be told of that.
    guard wakes(slot) else { return false }
    if isOver { end(slot, .idleTimeout, &handler) } else { peers.flows[slot].owesPing = true }
    return isOver
  }
}

// SPDX-License-Identifier: MIT
// What ends a dial: its time, an answer that is not wanted, and what the kernel or the network has against its addresses.

extension Engine {
  /// An answer that is not wanted may be forged, so the true one has this long to come.
  private static var shortestDoubt: Nanoseconds { .milliseconds(500) }
  /// How long after a reported fault its address is tried again.
  private static var faultRetry: Nanoseconds { .milliseconds(100) }
  /// After so long a fault is a new one: the attempts since then have met none. A neighbour that does not answer is reported after
  /// three seconds.
  private static var faultAge: Nanoseconds { .seconds(4) }

  /// Makes the attempts that are due.
  /// - Returns: why the dial is over, if it is.
  mutating func advanceDial(_ firstAttempt: Slot) -> CloseReason? {
    if peers.handshakes[firstAttempt].deadline(configuration.handshakeTimeout) <= now {
      let targets = peers.handshakes[firstAttempt].targets
      // An address that has answered something is reported before those that have not.
      return targets.lazy.compactMap { $0.doubt }.first ?? .handshakeTimeout
    }
    guard peers.handshakes[firstAttempt].nextAttempt <= now else { return nil }
    for index in peers.handshakes[firstAttempt].targets.indices {
      guard peers.handshakes[firstAttempt].targets[index].end == nil else { continue }
      if peers.handshakes[firstAttempt].targets[index].doubtEnds <= now {
        giveUp(firstAttempt, index, peers.handshakes[firstAttempt].targets[index].doubt ?? .handshakeFailed)
      } else {
        startDueAttempts(firstAttempt, index)
      }
    }
    let targets = peers.handshakes[firstAttempt].targets
    if targets.allSatisfy({ $0.end != nil }) { return DialTarget.reason(of: targets) }
    scheduleDial(firstAttempt)
    return nil
  }

  /// A message 2 has come that is well made but not wanted: anyone who has read message 1 can make one, under another key. So
  /// the dial does not end with it but a little later, should the true one not come meanwhile.
  ///
  /// - Parameter wait: how long the true one has; nil: twice as long as this one took.
  mutating func doubt(_ slot: Slot, _ reason: CloseReason, for wait: Nanoseconds? = nil) {
    guard let (firstAttempt, index) = target(of: slot), peers.handshakes[firstAttempt].targets[index].doubt == nil
    else { return }
    peers.handshakes[firstAttempt].targets[index].doubt = reason
    // The path has carried the first one.
    peers.handshakes[firstAttempt].targets[index].shortAttempt = .never
    peers.handshakes[firstAttempt].targets[index].doubtEnds =
      now + max(Self.shortestDoubt, wait ?? 2 * (now - min(peers.handshakes[slot].sentAt, now)))
    scheduleDial(firstAttempt)
  }

  /// The kernel has refused a datagram for good, or the network has sent an error that quotes one. If it was message 1 of an attempt
  /// of ours, that speaks against its address: the next address is tried at once, and this one again in a moment, as a route or a
  /// neighbour may be about to come, and what the network says may be forged by anyone who reads along. When another attempt, made
  /// since, meets a fault again, the address is given up: at once where it is the kernel that refuses, else a little later, should the
  /// true answer come meanwhile. A connection that stands does not mind.
  ///
  /// - Parameters:
  ///   - id: the first eight bytes of the datagram: only those that have seen it know them.
  ///   - address: where it went.
  package mutating func dialRefused(id: UInt64, to address: Address, _ fault: DialFault, by source: FaultSource) {
    guard let slot = peers.slot(of: id), peers.rows[slot].phase == .dialling, peers.handshakes[slot].started != .never,
      peers.rows[slot].address.isSame(as: address), let (firstAttempt, index) = target(of: slot)
    else { return }
    if fault == .tooLarge, peers.handshakes[slot].length > Datagram.smallestPath {
      dialler.lengths.remember(Datagram.smallestPath, to: peers.rows[slot].address, now: now)
      guard !peers.handshakes[firstAttempt].targets[index].hasShort else { return }
      peers.handshakes[firstAttempt].targets[index].shortAttempt = now
      scheduleDial(firstAttempt)
      return
    }
    let faultAt = peers.handshakes[firstAttempt].targets[index].faultAt
    if faultAt == .never || now > faultAt + Self.faultAge {
      peers.handshakes[firstAttempt].targets[index].faultAt = now
      peers.handshakes[firstAttempt].targets[index].extraAttempt = now + Self.faultRetry
      tryNextAddress(firstAttempt)
    } else if peers.handshakes[slot].sentAt > faultAt {
      switch source {
      case .kernel: giveUp(firstAttempt, index, .unreachable(fault))
      // It says nothing of the round trip.
      case .network: doubt(slot, .unreachable(fault), for: configuration.initialRoundTrip)
      }
    } else {
      return
    }
    scheduleDial(firstAttempt)
  }

  private mutating func giveUp(_ firstAttempt: Slot, _ index: Int, _ reason: CloseReason) {
    peers.handshakes[firstAttempt].targets[index].end = reason
    tryNextAddress(firstAttempt)
  }

  /// The first address that has not been tried need not wait for its time.
  private mutating func tryNextAddress(_ firstAttempt: Slot) {
    let targets = peers.handshakes[firstAttempt].targets
    guard let index = targets.firstIndex(where: { $0.end == nil && $0.timed == 0 }) else { return }
    peers.handshakes[firstAttempt].targets[index].nextAttempt = now
  }
}

extension Address {
  /// The same host and port; not all that tell of an address know its zone.
  fileprivate func isSame(as other: Address) -> Bool { high == other.high && low == other.low && port == other.port }
}

// SPDX-License-Identifier: MIT
extension Flow {
  /// Whether the congestion window has room for more.
  @inline(__always)
  package var hasCongestionWindow: Bool { send.bytesInFlight < congestion.window }

  /// What `nextSegment` would stop at, in its order, without sending or changing anything.
  ///
  /// - Parameter hasTurn: it is in the queue, or about to be judged. If not, what it has waits for the clock.
  @inline(__always)
  package func limit(hasTurn: Bool, now: Instant) -> SendLimit {
    guard send.hasData else { return send.hasNew ? .receiveWindow : .application }
    guard now >= sendNotBefore else { return .handshake }
    guard hasCongestionWindow else { return .congestionWindow }
    var pacer = pacer
    return hasTurn && pacer.allows(now: now) ? .nothing : .pacing
  }
}

extension Flow {
  /// A datagram has opened.
  /// - Returns: whether it is the first with this number.
  @inline(__always)
  package mutating func authenticated(_ packetNumber: UInt64, now: Instant) -> Bool {
    guard replay.take(packetNumber) else { return false }
    lastReceived = now
    return true
  }

  /// An ack-eliciting datagram was in order.
  @inline(__always)
  package mutating func owesAck(
    _ packetNumber: UInt64, ecn: UInt8, atOnce: Bool, maximumDelay: Nanoseconds, now: Instant
  ) {
    // A connection acknowledges more often while it is young: its sender's window is still small.
    let ratio = ack.elicitingReceived < 256 ? min(peerAckRatio, 8) : peerAckRatio
    ack.received(
      packetNumber: packetNumber, ecn: ecn, ratio: ratio, maximumDelay: maximumDelay, roundTrip: roundTrip.shortest,
      now: now)
    if atOnce { ack.demand() }
  }
}

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
    let ratio = ack.elicitingReceived < AckSchedule.youth ? min(peerAckRatio, 8) : peerAckRatio
    ack.received(
      packetNumber: packetNumber, ecn: ecn, ratio: ratio, maximumDelay: maximumDelay, roundTrip: roundTrip.shortest,
      now: now)
    if atOnce { ack.demand() }
  }

  /// Whether packets from `packetNumber` on, newer than any other, may be taken several at once if they bring what is next in
  /// order.
  @inline(__always)
  package func takesRun(from packetNumber: UInt64) -> Bool {
    // So far from the last number that none of a run is beyond it.
    guard let newest = replay.highest, packetNumber > newest, packetNumber < 1 << 63 else { return false }
    return ack.takesRuns && receive.takesDirectly
  }

  /// As `authenticated` and `owesAck` for each of `count` packets with numbers in a row, when it `takesRun`.
  package mutating func received(
    _ count: Int, from packetNumber: UInt64, ecn: UInt8, maximumDelay: Nanoseconds, now: Instant
  ) {
    replay.insert(count, from: packetNumber)
    lastReceived = now
    ack.received(
      count, from: packetNumber, ecn: ecn, ratio: peerAckRatio, maximumDelay: maximumDelay,
      roundTrip: roundTrip.shortest, now: now)
  }
}

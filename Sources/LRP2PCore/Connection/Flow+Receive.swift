// SPDX-License-Identifier: MIT
extension Flow {
  /// A datagram has opened.
  /// - Returns: whether it is the first with this number.
  @inline(__always)
  package mutating func authenticated(_ packetNumber: UInt64) -> Bool { replay.take(packetNumber) }

  /// An ack-eliciting datagram was in order.
  /// - Parameter ratio: that the peer has asked for.
  @inline(__always)
  package mutating func receivedAckEliciting(
    _ packetNumber: UInt64, ecn: UInt8, ratio: UInt16, atOnce: Bool, maximumDelay: Nanoseconds, now: Instant
  ) {
    // A connection acknowledges more often while it is young: its sender's window is still small.
    let ratio = ack.elicitingReceived < AckSchedule.youth ? min(Int(ratio), 8) : Int(ratio)
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

  /// As `authenticated` and `receivedAckEliciting` for each of `count` packets with numbers in a row, when it `takesRun`.
  package mutating func received(
    _ count: Int, from packetNumber: UInt64, ecn: UInt8, ratio: UInt16, maximumDelay: Nanoseconds, now: Instant
  ) {
    replay.insert(count, from: packetNumber)
    ack.received(
      count, from: packetNumber, ecn: ecn, ratio: Int(ratio), maximumDelay: maximumDelay,
      roundTrip: roundTrip.shortest, now: now)
  }
}

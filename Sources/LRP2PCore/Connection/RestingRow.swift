/// What remains of an established connection while nothing moves: who the peer is, which packet numbers it has used, where
/// both streams stand, what is known of the path, and when it was heard of. With its hot row, its keys and its place in
/// the timer wheel this is all that an idle peer costs.
///
/// Congestion and loss state and buffers are a `Flow`'s, which waking makes of this row and resting turns into it again.
package struct RestingRow: BitwiseCopyable {
  // What a datagram is judged by before it is opened.
  package var replay = ReplayWindow.Rest()
  package var receivingEpoch: UInt64 = 0
  package var sendingEpoch: UInt64 = 0

  package var send = SendWindow.Rest()
  package var receive = ReceiveWindow.Rest()
  package var roundTrip = RoundTripEstimate.Rest()
  package var ack = AckSchedule.Rest()
  package var mtu = PathMTU.Rest()
  /// Bytes per second that the path has delivered; 0 if that is not known.
  package var deliveryRate: UInt64 = 0
  package var pathHoldOffUntil: Instant = 0

  package var lasting = Lasting()
  package var congestion = CongestionAlgorithm.bbr

  package init() {}

  package func epochs(bits: UInt64) -> KeyEpochs {
    KeyEpochs(bits: bits, sending: sendingEpoch, receiving: receivingEpoch)
  }

  /// What the next data may start from.
  package var learnt: RememberedPath? {
    let roundTrip = RoundTripEstimate(from: roundTrip)
    guard roundTrip.hasSample, deliveryRate > 0 else { return nil }
    return RememberedPath(roundTrip: roundTrip.minimum, bytesPerSecond: deliveryRate)
  }
}

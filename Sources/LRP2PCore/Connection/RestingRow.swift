// SPDX-License-Identifier: MIT
/// What remains of an established connection's flow while nothing moves: which packet numbers it has seen, where both streams stand, and
/// what is known of the path. With its header, which this is a part of, its hot row, its keys and its place in the timer wheel this is all
/// that an idle peer costs.
///
/// Congestion and loss state and buffers are a `Flow`'s, which waking makes of this row and resting turns into it again.
package struct RestingRow: BitwiseCopyable {
  // What a datagram is judged by before it is opened.
  package var replay = ReplayWindow.Rest()
  package var congestion = CongestionAlgorithm.bbr
  package var ecn = ECNState.off
  package var send = SendWindow.Rest()
  package var receive = ReceiveWindow.Rest()
  package var roundTrip = RoundTripEstimate.Rest()
  package var ack = AckSchedule.Rest()
  package var mtu = PathMTU.Rest()
  /// Bytes per second that the path has delivered; 0 if that is not known.
  package var deliveryRate: UInt64 = 0
  package var pathHoldOffUntil: Instant = 0

  package init() {}
}

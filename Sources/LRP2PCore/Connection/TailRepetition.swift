// SPDX-License-Identifier: MIT
/// The end of a stream over a path that loses: what a loss there costs is a round trip or two in which nothing else is
/// sent. So once all has been sent, what was sent last is repeated at the same pace while the congestion window has
/// room: a segment is then missing only if both its transmissions are. Nothing is repeated on a path that loses nothing.
package struct TailRepetition: BitwiseCopyable {
  /// Bytes of repetitions: they count as in flight too.
  private var spent: UInt64 = 0
  private var cursor: UInt32 = 0
  private var passes = 0
  private let isOff: Bool

  package init(isOff: Bool = false) { self.isOff = isOff }

  /// The last segment has left.
  package mutating func streamEnded(_ send: borrowing SendWindow, hasLosses: Bool) {
    guard hasLosses, !isOff else { return }
    // The later half of what is in flight: of the earlier one an ACK tells in time.
    cursor = send.next &- UInt32(min(send.packetsInFlight / 2 + 1, Int(send.next &- send.base)))
    passes = 2
  }

  @inline(__always)
  package func mayRepeat(_ send: borrowing SendWindow, window: UInt64) -> Bool {
    passes > 0 && send.packetsInFlight > 0 && send.bytesInFlight + spent < window
  }

  /// The next segment to repeat; `nil` when enough has been.
  @inline(__always)
  package mutating func next(_ send: borrowing SendWindow) -> SendWindow.Segment? {
    while passes > 0 {
      if let segment = send.outstanding(from: cursor) {
        cursor = segment.number &+ 1
        spent += UInt64(segment.length + SendWindow.overhead)
        return segment
      }
      // Whatever no ACK has told of yet, once more.
      passes -= 1
      cursor = send.base
    }
    return nil
  }
}

/// The end of a stream over a path that loses: what a loss there costs is a round trip or two in which nothing else is
/// sent. So once all has been sent, what was sent last is repeated at the same pace while the congestion window has
/// room: a segment is then missing only if both its transmissions are. Nothing is repeated on a path that loses nothing.
package struct TailRepetition: BitwiseCopyable {
  /// Bytes that may be spent: what the window had left when the stream ended.
  private var allowance: UInt64 = 0
  private var cursor: UInt32 = 0
  private var passes = 0
  private let isOff: Bool

  package init(isOff: Bool = false) { self.isOff = isOff }

  /// The last segment has left.
  package mutating func streamEnded(_ send: borrowing SendWindow, hasLosses: Bool, window: UInt64) {
    guard hasLosses, !isOff, window > send.bytesInFlight else { return }
    allowance = window - send.bytesInFlight
    // The later half: an ACK tells of the earlier one in time.
    cursor = send.next &- (send.next &- send.base) / 2
    passes = 2
  }

  package func mayRepeat(_ send: borrowing SendWindow) -> Bool {
    passes > 0 && allowance > 0 && send.packetsInFlight > 0
  }

  /// The next segment to repeat; `nil` when enough has been.
  package mutating func next(_ send: inout SendWindow, window: UInt64) -> SendWindow.Segment? {
    while passes > 0 {
      if let segment = send.outstanding(from: cursor) {
        cursor = segment.number &+ 1
        let bytes = UInt64(segment.length + SendWindow.overhead)
        allowance -= min(bytes, allowance)
        if allowance == 0 { passes = 0 }
        return segment
      }
      passes -= 1
      cursor = send.next &- (send.next &- send.base) / 2
    }
    return nil
  }
}

// SPDX-License-Identifier: MIT
extension Flow {
  /// The next segment that the congestion window and the pacer let out. If they do not, says when the pacer will.
  package mutating func nextSegment(now: Instant) -> SendWindow.Segment? {
    let hasData = send.hasData
    guard hasData || tail.mayRepeat(send, window: congestion.window) else {
      markAppLimited()
      pacer.stopsWaiting(now: now)
      return nil
    }
    guard now >= sendNotBefore else {
      pacingDeadline = sendNotBefore
      return nil
    }
    if !hasStarted { start(now: now) }
    guard hasCongestionWindow else {
      isCongestionLimited = true
      pacer.stopsWaiting(now: now)
      return nil
    }
    guard pacer.allows(now: now) else {
      pacingDeadline = pacer.nextSend(now: now)
      isCongestionLimited = hasData
      return nil
    }
    pacingDeadline = 0
    return hasData ? send.nextSegment(capacity: capacity) : tail.next(send)
  }

  /// Nothing is left to send, so what is measured from here on says nothing about the path.
  mutating func markAppLimited() {
    isCongestionLimited = false
    if send.bytesInFlight < congestion.window, !send.isWindowClosed {
      rate.limitedByApplication(bytesInFlight: send.bytesInFlight)
    }
  }

  /// Whether nothing that is offered comes behind a segment that is about to leave for the first time.
  func isLast(_ segment: SendWindow.Segment) -> Bool {
    !segment.isRetransmission && !segment.isMessages && segment.offset + UInt64(segment.length) == send.offered
  }

  /// A data segment leaves.
  package mutating func sent(
    _ segment: SendWindow.Segment, _ header: inout ConnectionHeader, packetNumber: UInt64, bytes: Int, now: Instant
  ) {
    if send.packetsInFlight == 0 {
      congestion.restarted(now: now)
      pacer.restarted()
    }
    send.sent(segment, packetNumber: packetNumber, now: now)
    precondition(
      segment.isRetransmission || send.bytesInFlight <= congestion.window + UInt64(bytes),
      "beyond the congestion window")
    // The end of a stream is repeated a little faster than the rest was sent.
    pacer.spend(segment.isRepetition ? bytes * 31 / 32 : bytes)
    rate.sent(packetNumber: packetNumber, bytesInFlight: send.bytesInFlight, bytes: UInt64(bytes), now: now)
    if !trains.isOver { trains.sent(packetNumber: packetNumber, now: now) }
    lastElicitingSent = now
    if segment.isRetransmission {
      header.retransmissions &+= 1
    } else if segment.isFin {
      tail.streamEnded(send, hasLosses: header.hasLost)
    }
  }

  /// Whether there is a segment to send, as far as neither the congestion window nor the pacer is asked.
  @inline(__always)
  package var hasMore: Bool {
    send.hasData || probesOwed > 0 || tail.mayRepeat(send, window: congestion.window)
  }

  /// Of what it has to send the last segment only is left, shorter than others.
  @inline(__always)
  package var isAtEnd: Bool {
    send.hasNew && !send.hasMessages && send.bytesWaiting < UInt64(capacity) && !send.hasLost && probesOwed == 0
  }

  /// New segments of `capacity` bytes each that the congestion window and the pacer let out one behind the other, when nothing
  /// else is due before them and none of them is the first after a silence.
  package mutating func wholeSegments(now: Instant) -> Int {
    var most = send.wholeSegments(capacity: capacity)
    // The last is to ask for its ACK.
    if isFlushed, UInt64(most) * UInt64(capacity) == send.bytesWaiting { most -= 1 }
    guard most > 1, probesOwed == 0, hasStarted, trains.isOver, send.packetsInFlight > 0, now >= sendNotBefore,
      hasCongestionWindow
    else { return 0 }
    let bytes = UInt64(capacity + SendWindow.overhead)
    let window = (congestion.window - send.bytesInFlight + bytes - 1) / bytes
    return min(most, Int(min(window, UInt64(Int32.max))), pacer.allowance(of: Int(bytes), now: now))
  }

  /// As `sent`, for as many of these as `wholeSegments` has told at most; `bytes` are a datagram's.
  package mutating func sent(whole count: Int, packetNumber: UInt64, bytes: Int, now: Instant) {
    let before = send.bytesInFlight
    send.sent(whole: count, of: capacity, packetNumber: packetNumber, now: now)
    precondition(send.bytesInFlight <= congestion.window + UInt64(bytes), "beyond the congestion window")
    pacingDeadline = 0
    pacer.spend(count * bytes)
    rate.sent(
      packets: UInt64(count), from: packetNumber, bytesInFlight: before, bytes: UInt64(bytes), now: now)
    lastElicitingSent = now
  }
}

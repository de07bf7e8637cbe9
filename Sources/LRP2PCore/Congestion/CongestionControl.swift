// SPDX-License-Identifier: MIT
/// Which congestion controller a connection uses.
public enum CongestionAlgorithm: String, Sendable, Hashable, CaseIterable, BitwiseCopyable {
  /// RFC 9438, with HyStart++ (RFC 9406).
  case cubic
  /// Version 3 (draft-ietf-ccwg-bbr).
  case bbr
}

/// What an ACK tells a congestion controller.
package struct AckSample {
  package var now: Instant
  /// Newly acknowledged.
  package var bytes: UInt64
  package var bytesInFlight: UInt64
  /// Found lost by this ACK.
  package var lostBytes: UInt64 = 0
  /// Whether the window was what held the sender back.
  package var isLimiting: Bool
  package var roundTrip: RoundTripEstimate
  /// Whether `roundTrip.latest` is of this ACK.
  package var isSampled: Bool
  /// Packet numbers acknowledged and about to be used: they bound rounds.
  package var largest: UInt64
  package var next: UInt64
  package var rate: DeliveryRate.Sample?

  package init(
    now: Instant, bytes: UInt64, bytesInFlight: UInt64, lostBytes: UInt64 = 0, isLimiting: Bool,
    roundTrip: RoundTripEstimate, isSampled: Bool, largest: UInt64, next: UInt64, rate: DeliveryRate.Sample? = nil
  ) {
    self.now = now
    self.bytes = bytes
    self.bytesInFlight = bytesInFlight
    self.lostBytes = lostBytes
    self.isLimiting = isLimiting
    self.roundTrip = roundTrip
    self.isSampled = isSampled
    self.largest = largest
    self.next = next
    self.rate = rate
  }
}

/// The congestion controller of one connection: a value that can be exchanged while it runs.
package struct CongestionControl: BitwiseCopyable {
  package private(set) var algorithm: CongestionAlgorithm
  private var cubic: Cubic
  private var bbr: BBR
  private let segment: Int

  package init(_ algorithm: CongestionAlgorithm, segment: Int, initialWindow packets: Int, seed: UInt64) {
    self.algorithm = algorithm
    self.segment = segment
    cubic = Cubic(segment: segment, initialWindow: packets)
    bbr = BBR(segment: segment, initialWindow: packets, seed: seed)
  }

  /// Bytes that may be in flight.
  package var window: UInt64 { algorithm == .bbr ? bbr.window : cubic.window }
  package var inSlowStart: Bool { algorithm == .bbr ? bbr.isInStartup : cubic.inSlowStart }

  /// Bytes per second to send at; 0 before anything is known, when only the window limits.
  @inline(__always)
  package func pacingRate(smoothed: Nanoseconds) -> UInt64 {
    if algorithm == .bbr { return bbr.pacingRate }
    guard smoothed > 0 else { return 0 }
    // The window's worth each round trip, and a quarter more so that the window, not the pace, is the limit (RFC 9002,
    // 7.7); twice in slow start, as far as the path is known to carry it.
    let microseconds = max(smoothed / 1000, 1)
    let rate = min(cubic.window, 1 << 40) * (cubic.inSlowStart ? 8 : 5) / 4 * 1_000_000 / microseconds
    return cubic.inSlowStart && cubic.capacity > 0 ? min(rate, cubic.capacity) : rate
  }

  /// Goes on with another controller, from the window of this one.
  package mutating func exchange(
    for other: CongestionAlgorithm, roundTrip: borrowing RoundTripEstimate, bytesPerSecond: UInt64, now: Instant
  ) {
    guard other != algorithm else { return }
    let window = window
    if other == .cubic {
      cubic.goOn(window: window, inSlowStart: inSlowStart)
    } else if bytesPerSecond > 0 {
      bbr.goOn(window: window, bytesPerSecond: bytesPerSecond, roundTrip: roundTrip, now: now)
    }
    algorithm = other
  }

  /// A full datagram has another size from here on.
  package mutating func setSegment(_ bytes: Int) {
    cubic.setSegment(bytes)
    bbr.setSegment(bytes)
  }

  /// The first data leaves, over a path of this round trip: `window` bytes in its course.
  package mutating func start(window: UInt64, roundTrip: Nanoseconds, now: Instant) {
    cubic.start(window: window)
    bbr.start(window: window, roundTrip: roundTrip, now: now)
  }

  /// The path's capacity is known, by measurement or from an earlier connection: `window` may be in flight at once, and
  /// more until `capacity` is reached.
  package mutating func expect(capacity: UInt64, window: UInt64, roundTrip: Nanoseconds) {
    cubic.expect(capacity: capacity, window: window, roundTrip: roundTrip)
    bbr.expect(capacity: capacity, window: window)
  }

  package mutating func acknowledged(_ sample: AckSample) {
    if algorithm == .bbr {
      bbr.acknowledged(sample)
    } else {
      cubic.acknowledged(
        bytes: sample.bytes, isLimiting: sample.isLimiting, roundTrip: sample.roundTrip, sampled: sample.isSampled,
        largest: sample.largest, next: sample.next, now: sample.now)
    }
  }

  /// Packets were lost, the newest of them sent at `sentTime` with so much in flight, and so much lost since then.
  package mutating func lost(
    packets: Int, sentTime: Instant, inFlight: UInt64, lostSince: UInt64, now: Instant
  ) {
    if algorithm == .bbr {
      bbr.lost(inFlight: inFlight, lostSince: lostSince, now: now)
    } else {
      cubic.lost(sentTime: sentTime, packets: packets, now: now)
    }
  }

  /// Packets taken for lost have arrived after all.
  package mutating func spurious(packets: Int, now: Instant) {
    if algorithm == .bbr { bbr.undo(packets: packets) } else { cubic.undo(packets: packets) }
  }

  /// The peer has seen packets marked as having met congestion (RFC 3168).
  package mutating func congestionExperienced(sentTime: Instant, inFlight: UInt64, now: Instant) {
    if algorithm == .bbr {
      bbr.congestionExperienced(inFlight: inFlight, now: now)
    } else {
      cubic.lost(sentTime: sentTime, packets: 0, now: now)
    }
  }

  /// Data leaves after a time with nothing in flight.
  package mutating func restarted(now: Instant) {
    if algorithm == .bbr { bbr.restarted(now: now) }
  }

  package mutating func persistentCongestion(now: Instant) {
    if algorithm == .bbr { bbr.persistentCongestion() } else { cubic.persistentCongestion(now: now) }
  }
}

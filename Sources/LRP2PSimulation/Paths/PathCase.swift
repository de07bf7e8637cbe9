// SPDX-License-Identifier: MIT
import LRP2PCore

/// A path as there are some in the world, what happens to it, who sends over it, and what is the least that must come of that.
/// Times are nanoseconds since the first dial, rates bits per second of UDP payload, sizes bytes.
package struct PathCase: Sendable {
  package let name: String
  /// One line for whoever reads the table.
  package let summary: String
  /// Each way, as it is at first.
  package var forth = Link()
  package var back = Link()
  /// What happens to it; what is drawn is drawn from the seed.
  package var changes: @Sendable (inout SeededRandom) -> [PathChange] = { _ in [] }
  /// Hosts have their turns at multiples of this.
  package var turn: Nanoseconds = .microseconds(10)
  package var flows: [PathFlow] = [PathFlow()]
  /// Each flow dials up to so much later than it says.
  package var spread: Nanoseconds = .milliseconds(100)
  /// The rate that goodput is compared with.
  package var fullRate: UInt64
  /// Windows of this length, from the moment `measured` begins on, all of them within it; it ends with the playing at the latest.
  package var window: Nanoseconds = .seconds(5)
  package var measured: Range<Nanoseconds> = .seconds(5)..<(.seconds(35))
  /// What there is to recover from is over.
  package var event: Nanoseconds?
  /// What the sender remembers of the path, right or wrong; it is then also played without.
  package var remembered: RememberedPath?
  /// What both sides would be told of the round trip, had engines a knob for that (`PathRun.expect`).
  package var initialRoundTrip: Nanoseconds?
  /// Both sides mark what they send as ECN-capable.
  package var usesECN = EngineConfiguration().usesECN
  /// The bars have been proposed, and not agreed on.
  package var isProposed = false
  /// The first is the one that the table shows.
  package var bars: [PathBar]

  /// A path with a drop-tail queue of so many products of rate and round trip each way, and one flow without end.
  package init(
    _ name: String, _ summary: String, rate: UInt64 = 20_000_000, roundTrip: Nanoseconds = .milliseconds(50),
    queue: Double = 1, bars: [PathBar], change: (inout PathCase) -> Void = { _ in }
  ) {
    self.name = name
    self.summary = summary
    self.bars = bars
    fullRate = rate
    forth.rate = rate
    forth.delay = roundTrip / 2
    forth.buffer = Int(Double(rate) / 8e9 * Double(roundTrip) * queue)
    back = forth
    // What ACKs need is never what this is about.
    back.buffer = max(Int(Double(rate) / 8e9 * Double(roundTrip)), 30_000)
    change(&self)
  }

  package var roundTrip: Nanoseconds { forth.delay + back.delay }
  /// The playing ends then at the latest.
  package var end: Nanoseconds { measured.upperBound }
}

/// Something that happens to a path.
package struct PathChange: Sendable {
  package enum Direction: Sendable { case forth, back, both }

  package var at: Nanoseconds
  package var direction: Direction
  package var change: LinkChange

  package init(at: Nanoseconds, _ direction: Direction, _ change: LinkChange) {
    self.at = at
    self.direction = direction
    self.change = change
  }
}

/// A connection over the path.
package struct PathFlow: Sendable {
  /// The sending hosts are 0, 1 …; all send to one.
  package var host: Int
  /// When it dials.
  package var at: Nanoseconds
  /// Bytes to send; `nil` is without end. All flows of a host have the same.
  package var bytes: UInt64?
  /// It goes beside the others: goodput is that of the others, and how long it takes counts for itself.
  package var isShort: Bool

  package init(host: Int = 0, at: Nanoseconds = 0, bytes: UInt64? = nil, isShort: Bool = false) {
    self.host = host
    self.at = at
    self.bytes = bytes
    self.isShort = isShort
  }
}

/// What is measured of a playing.
package enum PathMeasure: String, Sendable {
  /// Of the rate, 0 … 1: payload that reached the reader in order, in the worst window.
  case goodput
  /// Seconds from the event to the first second in which 0.8 of the rate came, and not by a flood of what had waited for a gap.
  case recovery = "recovery_s"
  /// Of the datagrams that the forward link was given, 0 … 1.
  case loss
  /// Of a fair share, 0 … 1: the worst flow's in its worst window. The bar is what it has to exceed.
  case leastFlow = "least_flow"
  /// Of the datagrams with data, 0 … 1: those of which an earlier copy arrives.
  case spurious
  /// How many times as long as without memory.
  case slowdown
  /// Seconds from the dial to the first bytes in order.
  case firstByte = "first_byte_s"
  /// Seconds from the dial to the last byte.
  case completion = "completion_s"
  /// The same of short flows, the median.
  case shortCompletion = "short_completion_s"

  /// Whether more is better.
  package var isBetterWhenMore: Bool { self == .goodput || self == .leastFlow }
}

/// What a measure must reach, or not exceed.
package struct PathBar: Sendable {
  package let measure: PathMeasure
  package let limit: Double

  package init(_ measure: PathMeasure, _ limit: Double) {
    self.measure = measure
    self.limit = limit
  }

  /// - Parameter value: `nil` is what never came.
  package func isMet(by value: Double?) -> Bool {
    guard let value, value.isFinite else { return false }
    if measure == .leastFlow { return value > limit }
    return measure.isBetterWhenMore ? value >= limit : value <= limit
  }
}

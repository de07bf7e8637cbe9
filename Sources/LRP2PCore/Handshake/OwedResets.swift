// SPDX-License-Identifier: MIT
/// Resets on their way out.
///
/// Whoever has much in flight to a host that has lost it all sends many datagrams before a reset can reach it: within a moment one of them is
/// answered, so that the allowance is enough for all the others.
package struct OwedResets: ~Copyable {
  // Not private: a debug build fails on private types in generic storage (Swift 6.3).
  package struct Recent: BitwiseCopyable {
    var reset = Reset()
    var until: Instant = 0
  }

  private static var places: Int { 256 }
  private static var pause: Nanoseconds { .milliseconds(25) }

  private var answers: Answers<Reset>
  private var recent = Column(repeating: Recent(), count: Self.places)

  package init(perSecond: Int) { answers = Answers(perSecond: perSecond, filler: Reset()) }

  package var isEmpty: Bool { answers.isEmpty }
  package var first: Reset? { answers.first }

  /// Takes one on, if it is paid for.
  package mutating func owe(_ reset: Reset, now: Instant) {
    let place = Self.place(reset)
    guard recent[place].reset != reset || recent[place].until <= now, answers.mayAppend(now: now) else { return }
    recent[place] = Recent(reset: reset, until: now + Self.pause)
    answers.append(reset)
  }

  package mutating func removeFirst() { answers.removeFirst() }

  private static func place(_ reset: Reset) -> Int {
    let hash = (reset.id ^ reset.address.low ^ reset.address.high) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: hash >> 40) & (places - 1)
  }
}

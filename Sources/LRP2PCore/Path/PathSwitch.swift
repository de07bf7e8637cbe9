// SPDX-License-Identifier: MIT
/// A change of path that this side's program has asked for (docs/protocol.md, 6.4): an address that it knows of the peer's is asked
/// whether the peer is there, by CHALLENGE; then the peer is told by SWITCH to use where that comes from.
package struct PathSwitch: BitwiseCopyable {
  package enum Step: UInt8, BitwiseCopyable { case none, asks, tells }

  package private(set) var step = Step.none
  /// Where the peer is to be from now on; `.none` where it is at that time.
  package private(set) var target = Address.none
  /// Of the CHALLENGE, then of the SWITCH.
  package private(set) var value: UInt64 = 0
  private var attempts = 0
  /// When the first of a step has left, and how long after that the answer came.
  private var started: Instant = 0
  package private(set) var roundTrip: Nanoseconds = 0
  package private(set) var owes = false
  /// When to repeat, or to give up.
  package private(set) var deadline: Instant = .never

  private static var maximumChallenges: Int { 3 }
  private static var maximumSwitches: Int { 4 }
  /// The new path may be much longer than the old one, whose probe timeout this is about; and the peer asks before it answers.
  private static var shortestChallenge: Nanoseconds { .seconds(1) }
  private static var shortestSwitch: Nanoseconds { .seconds(2) }

  package init() {}

  package var isQuiet: Bool { step == .none }
  package var kind: UInt16 { step == .asks ? Control.challenge : Control.switchPath }

  /// Whether a datagram from `address` is no news, as the peer is asked there already.
  package func concerns(_ address: Address) -> Bool { step != .none && target == address }

  /// The first leaves with the next turn, and has a clock from then on.
  /// - Parameter value: 8 random bytes.
  package mutating func begin(_ step: Step, to target: Address, value: UInt64) {
    self.step = step
    self.target = target
    self.value = value
    attempts = 0
    owes = true
    deadline = .never
  }

  package func asks(_ value: UInt64) -> Bool { step != .none && value == self.value }

  /// The RESPONSE has come.
  package mutating func answered(now: Instant) { roundTrip = attempts > 0 ? now - min(started, now) : 0 }

  package mutating func sent(probeTimeout: Nanoseconds, now: Instant) {
    owes = false
    guard attempts == 0 else { return }
    attempts = 1
    // Which of several an answer is to cannot be told: the round trip counts from the first.
    started = now
    deadline = now + probeTimeout
  }

  /// The clock has reached `deadline`.
  /// - Returns: whether nobody has answered for so long that all stays as it was.
  package mutating func expired(probeTimeout: Nanoseconds, now: Instant) -> Bool {
    guard step != .none, deadline <= now else { return false }
    switch step {
    case .asks where attempts < Self.maximumChallenges || now < started + Self.shortestChallenge,
      .tells where attempts < Self.maximumSwitches:
      attempts += 1
      owes = true
      deadline = now + probeTimeout << UInt64(min(attempts - 1, 10))
    case .tells where now < started + Self.shortestSwitch:
      deadline = started + Self.shortestSwitch
    default:
      end()
      return true
    }
    return false
  }

  package mutating func end() {
    step = .none
    owes = false
    deadline = .never
  }
}

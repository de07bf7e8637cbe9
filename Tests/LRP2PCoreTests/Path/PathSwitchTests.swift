// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// When a switch of path is asked for, repeated and given up.
@Suite struct PathSwitchTests {
  private static let there = Address(ipv4: 0x0A00_0009, port: 9)
  private static let timeout: Nanoseconds = .milliseconds(400)

  /// When each repetition leaves, and when it is given up.
  private static func times(_ step: PathSwitch.Step, timeout: Nanoseconds) -> (sent: [Nanoseconds], end: Nanoseconds) {
    var path = PathSwitch()
    path.begin(step, to: there, value: 7)
    var sent: [Nanoseconds] = []
    var now: Instant = 0
    for _ in 0..<100 {
      if path.owes {
        path.sent(probeTimeout: timeout, now: now)
        sent.append(now)
      }
      now = path.deadline
      let isOver = path.expired(probeTimeout: timeout, now: now)
      if isOver { return (sent, now) }
    }
    return (sent, .never)
  }

  @Test func itIsRepeatedThreeTimes() {
    let told = Self.times(.tells, timeout: Self.timeout)
    #expect(told.sent == [0, 1, 3, 7].map { $0 * Self.timeout } && told.end == 15 * Self.timeout)
    // The new path may be longer than the old one.
    let short = Self.times(.tells, timeout: .milliseconds(30))
    #expect(short.sent == [0, 1, 3, 7].map { $0 * .milliseconds(30) } && short.end == .seconds(2))
  }

  @Test func theAddressIsAskedAsByEveryValidation() {
    let asked = Self.times(.asks, timeout: Self.timeout)
    #expect(asked.sent == [0, 1, 3].map { $0 * Self.timeout } && asked.end == 7 * Self.timeout)
    let short = Self.times(.asks, timeout: .milliseconds(30))
    #expect(short.sent == [0, 1, 3, 7, 15, 31].map { $0 * .milliseconds(30) } && short.end >= .seconds(1))
  }

  @Test func theRoundTripCountsFromTheFirst() {
    var path = PathSwitch()
    path.begin(.tells, to: .none, value: 7)
    // Who asks between two turns knows no time.
    #expect(path.owes && path.deadline == .never)
    path.sent(probeTimeout: Self.timeout, now: 5)
    _ = path.expired(probeTimeout: Self.timeout, now: Self.timeout + 5)
    path.sent(probeTimeout: Self.timeout, now: Self.timeout + 5)
    #expect(path.asks(7) && !path.asks(8) && !path.concerns(Self.there))
    path.answered(now: Self.timeout + 6)
    #expect(path.roundTrip == Self.timeout + 1)
    path.end()
    #expect(path.isQuiet && !path.asks(7) && path.deadline == .never && !path.owes)
  }

  // MARK: The side that is asked

  private static let candidate = Address(ipv4: 0x0A00_0008, port: 8)

  private static func begun() -> PathValidation {
    var path = PathValidation()
    let start = path.switches(to: candidate, 5, probeTimeout: timeout, now: 0)
    #expect(start == .begins)
    path.begin(candidate, bytes: 46, challenges: (1, 2), probeTimeout: timeout, now: 0)
    path.serve(5)
    return path
  }

  @Test func theOldAddressIsNotAsked() {
    var path = Self.begun()
    #expect(path.owesNew && !path.owesOld && path.asks(1) && !path.asks(2))
    _ = path.expired(probeTimeout: Self.timeout, now: Self.timeout)
    #expect(path.owesNew && !path.owesOld)
    path.sentNew(bytes: 46, now: Self.timeout)
    let old = path.answered(2, probeTimeout: Self.timeout, now: Self.timeout + 1)
    let new = path.answered(1, probeTimeout: Self.timeout, now: Self.timeout + 2)
    #expect(old == .nothing && new == .move)
    #expect(path.roundTrip == 2 && path.switchValue == 5 && !path.isActive)
  }

  @Test func theNewAddressCountsAtOnce() {
    var path = Self.begun()
    path.sentNew(bytes: 46, now: 0)
    let verdict = path.answered(1, probeTimeout: Self.timeout, now: 1)
    #expect(verdict == .move)
  }

  /// A later SWITCH counts, and so does a later move; data does not, which may take another path.
  @Test func whatOvertakesASwitch() {
    var path = PathValidation()
    let first = path.isLatest(0, from: Self.candidate)
    path.heeded(10)
    let (later, earlier) = (path.isLatest(11, from: Self.candidate), path.isLatest(10, from: Self.candidate))
    path.begin(Self.there, bytes: 46, packetNumber: 20, challenges: (1, 2), probeTimeout: Self.timeout, now: 0)
    let (same, other) = (path.isLatest(15, from: Self.there), path.isLatest(15, from: Self.candidate))
    #expect(first && later && !earlier && same && !other)
    // Behind a rest everything so far has.
    let rested = PathValidation(newest: 30)
    #expect(!rested.isLatest(30, from: Self.candidate) && rested.isLatest(31, from: Self.candidate))
  }

  @Test func repeatsBeginNothing() {
    var path = Self.begun()
    let again = path.switches(to: Self.candidate, 5, probeTimeout: Self.timeout, now: 1)
    let another = path.switches(to: Self.there, 6, probeTimeout: Self.timeout, now: 1)
    let early = path.switches(to: Self.there, 6, probeTimeout: Self.timeout, now: Self.timeout - 1)
    let late = path.switches(to: Self.there, 6, probeTimeout: Self.timeout, now: Self.timeout)
    #expect(again == .goesOn && another == .tooEarly && early == .tooEarly && late == .begins)
  }

  @Test func anOrdinaryValidationOfTheAddressIsTurned() {
    var path = PathValidation()
    path.begin(Self.candidate, bytes: 46, challenges: (1, 2), probeTimeout: Self.timeout, now: 0)
    path.sentNew(bytes: 46, now: 1)
    path.sentOld()
    let turned = path.switches(to: Self.candidate, 5, probeTimeout: Self.timeout, now: 10)
    #expect(turned == .goesOn && path.isSwitch && !path.asks(2) && path.asks(1))
    // What has been sent there counts on.
    #expect(path.allowance == 3 * 46 - 46)
    let verdict = path.answered(1, probeTimeout: Self.timeout, now: 11)
    #expect(verdict == .move && path.roundTrip == 10)
  }

  @Test func anAddressThatHasAnsweredIsTakenAtOnce() {
    var path = PathValidation()
    path.begin(Self.candidate, bytes: 46, challenges: (1, 2), probeTimeout: Self.timeout, now: 0)
    path.sentNew(bytes: 46, now: 1)
    let waits = path.answered(1, probeTimeout: Self.timeout, now: 2)
    let moves = path.switches(to: Self.candidate, 5, probeTimeout: Self.timeout, now: 10)
    #expect(waits == .nothing && moves == .moves && !path.isActive && path.switchValue == 5)
  }

  /// Another validation has just failed.
  @Test func aSwitchDoesNotWait() {
    var path = PathValidation()
    path.begin(Self.there, bytes: 46, challenges: (1, 2), probeTimeout: Self.timeout, now: 0)
    let stays = path.answered(2, probeTimeout: Self.timeout, now: 1)
    let isPutOff = path.putsOff(Self.candidate, now: 2)
    let start = path.switches(to: Self.candidate, 5, probeTimeout: Self.timeout, now: 2)
    #expect(stays == .stay && isPutOff && start == .begins)
  }

  @Test func theNextIsAnOrdinaryOneAgain() {
    var path = Self.begun()
    _ = path.answered(1, probeTimeout: Self.timeout, now: 1)
    path.begin(Self.there, bytes: 46, challenges: (3, 4), probeTimeout: Self.timeout, now: 2)
    #expect(!path.isSwitch && path.owesOld && path.asks(4))
    let stays = path.answered(4, probeTimeout: Self.timeout, now: 3)
    #expect(stays == .stay)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// What was heard from another address, without SWITCH (`PathSwitchTests`).
@Suite struct PathValidationTests {
  private static let timeout: Nanoseconds = .milliseconds(100)
  private static let (there, elsewhere) = (Address(ipv4: 9, port: 1), Address(ipv4: 8, port: 1))

  /// A validation that has begun at 1 s, with the challenges 1 and 2.
  private static func begun(bytes: Int = 500) -> PathValidation {
    var path = PathValidation()
    path.begin(there, bytes: bytes, challenges: (1, 2), probeTimeout: timeout, now: .seconds(1))
    return path
  }

  @Test func onlyTheNewestDatagramBeginsOne() {
    var path = PathValidation()
    let late = path.heard(from: Self.there, bytes: 100, isNewest: false, now: 1)
    let newest = path.heard(from: Self.there, bytes: 100, isNewest: true, now: 1)
    #expect(!late && newest && path.isQuiet)
  }

  /// The old address has a probe timeout's time to answer, too.
  @Test func thePeerMovesOnceTheOldAddressHadItsTime() {
    var path = Self.begun()
    let early = path.answered(1, probeTimeout: Self.timeout, now: .seconds(1) + .milliseconds(30))
    #expect(early == .nothing && path.isActive && path.deadline == .seconds(1) + Self.timeout)
    let later = path.expired(probeTimeout: Self.timeout, now: path.deadline)
    #expect(later == .move && !path.isActive)
    // Nothing is put off: the next move may come at once.
    #expect(!path.putsOff(Self.elsewhere, now: path.holdOffUntil))
  }

  @Test func anAnswerBehindThatMovesAtOnce() {
    var path = Self.begun()
    let verdict = path.answered(1, probeTimeout: Self.timeout, now: .seconds(1) + Self.timeout)
    #expect(verdict == .move)
  }

  @Test func theOldAddressKeepsThePeer() {
    var path = Self.begun()
    let now: Instant = .seconds(1) + .milliseconds(20)
    let verdict = path.answered(2, probeTimeout: Self.timeout, now: now)
    #expect(verdict == .stay && !path.isActive && path.holdOffUntil == now + .seconds(1))
    let soon = path.heard(from: Self.there, bytes: 1, isNewest: true, now: now + .milliseconds(999))
    #expect(!soon && path.putsOff(Self.there, now: now + .milliseconds(999)))
    let later = path.heard(from: Self.there, bytes: 1, isNewest: true, now: now + .seconds(1))
    #expect(later && path.restingHoldOff == path.holdOffUntil)
  }

  @Test func anythingElseIsNoAnswer() {
    var path = Self.begun()
    let wrong = path.answered(3, probeTimeout: Self.timeout, now: .seconds(2))
    #expect(wrong == .nothing && path.isActive && path.asks(1) && path.asks(2) && !path.asks(3))
    var idle = PathValidation()
    let idleVerdict = idle.answered(0, probeTimeout: Self.timeout, now: 1)
    #expect(idleVerdict == .nothing && !idle.asks(0))
  }

  /// Three questions, and a second at least: the new path may be much longer than the old one.
  @Test func silenceEndsIt() {
    var path = Self.begun()
    var questions = 1
    var verdict = PathValidation.Verdict.nothing
    var now: Instant = .seconds(1)
    while verdict == .nothing, questions < 50 {
      now = path.deadline
      verdict = path.expired(probeTimeout: Self.timeout, now: now)
      if verdict == .nothing { questions += 1 }
    }
    #expect(verdict == .stay && questions >= 3 && now >= .seconds(2) && now < .seconds(4), "\(questions)")
  }

  /// Three times what came from there, as for every address that has not shown that it receives.
  @Test func whatGoesThereIsPaidFor() {
    var path = Self.begun(bytes: 20)
    #expect(path.allowance == 60 && path.owesNew && path.owesOld)
    path.sentOld()
    path.sentNew(bytes: 58, now: .seconds(1))
    #expect(path.allowance == 2 && !path.owesAnything)
    _ = path.expired(probeTimeout: Self.timeout, now: path.deadline)
    path.sentOld()
    #expect(path.owesNew && !path.owesAnything, "there is nothing left to ask with")
    _ = path.heard(from: Self.there, bytes: 20, isNewest: true, now: .seconds(1))
    #expect(path.allowance == 62 && path.owesAnything)
    _ = path.heard(from: Self.elsewhere, bytes: 1000, isNewest: false, now: .seconds(1))
    #expect(path.allowance == 62)
  }

  @Test func aSilentCandidateGivesWay() {
    var path = Self.begun()
    let atOnce = path.heard(from: Self.elsewhere, bytes: 1, isNewest: true, now: .seconds(1))
    _ = path.expired(probeTimeout: Self.timeout, now: path.deadline)
    let later = path.heard(from: Self.elsewhere, bytes: 1, isNewest: true, now: .seconds(2))
    #expect(!atOnce && later)
  }

  @Test func theRoundTripCountsFromTheFirstQuestion() {
    var path = Self.begun()
    path.sentNew(bytes: 58, now: .seconds(1) + .milliseconds(5))
    path.sentNew(bytes: 58, now: .seconds(1) + .milliseconds(60))
    _ = path.answered(1, probeTimeout: Self.timeout, now: .seconds(1) + .milliseconds(75))
    #expect(path.roundTrip == .milliseconds(70))
  }

  /// Two questions of the peer's wait for their answer; a third takes the place of the last.
  @Test func twoAnswersAreOwed() {
    var path = PathValidation()
    let hadRoom = [path.owe(1, to: Self.there), path.owe(2, to: Self.elsewhere), path.owe(3, to: Self.there)]
    #expect(hadRoom == [true, true, false] && path.responseCount == 2 && path.owesAnything && !path.isQuiet)
    #expect(path.responses[0] == 1 && path.responses[1] == 3 && path.responseAddresses[1] == Self.there)
    path.sentResponse()
    path.sentResponse()
    #expect(path.isQuiet)
  }
}

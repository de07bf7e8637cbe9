// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct PathMTUTests {
  private static let timeout: Nanoseconds = .milliseconds(100)

  /// Searches until there is nothing left to try, over a path that carries so much and answers everything else.
  private static func search(_ mtu: inout PathMTU, carries longest: Int, now: inout Instant) -> Int {
    var probes = 0
    while mtu.wantsSearch, probes < 100 {
      mtu.search(challenge: UInt64(probes) + 1, now: now)
      while mtu.owesProbe {
        probes += 1
        mtu.probeSent(timeout: timeout, now: now)
        now += timeout
        if mtu.probing <= longest {
          _ = mtu.answered(mtu.challenge)
        } else {
          _ = mtu.expired(lastReceived: now, now: now)
        }
      }
    }
    return probes
  }

  @Test(arguments: [1400, 1433, 2000, 4000, 8999, 9000]) func findsWhatThePathCarries(longest: Int) {
    var mtu = PathMTU(maximum: 9000)
    var now: Instant = .seconds(1)
    let probes = Self.search(&mtu, carries: longest, now: &now)
    #expect(mtu.datagram <= longest && mtu.datagram > longest - 64 && mtu.isQuiet, "\(mtu.datagram)")
    #expect(probes <= 30 && mtu.deadline == .never)
  }

  @Test func nothingIsSearchedForWithoutNeed() {
    #expect(!PathMTU(maximum: 1400).wantsSearch && !PathMTU(maximum: 1200).wantsSearch)
    #expect(PathMTU(maximum: 1200).datagram == 1200 && PathMTU(maximum: 9000).datagram == 1400)
  }

  @Test func onlyTheAnswerCounts() {
    var mtu = PathMTU(maximum: 9000)
    let early = mtu.answered(0)
    mtu.search(challenge: 7, now: 1)
    let wrong = mtu.answered(8)
    let right = mtu.answered(7)
    let again = mtu.answered(7)
    #expect(!early && !wrong && right && !again && mtu.datagram == 9000)
  }

  /// While nothing at all arrives, a probe that is lost says nothing of its length.
  @Test func silenceIsNoFailure() {
    var mtu = PathMTU(maximum: 9000)
    var now: Instant = .seconds(1)
    mtu.search(challenge: 1, now: now)
    var longest: Nanoseconds = 0
    for _ in 0..<20 {
      mtu.probeSent(timeout: Self.timeout, now: now)
      longest = max(longest, mtu.deadline - now)
      let isEarly = mtu.expired(lastReceived: 0, now: mtu.deadline - 1)
      now = mtu.deadline
      let asks = mtu.expired(lastReceived: 0, now: now)
      #expect(!isEarly && asks && mtu.owesProbe && mtu.probing == 9000)
    }
    #expect(longest == .seconds(60))
  }

  /// Four ACKs in turn tell of full datagrams lost, and of none that arrived.
  @Test func aBlackHoleIsFallenBackFrom() {
    let (full, short) = (Segment.capacity(datagram: 1400), Segment.capacity(datagram: PathMTU.base))
    var mtu = PathMTU(maximum: 1400)
    for longest in [full, 0] {
      var falls: [Bool] = []
      for _ in 0..<3 { falls.append(mtu.acknowledged(longest: short, lostLongest: full, now: 1)) }
      falls.append(mtu.acknowledged(longest: longest, lostLongest: full, now: 1))
      #expect(falls == [false, false, false, longest == 0])
    }
    #expect(mtu.datagram == PathMTU.base && mtu.wantsSearch)
    let again = mtu.fallBack()
    #expect(!again)
    // Short ones that are lost say nothing.
    var other = PathMTU(maximum: 1400)
    for _ in 0..<10 { #expect(other.acknowledged(longest: 0, lostLongest: short, now: 1) == false) }
  }

  @Test func looksUpwardAgainAfterTenMinutes() {
    var mtu = PathMTU(maximum: 9000)
    var now: Instant = .seconds(1)
    _ = Self.search(&mtu, carries: 4000, now: &now)
    _ = mtu.acknowledged(longest: 0, lostLongest: 0, now: now + .seconds(599))
    #expect(!mtu.wantsSearch)
    now += .seconds(601)
    _ = mtu.acknowledged(longest: 0, lostLongest: 0, now: now)
    #expect(mtu.wantsSearch)
    _ = Self.search(&mtu, carries: 9000, now: &now)
    #expect(mtu.datagram == 9000)
  }

  @Test func isKeptOverARest() {
    var mtu = PathMTU(maximum: 9000)
    var now: Instant = .seconds(1)
    _ = Self.search(&mtu, carries: 4000, now: &now)
    var rested = PathMTU(from: mtu.rest)
    #expect(rested.datagram == mtu.datagram && rested.isQuiet)
    now += .seconds(700)
    _ = rested.acknowledged(longest: 0, lostLongest: 0, now: now)
    #expect(rested.wantsSearch)
  }

  /// An answer that is still on its way is about the path before.
  @Test func anotherPathBeginsAtTheBase() {
    var mtu = PathMTU(maximum: 9000)
    mtu.search(challenge: 7, now: 1)
    mtu.restart()
    let late = mtu.answered(7)
    #expect(!late && mtu.datagram == PathMTU.base && mtu.wantsSearch && !mtu.owesProbe)
  }
}

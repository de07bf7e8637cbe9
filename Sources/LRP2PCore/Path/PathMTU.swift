// SPDX-License-Identifier: MIT
/// Which datagrams the path carries (RFC 8899): a search upward by padded CHALLENGEs, and a fall back to what every path
/// carries when full datagrams vanish while shorter ones arrive, or nothing arrives at all.
package struct PathMTU: BitwiseCopyable {
  /// What every path is taken to carry.
  package static var base: Int { Datagram.smallestPath }
  /// Where a connection begins: what message 1 has shown.
  private static var start: Int { 1400 }
  private static var precision: Int { 32 }
  private static var maximumProbes: Int { 3 }
  /// ACKs that tell of lost full datagrams, and of none that arrived, before the path is taken for a black hole.
  private static var lossesOfBlackHole: Int { 4 }
  /// The longest wait where nothing arrives at all, as for any probe.
  private static var longestStall: Nanoseconds { .seconds(60) }
  /// When to look upward again (RFC 8899, PMTU_RAISE_TIMER).
  private static var raiseInterval: Nanoseconds { .seconds(600) }

  /// Bytes of a full datagram.
  package private(set) var datagram: Int
  /// What both ends take.
  package let maximum: Int
  /// The largest size that has not failed.
  private var upper: Int
  /// The size that is being tried; 0 when none is.
  package private(set) var probing = 0
  package private(set) var challenge: UInt64 = 0
  package private(set) var owesProbe = false
  package private(set) var deadline: Instant = .never
  private var sentAt: Instant = 0
  private var failures = 0
  private var stalls: UInt64 = 0
  private var raiseAt: Instant = .never
  private var losses = 0
  /// `search` has something to do.
  package private(set) var wantsSearch: Bool

  package init(maximum: Int, start: Int = Self.start) {
    self.maximum = maximum
    upper = maximum
    datagram = min(maximum, start)
    wantsSearch = maximum > datagram
  }

  /// What is kept of it while no search is under way.
  package struct Rest: BitwiseCopyable {
    fileprivate var raiseAt: Instant = .never
    package fileprivate(set) var datagram: UInt16 = 0
    fileprivate var maximum: UInt16 = 0
    fileprivate var upper: UInt16 = 0

    package init() {}
  }

  package var isQuiet: Bool { probing == 0 && !wantsSearch && !owesProbe }

  package var rest: Rest {
    var rest = Rest()
    rest.raiseAt = raiseAt
    rest.datagram = UInt16(datagram)
    rest.maximum = UInt16(maximum)
    rest.upper = UInt16(upper)
    return rest
  }

  package init(from rest: Rest) {
    maximum = Int(rest.maximum)
    upper = Int(rest.upper)
    datagram = Int(rest.datagram)
    raiseAt = rest.raiseAt
    wantsSearch = false
  }

  // MARK: Up

  /// Chooses the next size to try, if there is one worth trying.
  package mutating func search(challenge: UInt64, now: Instant) {
    wantsSearch = false
    guard probing == 0 else { return }
    guard upper > datagram, upper == maximum || upper - datagram >= Self.precision else {
      raiseAt = upper < maximum ? now + Self.raiseInterval : .never
      return
    }
    probing = upper == maximum ? maximum : (datagram + upper + 1) / 2
    self.challenge = challenge
    failures = 0
    stalls = 0
    owesProbe = true
  }

  package mutating func probeSent(timeout: Nanoseconds, now: Instant) {
    owesProbe = false
    sentAt = now
    deadline = now + min(timeout << min(stalls, 12), Self.longestStall)
  }

  /// A RESPONSE has come. Returns whether it has raised the size.
  package mutating func answered(_ value: UInt64) -> Bool {
    guard probing > 0, value == challenge else { return false }
    datagram = probing
    probing = 0
    owesProbe = false
    deadline = .never
    wantsSearch = true
    return true
  }

  /// The clock has reached `deadline`: the probe is lost. It counts only if the path has carried anything since.
  /// - Returns: whether to send something short along with the next probe, to learn that.
  package mutating func expired(lastReceived: Instant, now: Instant) -> Bool {
    guard deadline <= now else { return false }
    deadline = .never
    guard lastReceived > sentAt else {
      stalls += 1
      owesProbe = true
      return true
    }
    failures += 1
    guard failures == Self.maximumProbes else {
      owesProbe = true
      return true
    }
    upper = probing - 1
    probing = 0
    wantsSearch = true
    return false
  }

  // MARK: Down

  /// What an ACK tells of segments that need more than the base size.
  /// - Returns: whether full datagrams no longer arrive: the size has fallen to the base.
  package mutating func acknowledged(longest: Int, lostLongest: Int, now: Instant) -> Bool {
    if raiseAt <= now {
      raiseAt = .never
      upper = maximum
      wantsSearch = true
    }
    guard datagram > Self.base else { return false }
    let baseCapacity = Segment.capacity(datagram: Self.base)
    if longest > baseCapacity {
      losses = 0
    } else if lostLongest > baseCapacity {
      losses += 1
      if losses >= Self.lossesOfBlackHole { return fallBack() }
    }
    return false
  }

  /// Full datagrams vanish, or nothing arrives any more. Returns whether there was anything to fall from.
  package mutating func fallBack() -> Bool {
    guard datagram > Self.base else { return false }
    restart()
    return true
  }

  /// The path is another one: nothing that was found of the old one counts, nor an answer that is on its way.
  package mutating func restart() {
    datagram = Self.base
    upper = maximum
    losses = 0
    probing = 0
    owesProbe = false
    deadline = .never
    raiseAt = .never
    wantsSearch = maximum > Self.base
  }
}

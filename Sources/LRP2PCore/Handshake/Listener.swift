// SPDX-License-Identifier: MIT
/// What the side that is dialled keeps of strangers, all of it of fixed size, and what answers to them cost.
struct Listener: ~Copyable {
  var cookieReplies: CookieReplies
  var resets: OwedResets
  /// Whether first messages of strangers are looked at.
  var isAccepting: Bool
  /// Datagrams that came ahead of message 3.
  var held = HeldDatagrams()
  /// Pays for message 1s of original peers beyond the mark.
  var versionZero = TokenBucket(perSecond: 64, seconds: 1)
  /// Message 1s without a cookie that were answered at this time.
  private var unprovedInTurn = 0
  private var turn: Instant = .never

  /// So many of these are answered in one turn at most, so that a burst of them holds nobody else up.
  private static var unprovedPerTurn: Int { 128 }

  init(_ configuration: EngineConfiguration) {
    isAccepting = configuration.acceptsConnections
    cookieReplies = CookieReplies(perSecond: configuration.cookieRepliesPerSecond)
    resets = OwedResets(perSecond: configuration.resetsPerSecond)
  }

  /// Whether this turn has time for one more message 1 without a cookie.
  mutating func hasTimeForUnproved(now: Instant) -> Bool {
    if now != turn {
      turn = now
      unprovedInTurn = 0
    }
    return unprovedInTurn < Self.unprovedPerTurn
  }

  /// One is answered.
  mutating func answersUnproved() { unprovedInTurn += 1 }

  var hasAnswers: Bool { !cookieReplies.isEmpty || !resets.isEmpty }
}

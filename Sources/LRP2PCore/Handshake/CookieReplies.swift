/// Cookie replies on their way out: a fixed number of places and so many a second, whatever comes in.
package struct CookieReplies: ~Copyable {
  private static var places: Int { 512 }

  // As large as it ever gets, so that a flood allocates nothing.
  private var waiting = Queue(minimumCapacity: Self.places, filler: CookieReply())
  private var allowance: AnswerAllowance

  package init(perSecond: Int) { allowance = AnswerAllowance(perSecond: perSecond, seconds: 0.25) }

  package var isEmpty: Bool { waiting.isEmpty }
  package var first: CookieReply? { waiting.first }

  /// Whether one more may be sent and has a place: then `append` it.
  package mutating func mayAppend(now: Instant) -> Bool {
    waiting.count < Self.places && allowance.take(now: now)
  }

  /// Only after `mayAppend`, which has paid for it.
  package mutating func append(_ reply: CookieReply) {
    precondition(waiting.count < Self.places, "no room for a cookie reply")
    waiting.append(reply)
  }

  package mutating func removeFirst() { waiting.popFirst() }
}

// SPDX-License-Identifier: MIT
/// Answers to addresses that have not proved themselves, on their way out: a fixed number of places and so many a second, whatever
/// comes in.
package struct Answers<Answer: BitwiseCopyable>: ~Copyable {
  private static var places: Int { 512 }

  // As large as it ever gets, so that a flood allocates nothing.
  private var waiting: Queue<Answer>
  private var allowance: TokenBucket

  package init(perSecond: Int, filler: Answer) {
    waiting = Queue(minimumCapacity: Self.places, filler: filler)
    allowance = TokenBucket(perSecond: perSecond, seconds: 0.25)
  }

  package var isEmpty: Bool { waiting.isEmpty }
  package var first: Answer? { waiting.first }

  /// Whether one more may be sent and has a place: then `append` it.
  package mutating func mayAppend(now: Instant) -> Bool {
    waiting.count < Self.places && allowance.take(now: now)
  }

  /// Only after `mayAppend`, which has paid for it.
  package mutating func append(_ answer: Answer) {
    precondition(waiting.count < Self.places, "no room for an answer")
    waiting.append(answer)
  }

  package mutating func removeFirst() { waiting.popFirst() }
}

package typealias CookieReplies = Answers<CookieReply>

extension Answers where Answer == CookieReply {
  package init(perSecond: Int) { self.init(perSecond: perSecond, filler: CookieReply()) }
}

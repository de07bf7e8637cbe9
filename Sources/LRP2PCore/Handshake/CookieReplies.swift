/// Cookie replies on their way out, and what pays for them: a fixed number of places and so many a second, whatever comes in.
package struct CookieReplies: ~Copyable {
  private static var places: Int { 512 }

  private var ring = Column(repeating: CookieReply(), count: Self.places)
  private var head = 0
  private var count = 0
  private let perSecond: Double
  private var tokens: Double
  private var updated: Instant = 0

  package init(perSecond: Int) {
    self.perSecond = Double(perSecond)
    tokens = Self.burst(perSecond)
  }

  /// What a quarter of a second earns may be saved up.
  private static func burst(_ perSecond: Int) -> Double { perSecond == 0 ? 0 : max(Double(perSecond) / 4, 1) }

  package var isEmpty: Bool { count == 0 }

  /// Whether one more may be sent, and has a place.
  package mutating func mayAppend(now: Instant) -> Bool {
    guard count < ring.count else { return false }
    let earned = Double(now - min(updated, now)) / 1e9 * perSecond
    tokens = min(tokens + earned, Self.burst(Int(perSecond)))
    updated = max(updated, now)
    return tokens >= 1
  }

  /// Only after `mayAppend`.
  package mutating func append(_ reply: CookieReply) {
    precondition(count < ring.count && tokens >= 1, "no room for a cookie reply")
    tokens -= 1
    ring[(head + count) % ring.count] = reply
    count += 1
  }

  package var first: CookieReply { ring[head] }

  package mutating func removeFirst() {
    precondition(count > 0)
    head = (head + 1) % ring.count
    count -= 1
  }
}

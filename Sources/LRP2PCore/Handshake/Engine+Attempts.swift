// SPDX-License-Identifier: MIT
// The attempts of one dial, as the responder sees them: it keeps them until one is the connection. The other side is `Engine+Dial`.

extension Engine {
  /// Of one dial's attempts, never 0. The second word goes in by a secret hash of its own: of two words that are only combined
  /// anyone could make many with the same result.
  func attemptHash(_ token: (UInt64, UInt64), _ address: Address) -> UInt64 {
    peers.attempts.hash(token.0 ^ peers.attempts.hash(token.1, address), address) | 1
  }

  /// Half-open handshakes of one dial that are known as such. Beyond it, those without proof of their address are strangers' like any
  /// others; of those with proof, the oldest gives way.
  private static var attemptsKept: Int { 16 }
  /// But none gives way that is younger. Who reads message 1 can forge more of the kind, from the same address and with the same
  /// token and cookie: so the honest one is there until message 3 had time to come, and what one cookie buys is a few key
  /// agreements a second.
  private static var attemptKept: Nanoseconds { .seconds(2) }

  enum AttemptRoom {
    /// It is kept as one of the dial's.
    case kept
    /// Nothing links it to the dial.
    case unlinked
    /// It is not answered.
    case none
  }

  /// Whether one more attempt of a dial is answered. Attempts with and without proof of their address are counted apart: what is
  /// forged without a cookie is no obstacle to those that have one.
  mutating func roomForAttempt(
    _ token: (UInt64, UInt64), _ hash: UInt64, from address: Address, isProved: Bool
  ) -> AttemptRoom {
    var count = 0
    var oldest: Slot?
    var cursor = peers.attempts.cursor(hash)
    while let slot = peers.attempts.next(hash, &cursor) {
      guard peers.handshakes[slot].token == token, peers.rows[slot].address == address,
        peers.handshakes[slot].isProved == isProved
      else { continue }
      count += 1
      if let oldest, peers.handshakes[oldest].started <= peers.handshakes[slot].started { continue }
      oldest = slot
    }
    guard count >= Self.attemptsKept, let oldest else { return .kept }
    // Below the mark, where strangers are answered, no attempt ends another, whatever it shows.
    guard isProved, peers.halfOpenCount >= halfOpenMark else { return .unlinked }
    guard peers.handshakes[oldest].started + Self.attemptKept <= now else {
      counters.attemptsRefused &+= 1
      return .none
    }
    counters.halfOpenEvicted &+= 1
    move(oldest, .abandoned)
    free(oldest)
    return .kept
  }

  /// One attempt of a dial has become the connection.
  mutating func dropOtherAttempts(of slot: Slot) {
    let hash = peers.handshakes[slot].attemptHash
    guard hash != 0 else { return }
    let token = peers.handshakes[slot].token
    peers.attempts.remove(hash, slot: slot)
    peers.handshakes[slot].attemptHash = 0
    // Those with proof of their address and those without.
    var others = InlineArray<32, Slot>(repeating: slot)
    var count = 0
    var cursor = peers.attempts.cursor(hash)
    while let other = peers.attempts.next(hash, &cursor), count < others.count {
      guard peers.handshakes[other].token == token, peers.rows[other].address == peers.rows[slot].address else {
        continue
      }
      others[count] = other
      count += 1
    }
    for index in 0..<count {
      move(others[index], .abandoned)
      free(others[index])
    }
  }
}

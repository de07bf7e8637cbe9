// SPDX-License-Identifier: MIT
// Cookies, on both sides. A responder with many half-open handshakes asks for proof of the address before it does any key
// agreement, as WireGuard (section 5.3 of its paper) and QUIC's Retry (RFC 9000, 8.1.2) do, and keeps nothing meanwhile.

extension Engine {
  // MARK: Responder

  /// Whether to work on a new message 1: below the mark always, beyond it only with a cookie. If not, it may be told one.
  /// - Returns: what its address has proved; `nil` when it is not worked on.
  mutating func admitsMessage1(_ datagram: RawSpan, id: UInt64, from address: Address) -> AddressProof? {
    // Connections have all slots: there is nothing to ask for.
    guard peers.room > 0 else {
      counters.handshakesOverPeerLimit &+= 1
      return nil
    }
    guard isWithinNetworkLimit(address) else { return nil }
    // Also below the mark: should the table fill before message 3 comes, those without proof give way first.
    let proof = proof(in: datagram, of: address)
    if proof != .none {
      guard admitsProved(address) else { return nil }
      counters.cookiesAccepted &+= 1
      return proof
    }
    if listener.hasTimeForUnproved(now: now), admitsUnproved(address) {
      listener.answersUnproved()
      return AddressProof.none
    }
    counters.handshakesWithoutCookie &+= 1
    guard listener.cookieReplies.mayAppend(now: now) else { return nil }
    var reply = CookieReply(to: address, answering: datagram)
    reply.attemptToken = HandshakeParameters.token(ofMessage1: datagram)
    listener.cookieReplies.append(reply)
    return nil
  }

  private mutating func proof(in datagram: RawSpan, of address: Address) -> AddressProof {
    guard let cookie = HandshakeParameters.cookie(ofMessage1: datagram) else { return .none }
    let token = HandshakeParameters.token(ofMessage1: datagram)
    if cookieKeys.accepts(cookie, from: address, token: token, now: now, suite: suite) {
      return cookie.isLasting ? .earlier : .recent
    }
    counters.cookiesInvalid &+= 1
    return .none
  }

  /// The same for a message 1 of the original peer, which knows no cookies: beyond the mark so many a second for all.
  mutating func admitsOriginalMessage1(from address: Address) -> Bool {
    guard isWithinNetworkLimit(address) else { return false }
    if admitsUnproved(address) || listener.versionZero.take(now: now) { return true }
    counters.handshakesWithoutCookie &+= 1
    return false
  }

  /// A message 1 has none of our versions: its sender is told which there are, if that is paid for.
  mutating func tellVersions(_ datagram: RawSpan, to address: Address) {
    guard listener.cookieReplies.mayAppend(now: now) else { return }
    var reply = CookieReply(to: address, answering: datagram)
    reply.tellsVersions = true
    listener.cookieReplies.append(reply)
  }

  /// Writes replies into up to half of an outgoing batch: the rest is for peers.
  mutating func sendCookieReplies(into batch: inout DatagramBatch) {
    let limit = batch.count + max(batch.messages.count / 2, 1)
    while batch.count < limit, let reply = listener.cookieReplies.first {
      let length = reply.tellsVersions ? CookieReply.versionsLength : CookieReply.length
      guard let place = batch.placeUnproved(length, for: reply.address, group: reply.id) else { return }
      if reply.tellsVersions {
        let random = randomWord()
        var bytes = batch.arena.mutableBytes(place, length)
        reply.writeVersions(meaningless: UInt8(truncatingIfNeeded: random), into: &bytes)
      } else {
        let cookie = cookieKeys.issue(
          isLasting: false, to: reply.address, token: reply.attemptToken, now: now, suite: suite)
        var bytes = batch.arena.mutableBytes(place, length)
        reply.write(cookie, into: &bytes)
        counters.cookieRepliesSent &+= 1
      }
      listener.cookieReplies.removeFirst()
      counters.datagramsSent &+= 1
      counters.bytesSent &+= UInt64(length)
    }
  }

  /// The cookie that message 2 carries, for dials to come.
  mutating func lastingCookie(for address: Address) -> Cookie {
    cookieKeys.issue(isLasting: true, to: address, token: (0, 0), now: now, suite: suite)
  }

  // MARK: Initiator

  /// An answer to message 1 that asks for it once more, with a cookie. It goes in an attempt of its own, one for each that was
  /// refused; that stays open, and the cookie that comes last is shown by the attempts to come. So forged ones, even ahead of the
  /// true ones, cost nothing but attempts, of which the timed ones are left.
  mutating func receiveCookieReply(_ datagram: RawSpan, _ slot: Slot) {
    guard peers.handshakes[slot].versions != .original,
      let cookie = CookieReply.cookie(
        datagram, answering: peers.handshakes[slot].datagram.bytes(0, peers.handshakes[slot].length))
    else {
      counters.cookieRepliesRefused &+= 1
      return
    }
    counters.datagramsAccepted &+= 1
    guard let (firstAttempt, index) = target(of: slot) else { return }
    peers.handshakes[firstAttempt].targets[index].cookie = cookie
    // The path has carried this length.
    peers.handshakes[firstAttempt].targets[index].shortAttempt = .never
    guard !peers.handshakes[slot].isRefused,
      peers.handshakes[firstAttempt].targets[index].cookieAttempts < Self.mostCookieAttempts
    else { return }
    peers.handshakes[slot].isRefused = true
    peers.handshakes[firstAttempt].targets[index].cookieAttempts += 1
    addAttempt(of: firstAttempt, to: index, length: peers.handshakes[slot].length, isAskedFor: true)
  }
}

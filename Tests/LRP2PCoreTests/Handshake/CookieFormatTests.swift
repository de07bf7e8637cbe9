// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// The bytes of cookies, and what bounds the answers that tell them.
@Suite struct CookieFormatTests {
  private static var cookie: Cookie {
    var cookie = Cookie()
    cookie.generation = 0x0102_0304_0506_0708
    cookie.tag = (0x1112_1314_1516_1718, 0x2122_2324_2526_2728)
    return cookie
  }

  private func message1(_ parameters: HandshakeParameters) -> [UInt8] {
    var parameters = parameters
    parameters.receiveID = 0xA1A2_A3A4_A5A6_A7A8
    parameters.hasReceiveID = true
    return bytes("a1a2a3a4a5a6a7a8") + (0..<32).map { UInt8($0) }
      + written(room: 1160) { parameters.write(into: &$0, paddedTo: 1160) }
  }

  @Test func aReplyEchoesTheEphemeralKey() throws {
    let message = message1(HandshakeParameters())
    var reply = CookieReply()
    reply.id = 0xA1A2_A3A4_A5A6_A7A8
    reply.echo = (0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F)
    let datagram = written(room: 56) {
      reply.write(Self.cookie, into: &$0)
      return 56
    }
    #expect(
      datagram
        == bytes(
          """
          a1a2a3a4a5a6a7a8 ffffffffffffff02 000102030405060708090a0b0c0d0e0f
          0102030405060708 1112131415161718 2122232425262728
          """))
    #expect(CookieReply.cookie(datagram.raw, answering: message.raw) == ShownCookie(Self.cookie))
    // Another id, another kind, another echo.
    for index in [0, 7, 8, 14, 15, 16, 23, 24, 31] {
      var other = datagram
      other[index] ^= 1
      #expect(CookieReply.cookie(other.raw, answering: message.raw) == nil)
    }
  }

  /// To the initiator a cookie is bytes, of which there are 8 to 128.
  @Test(arguments: [0, 1, 7, 8, 23, 24, 25, 128, 129]) func anyLengthIsShown(length: Int) throws {
    let message = message1(HandshakeParameters())
    let cookie = (0..<length).map { UInt8($0) }
    let datagram = bytes("a1a2a3a4a5a6a7a8 ffffffffffffff02 000102030405060708090a0b0c0d0e0f") + cookie
    let found = CookieReply.cookie(datagram.raw, answering: message.raw)
    #expect(found == ShownCookie(cookie.raw) && (found == nil) == (length < 8 || length > 128))
    guard let found else { return }
    var parameters = HandshakeParameters()
    parameters.cookie = found
    let shown = message1(parameters)
    #expect(Array(shown[56..<60 + length]) == [0, 6, 0, UInt8(length)] + cookie)
    #expect(try HandshakeParameters.parse(Array(shown[40...]).raw).cookie == found)
  }

  @Test func message1ShowsItBehindTheReceiveID() throws {
    var parameters = HandshakeParameters()
    parameters.attemptToken = (7, 8)
    parameters.hasAttemptToken = true
    let without = message1(parameters)
    #expect(HandshakeParameters.isMessage1(without.raw) && HandshakeParameters.cookie(ofMessage1: without.raw) == nil)
    #expect(HandshakeParameters.token(ofMessage1: without.raw) == (7, 8))
    parameters.cookie = ShownCookie(Self.cookie)
    let with = message1(parameters)
    #expect(with.count == 1200 && HandshakeParameters.isMessage1(with.raw))
    #expect(HandshakeParameters.cookie(ofMessage1: with.raw) == Self.cookie)
    #expect(HandshakeParameters.token(ofMessage1: with.raw) == (7, 8))
    #expect(try HandshakeParameters.parse(Array(with[40...]).raw).cookie == ShownCookie(Self.cookie))
    // One of another length is somebody else's.
    var other = with
    other[59] = 23
    #expect(HandshakeParameters.cookie(ofMessage1: other.raw) == nil)
  }

  /// Whatever stands in it, looking for cookie and token ends and stays within the message.
  @Test func anythingMayStandInMessage1() {
    var random = SplitMix(state: 11)
    var parameters = HandshakeParameters()
    parameters.cookie = ShownCookie(Self.cookie)
    parameters.hasAttemptToken = true
    let valid = message1(parameters)
    for _ in 0..<2000 {
      let datagram = random.untrusted(like: [valid], longest: 1500)
      _ = HandshakeParameters.cookie(ofMessage1: datagram.raw)
      if datagram.count >= 1200 { _ = HandshakeParameters.token(ofMessage1: datagram.raw) }
    }
  }

  private func take(_ replies: inout CookieReplies, _ count: Int, now: Instant) -> Int {
    var taken = 0
    for _ in 0..<count where replies.mayAppend(now: now) {
      var reply = CookieReply()
      reply.id = UInt64(taken)
      replies.append(reply)
      taken += 1
    }
    return taken
  }

  private func drain(_ replies: inout CookieReplies) -> [UInt64] {
    var ids: [UInt64] = []
    while let reply = replies.first {
      ids.append(reply.id)
      replies.removeFirst()
    }
    return ids
  }

  @Test func repliesAreCappedBySecond() {
    var replies = CookieReplies(perSecond: 100)
    let start: Instant = .seconds(5)
    // A quarter of a second's worth at once, then what time brings.
    #expect(take(&replies, 1000, now: start) == 25)
    #expect(drain(&replies) == (0..<25).map { UInt64($0) })
    #expect(take(&replies, 1000, now: start) == 0)
    #expect(take(&replies, 1000, now: start + .milliseconds(100)) == 10)
    #expect(take(&replies, 1000, now: start + .seconds(1000)) == 25)
    var none = CookieReplies(perSecond: 0)
    #expect(take(&none, 10, now: start) == 0 && take(&none, 10, now: start + .seconds(1000)) == 0)
    // No more places than there are, however many may leave.
    var many = CookieReplies(perSecond: 1_000_000)
    #expect(take(&many, 10_000, now: start) == 512)
    #expect(drain(&many).count == 512 && many.isEmpty)
  }

  @Test func cookiesAreRememberedByAddress() {
    var remembered = RememberedCookies()
    let address = Address(ipv4: 0x0A00_0001, port: 1)
    #expect(remembered[address] == nil)
    remembered[address] = ShownCookie(Self.cookie)
    #expect(remembered[address] == ShownCookie(Self.cookie))
    #expect(remembered[Address(ipv4: 0x0A00_0001, port: 2)] == nil)
    for number in 0..<10_000 {
      remembered[Address(ipv4: 0x0B00_0000 + UInt32(number), port: 1)] = ShownCookie(Cookie())
    }
    #expect(remembered[address] == nil, "newer ones have taken its place")
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSodium
import Testing

@Suite struct HandshakeTests {
  let suite = SodiumSuite()

  private func randomKey() -> SecretKey { key((0..<32).map { _ in UInt8.random(in: 0...255) }) }

  private func pair() -> (initiator: Side, responder: Side) {
    let sides = [true, false].map {
      handshake(initiator: $0, staticSecret: randomKey(), ephemeralSecret: randomKey(), suite)
    }
    return (sides[0], sides[1])
  }

  /// Offers every one-byte change, truncation and extension of `message`; then the genuine one succeeds.
  private func checkForgeries(_ message: [UInt8], payload: [UInt8], _ reader: inout Side) {
    let before = rawState(reader)
    for index in message.indices {
      var forged = message
      forged[index] ^= 1 << UInt8.random(in: 0..<8)
      // X25519 ignores the top bit of a key in the clear, but the transcript does not.
      #expect(read(&reader, forged, suite) == nil)
      #expect(rawState(reader) == before)
    }
    for length in message.indices {
      #expect(read(&reader, Array(message[..<length]), suite) == nil)
    }
    #expect(read(&reader, message + [0], suite) == nil)
    if !payload.isEmpty { #expect(read(&reader, message, room: payload.count - 1, suite) == nil) }
    #expect(rawState(reader) == before)
    #expect(read(&reader, message, room: payload.count, suite) == payload)
  }

  @Test(arguments: [[], [7], [UInt8](repeating: 3, count: 300)])
  func aForgedMessageChangesNothing(payload: [UInt8]) throws {
    var (initiator, responder) = pair()
    let first = try #require(write(&initiator, payload, suite))
    #expect(first.count == NoiseHandshake.message1Overhead + payload.count)
    #expect(read(&responder, first, suite) == payload)
    let second = try #require(write(&responder, payload, suite))
    #expect(second.count == NoiseHandshake.message2Overhead + payload.count)
    checkForgeries(second, payload: payload, &initiator)
    let third = try #require(write(&initiator, payload, suite))
    #expect(third.count == NoiseHandshake.message3Overhead + payload.count)
    checkForgeries(third, payload: payload, &responder)
    #expect(initiator.isFinished && responder.isFinished)
    #expect(array(initiator.handshakeHash) == array(responder.handshakeHash))
    // Nothing is read after the end.
    #expect(read(&responder, third, suite) == nil)
    #expect(read(&initiator, third, suite) == nil)
  }

  /// Message 1 is not authenticated by itself: a change shows when message 2 does not open.
  @Test func aChangedFirstMessageBreaksTheSecond() throws {
    for index in 0..<40 {
      var (initiator, responder) = pair()
      var first = try #require(write(&initiator, [1, 2, 3, 4, 5, 6, 7, 8], suite))
      first[index] ^= 0x80
      #expect(read(&responder, first, suite) != nil)
      let second = try #require(write(&responder, [], suite))
      let before = rawState(initiator)
      #expect(read(&initiator, second, suite) == nil)
      #expect(rawState(initiator) == before)
    }
  }

  @Test func messagesOutOfTurnAreRefused() throws {
    var (initiator, responder) = pair()
    let before = rawState(initiator)
    let first = try #require(write(&initiator, [], suite))
    #expect(read(&initiator, first, suite) == nil)
    #expect(before != rawState(initiator))
    #expect(read(&responder, first, suite) == [])
    #expect(read(&responder, first, suite) == nil)
  }

  /// The points of low order, with and without the ignored top bit (RFC 7748, section 6.1).
  static let lowOrder: [String] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  ]

  @Test(arguments: lowOrder)
  func pointsOfLowOrderAreRefused(point: String) throws {
    for top: UInt8 in [0, 0x80] {
      var point = bytes(point)
      point[31] |= top
      #expect(suite.agree(randomKey(), publicKey(point)) == nil)

      // As an ephemeral key in message 1: message 2 cannot be written.
      var (_, responder) = pair()
      #expect(read(&responder, point, suite) == [])
      let before = rawState(responder)
      #expect(write(&responder, [], suite) == nil)
      #expect(rawState(responder) == before)

      // In message 2.
      var (initiator, _) = pair()
      _ = write(&initiator, [], suite)
      let waiting = rawState(initiator)
      #expect(read(&initiator, point + [UInt8](repeating: 0, count: 64), suite) == nil)
      #expect(rawState(initiator) == waiting)
    }
  }

  /// The static secret is not in it even before.
  @Test func wipingLeavesNoSecret() throws {
    let secret = randomKey()
    let ephemeral = randomKey()
    var side = handshake(initiator: true, staticSecret: secret, ephemeralSecret: ephemeral, suite)
    func contains(_ part: [UInt8]) -> Bool {
      let state = rawState(side)
      return (0...(state.count - part.count)).contains { Array(state[$0..<$0 + part.count]) == part }
    }
    #expect(!contains(array(secret)) && contains(array(ephemeral)))
    let hash = array(side.handshakeHash)
    side.noise.wipe()
    #expect(!contains(array(secret)) && !contains(array(ephemeral)))
    #expect(array(side.handshakeHash) == hash)
    #expect(!side.isFinished && !side.isWriter)
    #expect(read(&side, [UInt8](repeating: 1, count: 96), suite) == nil)
  }

  @Test func trafficKeysDifferByEverything() {
    let hash = InlineArray<64, UInt8> { UInt8($0) }
    var seen: Set<[UInt8]> = []
    for aead in AEAD.allCases {
      for direction in [true, false] {
        let derived = TrafficKeys.derive(
          noiseKey: key([UInt8](repeating: 9, count: 32)), aead: aead, initiatorToResponder: direction,
          handshakeHash: hash, suite: suite)
        #expect(derived.aead == aead.rawValue)
        let input = Array("lrp2p v1 key".utf8) + [aead.rawValue, direction ? 0 : 1] + array(hash)
        let expected = suite.keyedHash(key: [UInt8](repeating: 9, count: 32).raw, input.raw)
        #expect(array(derived.bytes) == array(expected))
        seen.insert(array(derived.bytes))
      }
    }
    #expect(seen.count == 4)
  }
}

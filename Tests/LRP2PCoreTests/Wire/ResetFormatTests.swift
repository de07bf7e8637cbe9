// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// The bytes of resets and of what proves them.
@Suite struct ResetFormatTests {
  private let suite = ClearSuite(seed: 1)
  private let key = SecretKey(repeating: 7)
  private let address = Address(ipv4: 0x0A00_0001, port: 1000)

  @Test func writtenByHand() {
    let token = ResetToken(bytes("3132333435363738 4142434445464748").raw)
    let datagram = written(room: 38) {
      Reset(id: 0xA1A2_A3A4_A5A6_A7A8, to: address).write(token, into: &$0)
      return Reset.length
    }
    #expect(
      datagram
        == bytes("a1a2a3a4a5a6a7a8 ffffffffffffff04 31323334353637384142434445464748 000000000000"))
    #expect(Reset.length == 38 && Datagram.handshakeKind(datagram.raw) == .reset)
    #expect(Reset.token(datagram.raw) == token)
    // What is behind it does not count.
    let longer = Array(datagram[..<32]) + [UInt8](repeating: 9, count: 1368)
    #expect(Reset.token(longer.raw) == token)
  }

  @Test func everyBitOfATokenCounts() {
    let right = [UInt8](0..<16)
    for bit in 0..<128 {
      var wrong = right
      wrong[bit / 8] ^= 1 << (bit % 8)
      #expect(ResetToken(wrong.raw) != ResetToken(right.raw))
    }
    #expect(ResetToken(right.raw) == ResetToken((right + [1]).raw))
  }

  /// The key, the id and the peer's address; not its port, which a NAT changes, nor the zone of a link, which a host may number anew.
  @Test func aTokenDependsOnIDAndAddress() {
    func token(
      _ key: SecretKey = SecretKey(repeating: 7), id: UInt64 = 5, _ change: (inout Address) -> Void = { _ in }
    ) -> ResetToken {
      var address = self.address
      change(&address)
      return ResetToken(key: key, id: id, address: address, suite: suite)
    }
    #expect(token() == token { $0.port = 7 } && token() == token { $0.scope = 3 })
    for other in [
      token(SecretKey(repeating: 8)), token(id: 6), token(id: 1 << 63), token { $0.low += 1 }, token { $0.high = 1 },
    ] { #expect(other != token()) }
  }
}

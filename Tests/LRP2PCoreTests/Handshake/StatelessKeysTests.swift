// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What a process has again that is started anew, and no other has.
@Suite struct StatelessKeysTests {
  private let suite = ClearSuite(seed: 1)
  private static let bound = Address(high: 1, low: 2, port: 3)

  private func keys(_ identity: UInt8 = 1, host: UInt64 = 5, _ bound: Address = Self.bound) -> StatelessKeys {
    StatelessKeys(identity: SecretKey(repeating: identity), host: host, bound: bound, suite: suite)
  }

  private func reset(_ keys: StatelessKeys) -> ResetToken {
    ResetToken(key: keys.resets, id: 1, address: .none, suite: suite)
  }

  private func hash(_ keys: StatelessKeys) -> [UInt32] { (0..<8).map { keys.tag.value($0, 77) } }

  @Test func theyFollowFromIdentityHostAndAddress() {
    let own = keys()
    #expect(hash(keys()) == hash(own) && reset(keys()) == reset(own))
    var bounds = [Self.bound, Self.bound, Self.bound]
    bounds[0].port = 4
    bounds[1].low = 3
    bounds[2].high = 0
    for other in [keys(2), keys(host: 6), keys(host: 0)] + bounds.map({ keys($0) }) {
      #expect(hash(other) != hash(own))
      #expect(reset(other) != reset(own))
    }
    #expect(own.resets.bytes.bigEndian64(0) != UInt64(own.tag.first))
  }

  private func keys(_ bound: Address) -> StatelessKeys { keys(1, host: 5, bound) }

  @Test func theyAreWiped() {
    var keys = keys()
    keys.wipe()
    for offset in stride(from: 0, to: 32, by: 8) { #expect(keys.resets.bytes.bigEndian64(offset) == 0) }
    #expect(keys.tag.first == 0 && keys.tag.second == 0)
  }

  /// Ids of engines that follow each other have the same tag, and those of others do not.
  @Test func idsAreKnownAgain() {
    var (before, after, other) = (ConnectionIDs(), ConnectionIDs(), ConnectionIDs())
    before.mark(with: keys().tag)
    after.mark(with: keys().tag)
    other.mark(with: keys(host: 6).tag)
    var random = SplitMix(state: 4)
    var known = 0
    for slot in 0..<1000 {
      let id = before.draw(slot: Slot(slot), random: random.next())
      #expect(after.isMarked(id))
      if other.isMarked(id) { known += 1 }
    }
    #expect(known < 4)
  }
}

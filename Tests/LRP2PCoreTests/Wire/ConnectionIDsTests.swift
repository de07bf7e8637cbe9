// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct ConnectionIDsTests {
  private static func hash(_ random: inout TestRandom) -> IDHash { IDHash(key: (random.next(), random.next())) }

  @Test func plainIDsAreSlotAndRandomBits() {
    let ids = ConnectionIDs()
    #expect(ids.draw(slot: Slot(0x12_3456), random: 0xABCD_EF01_23FF_FFFF) == 0x0CCD_EF01_2312_3456)
    #expect(ids.isMarked(1) && ids.isSteeredHere(1))
  }

  /// Others on the same port tell their datagrams by the first byte; an id is never 0 either.
  @Test func theFirstByteIsFourToFifteen() {
    var first: Set<UInt64> = []
    for byte in 0...255 as ClosedRange<UInt64> {
      first.insert(ConnectionIDs().draw(slot: Slot(0), random: byte << 56) >> 56)
    }
    #expect(first == Set(4...15))
    var (random, ids) = (TestRandom(seed: 6), ConnectionIDs())
    ids.mark(with: Self.hash(&random))
    ids.steer(by: Self.hash(&random), to: 1, of: 3)
    for _ in 0..<1000 { #expect((4...15).contains(ids.draw(slot: Slot(7), random: random.next()) >> 56)) }
  }

  @Test func ownIDsAreMarked() {
    var random = TestRandom(seed: 1)
    var ids = ConnectionIDs()
    ids.mark(with: Self.hash(&random))
    for slot in [0, 1, 0xFF_FFFF] {
      for _ in 0..<1000 {
        let id = ids.draw(slot: Slot(slot), random: random.next())
        #expect(id & 0xFF_FFFF == UInt64(slot) && ids.isMarked(id))
      }
    }
  }

  /// 65,536 times 64 guesses: about 64 are right.
  @Test func othersAreMarkedByChanceOnly() {
    var random = TestRandom(seed: 2)
    var ids = ConnectionIDs()
    ids.mark(with: Self.hash(&random))
    var guessed = 0
    for _ in 0..<64 << 16 where ids.isMarked(random.next()) { guessed += 1 }
    #expect((32...128).contains(guessed))
  }

  /// What is left of the 40 bits when the tag is known still tells the users of a slot apart.
  @Test func aSlotsIDsDiffer() {
    var random = TestRandom(seed: 3)
    var ids = ConnectionIDs()
    ids.mark(with: Self.hash(&random))
    var seen: Set<UInt64> = []
    for _ in 0..<1000 { seen.insert(ids.draw(slot: Slot(7), random: random.next())) }
    #expect(seen.count >= 999)
  }

  /// A handle, and a datagram under way, are void for as long as anybody keeps them.
  @Test func ofManyInARowNoTwoAreTheSame() {
    var random = TestRandom(seed: 8)
    var ids = ConnectionIDs()
    ids.mark(with: Self.hash(&random))
    ids.steer(by: Self.hash(&random), to: 1, of: 3)
    var (seen, last): (Set<UInt64>, UInt64) = ([], 0)
    // Nothing but the count differs.
    for _ in 0..<256 {
      last = ids.draw(slot: Slot(7), random: 5 << 56, after: last)
      #expect(ids.isMarked(last) && ids.isSteeredHere(last) && last & 0xFF_FFFF == 7)
      seen.insert(last >> 24 & 0xFF)
    }
    #expect(seen.count == 256)
  }

  @Test(arguments: [1, 2, 3, 8, 64]) func ownIDsComeBackToTheirReactor(count: Int) {
    var random = TestRandom(seed: 4)
    let hash = Self.hash(&random)
    let mark = Self.hash(&random)
    for index in 0..<count {
      var ids = ConnectionIDs()
      ids.mark(with: mark)
      ids.steer(by: hash, to: index, of: count)
      for _ in 0..<200 {
        let id = ids.draw(slot: Slot(9), random: random.next())
        #expect(ids.isMarked(id) && ids.isSteeredHere(id))
        #expect(ConnectionIDs.destination(hash, id, of: count) == index)
      }
    }
  }

  @Test(arguments: [2, 3, 8]) func foreignIDsAreSpreadEvenly(count: Int) {
    var random = TestRandom(seed: 5)
    let hash = Self.hash(&random)
    var met = Array(repeating: 0, count: count)
    for _ in 0..<count * 1000 { met[ConnectionIDs.destination(hash, random.next(), of: count)] += 1 }
    #expect(met.allSatisfy { (850...1150).contains($0) })
    // Those of a peer that counts, too.
    met = Array(repeating: 0, count: count)
    for number in 0..<UInt64(count * 1000) { met[ConnectionIDs.destination(hash, 1 << 40 | number, of: count)] += 1 }
    #expect(met.allSatisfy { (800...1200).contains($0) })
  }
}

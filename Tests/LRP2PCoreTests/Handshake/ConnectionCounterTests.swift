// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct ConnectionCounterTests {
  private static func key(_ number: Int) -> PublicKey {
    var key = PublicKey()
    key.words = (1, 2, UInt64(number), 4)
    return key
  }

  private static func address(_ number: Int, host: Int) -> Address {
    number % 2 == 0
      ? Address(ipv4: 0x0A00_0000 + UInt32(number) << 8 + UInt32(host & 255), port: UInt16(host & 0xFFFF))
      : Address(high: UInt64(number) << 16 + UInt64(host & 0xFFFF), low: UInt64(host), port: 7)
  }

  @Test(arguments: 0..<6) func agreesWithADictionary(seed: Int) {
    var random = TestRandom(seed: seed)
    var counter = ConnectionCounter(seed: UInt64(seed))
    var model: [Int: Int] = [:]
    var wrong = 0
    let usesKeys = seed % 2 == 0
    func hash(_ number: Int, _ host: Int) -> UInt64 {
      usesKeys ? counter.hash(Self.key(number)) : counter.hash(Self.address(number, host: host))
    }
    for step in 0..<20_000 {
      // Many, then few, then many.
      let growth = (step / 4000) % 2 == 0 ? 60 : 35
      let number = random.below(700)
      let at = hash(number, random.below(1 << 20))
      if model[number, default: 0] > 0, !random.happens(percent: growth) {
        counter.remove(at)
        model[number]! -= 1
      } else if random.happens(percent: growth) {
        counter.add(at)
        model[number, default: 0] += 1
      }
      if counter[at] != model[number, default: 0] { wrong += 1 }
    }
    for number in 0..<700 where counter[hash(number, 5)] != model[number, default: 0] { wrong += 1 }
    #expect(wrong == 0)
    #expect(counter.inUse == model.values.filter { $0 > 0 }.count)
    #expect(counter.capacity >= 2 * counter.inUse && counter.capacity <= 4096)
  }

  @Test func nothingIsTakenFromAnEmptyCounter() async {
    await #expect(processExitsWith: .failure) {
      var counter = ConnectionCounter(seed: 1)
      counter.remove(counter.hash(PublicKey()))
    }
  }
}

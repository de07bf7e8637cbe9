// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct PrefixCounterTests {
  private static func ipv4(_ network: Int, host: Int) -> Address {
    Address(ipv4: 0x0A00_0000 + UInt32(network) << 8 + UInt32(host), port: UInt16(host))
  }

  private static func ipv6(_ network: Int, host: Int) -> Address {
    Address(high: (0x2001_0DB8_0000 + UInt64(network)) << 16 + UInt64(host), low: UInt64(host) << 40, port: 7)
  }

  /// Which counter each of the first networks of both families has: networks that share one read each other's count.
  private static func shares(seed: UInt64, networks: Int) -> [Int] {
    var counter = PrefixCounter(seed: seed)
    var shares: [Int] = []
    for network in 0..<2 * networks {
      let address = network < networks ? ipv4(network, host: 1) : ipv6(network - networks, host: 1)
      if counter[address] == 0 {
        // New: counted as often as its number says.
        for _ in 0...network { counter.add(address) }
      }
      shares.append(counter[address] - 1)
    }
    return shares
  }

  @Test(arguments: 0..<6) func agreesWithADictionary(seed: Int) {
    let networks = 100
    let shares = Self.shares(seed: UInt64(seed), networks: networks)
    // Of 200 networks on 4096 counters five or so share one.
    #expect(Set(shares).count > 180)
    var random = TestRandom(seed: seed)
    var counter = PrefixCounter(seed: UInt64(seed))
    var model: [Int: Int] = [:]
    var wrong = 0
    for _ in 0..<5000 {
      let network = random.below(2 * networks)
      let host = random.below(200)
      let address =
        network < networks ? Self.ipv4(network, host: host) : Self.ipv6(network - networks, host: host)
      let share = shares[network]
      if model[share, default: 0] > 0, random.happens(percent: 45) {
        counter.remove(address)
        model[share]! -= 1
      } else {
        counter.add(address)
        model[share, default: 0] += 1
      }
      if counter[address] != model[share] { wrong += 1 }
    }
    for network in 0..<networks where counter[Self.ipv4(network, host: 3)] != model[shares[network], default: 0] {
      wrong += 1
    }
    for network in 0..<networks
    where counter[Self.ipv6(network, host: 3)] != model[shares[networks + network], default: 0] { wrong += 1 }
    #expect(wrong == 0)
  }

  /// Nobody can tell from one engine which networks share a counter in another.
  @Test func theSeedSaysWhoShares() {
    let networks = 500
    let first = Self.shares(seed: 1, networks: networks)
    let second = Self.shares(seed: 2, networks: networks)
    func partners(_ shares: [Int]) -> Set<Int> { Set(shares.indices.filter { shares[$0] != $0 }) }
    #expect(partners(first) != partners(second))
    // By chance 1000 networks use 4096 (1 - exp(-1000 / 4096)) = 887 of the counters.
    #expect(Set(first).count > 850 && Set(second).count > 850)
  }

  @Test func nothingIsTakenFromAnEmptyCounter() async {
    await #expect(processExitsWith: .failure) {
      var counter = PrefixCounter(seed: 1)
      counter.add(Address(ipv4: 0x0A00_0001, port: 1))
      counter.remove(Address(ipv4: 0x0A00_0001, port: 1))
      counter.remove(Address(ipv4: 0x0A00_0001, port: 1))
    }
  }
}

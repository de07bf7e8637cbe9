// SPDX-License-Identifier: MIT
/// Half-open handshakes by the network they come from (IPv4 /24, IPv6 /48), in a fixed number of counters that prefixes
/// share by a secret hash: one network cannot use up what is there for all.
package struct PrefixCounter: ~Copyable {
  private static var counters: Int { 4096 }

  private var counts = Column<UInt32>(repeating: 0, count: Self.counters)
  private let seed: UInt64

  package init(seed: UInt64) { self.seed = seed }

  package subscript(address: Address) -> Int { Int(counts[Self.index(address, seed)]) }

  package mutating func add(_ address: Address) { counts[Self.index(address, seed)] += 1 }

  package mutating func remove(_ address: Address) { counts[Self.index(address, seed)] -= 1 }

  private static func index(_ address: Address, _ seed: UInt64) -> Int {
    // The finaliser of splitmix64, keyed.
    var z = (address.network ^ seed) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27) ^ seed) &* 0x94D0_49BB_1331_11EB
    return Int(truncatingIfNeeded: z >> 40) & (counters - 1)
  }
}

extension Address {
  /// What whoever has one address usually has all of: the IPv4 /24, the IPv6 /48.
  package var network: UInt64 { isIPv4 ? low & 0xFFFF_FF00 : high >> 16 }
}

// SPDX-License-Identifier: MIT
/// How many connections each identity, or each network, has: open addressing with linear probing over secret hashes, one entry
/// for each that has any. Of 64 bits that nobody outside can compute, so that no two are taken for one.
package struct ConnectionCounter: ~Copyable {
  // Not private: a debug build fails on private types in generic storage (Swift 6.3).
  package struct Entry: BitwiseCopyable {
    var hash: UInt64 = 0
    var count: UInt32 = 0
  }

  private var entries = Column(repeating: Entry(), count: 16)
  private let seed: UInt64
  /// Identities or networks with a connection.
  package private(set) var inUse = 0
  package var capacity: Int { entries.count }

  package init(seed: UInt64) { self.seed = seed }

  /// Of an identity.
  package func hash(_ key: PublicKey) -> UInt64 {
    let words = key.words
    return mix(mix(mix(mix(seed ^ words.0) ^ words.1) ^ words.2) ^ words.3)
  }

  /// Of the network that an address is in.
  package func hash(_ address: Address) -> UInt64 {
    mix(mix(seed ^ (address.isIPv4 ? 4 : 6)) ^ address.network)
  }

  package subscript(hash: UInt64) -> Int { Int(entries[find(hash)].count) }

  package mutating func add(_ hash: UInt64) {
    if (inUse + 1) * 2 > entries.count { grow() }
    let at = find(hash)
    if entries[at].count == 0 { inUse += 1 }
    entries[at].hash = hash
    entries[at].count += 1
  }

  package mutating func remove(_ hash: UInt64) {
    var hole = find(hash)
    precondition(entries[hole].count > 0, "nothing was counted")
    entries[hole].count -= 1
    guard entries[hole].count == 0 else { return }
    inUse -= 1
    // What was pushed behind it moves up, so that no tombstones are needed.
    var at = hole
    while true {
      at = (at + 1) & (entries.count - 1)
      guard entries[at].count > 0 else { break }
      let home = place(entries[at].hash)
      if (at &- home) & (entries.count - 1) >= (at &- hole) & (entries.count - 1) {
        entries[hole] = entries[at]
        hole = at
      }
    }
    entries[hole] = Entry()
  }

  /// Where the entry is, or would be.
  private func find(_ hash: UInt64) -> Int {
    var at = place(hash)
    while entries[at].count > 0, entries[at].hash != hash { at = (at + 1) & (entries.count - 1) }
    return at
  }

  private func place(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (entries.count - 1) }

  private mutating func grow() {
    var larger = Column(repeating: Entry(), count: entries.count * 2)
    swap(&larger, &entries)
    for index in 0..<larger.count where larger[index].count > 0 { entries[find(larger[index].hash)] = larger[index] }
  }
}

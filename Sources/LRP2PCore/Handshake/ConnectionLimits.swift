// SPDX-License-Identifier: MIT
/// Incoming connections by who has dialled, and from where; they count if there is a limit.
package struct ConnectionLimits: ~Copyable {
  package internal(set) var identities: ConnectionCounter
  package internal(set) var networks: ConnectionCounter
  private let perIdentity: Int
  private let perNetwork: Int

  init(_ configuration: EngineConfiguration, seed: UInt64) {
    identities = ConnectionCounter(seed: seed &+ 1)
    networks = ConnectionCounter(seed: seed &+ 2)
    perIdentity = configuration.maximumConnectionsPerIdentity
    perNetwork = configuration.maximumConnectionsPerPrefix
  }

  /// Whether a network may have one more connection.
  func admits(_ address: Address) -> Bool { perNetwork == 0 || networks[networks.hash(address)] < perNetwork }

  /// Whether an identity may.
  func admits(_ key: PublicKey) -> Bool { perIdentity == 0 || identities[identities.hash(key)] < perIdentity }

  mutating func add(_ key: PublicKey, _ address: Address) {
    if perIdentity > 0 { identities.add(identities.hash(key)) }
    if perNetwork > 0 { networks.add(networks.hash(address)) }
  }

  mutating func remove(_ key: PublicKey, _ address: Address) {
    if perIdentity > 0 { identities.remove(identities.hash(key)) }
    if perNetwork > 0 { networks.remove(networks.hash(address)) }
  }

  /// A connection is at another address now.
  mutating func move(from old: Address, to new: Address) {
    guard perNetwork > 0 else { return }
    networks.remove(networks.hash(old))
    networks.add(networks.hash(new))
  }
}

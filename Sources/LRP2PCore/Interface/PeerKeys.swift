// SPDX-License-Identifier: MIT
/// Which peers this side talks to, by their public keys: of a listener, who may connect; of a dial, who may answer.
///
/// It has no default. A program that accepts everyone writes `.anyone`:
///
///     let server = try Endpoint(bind: address, accepting: .keys([alice, bob]))
///     let connection = try await client.connect(to: address, expecting: .key(serverKey))
///
/// A rule is a value: it may be used for any number of endpoints and dials, on any thread.
public struct PeerKeys: Sendable {
  package enum Rule: Sendable {
    case nobody
    case keys(Set<PublicKey>)
    case anyone
    case matching(@Sendable (PublicKey, Address) -> Bool)
  }

  package let rule: Rule

  /// Nobody. An endpoint that only dials accepts nobody: it does not even answer strangers.
  public static let nobody = PeerKeys(rule: .nobody)

  /// Everyone, whatever the key. Such a dial is encrypted, but anyone in the middle may have answered it; a listener learns the key, and
  /// the program may ask more of a peer later.
  public static let anyone = PeerKeys(rule: .anyone)

  /// The peer with this key.
  public static func key(_ key: PublicKey) -> PeerKeys { PeerKeys(rule: .keys([key])) }

  /// The peers with these keys; an empty set is nobody's, but a listener still answers strangers until it has seen their key.
  public static func keys(_ keys: Set<PublicKey>) -> PeerKeys { PeerKeys(rule: .keys(keys)) }

  /// Those of which `isAccepted` says so, for a set that changes while the program runs.
  ///
  /// - Parameter isAccepted: gets the peer's key, which it has proved, and its address, which a stranger may choose. It is called on the
  ///   reactor's thread, any number of times in a handshake, and must not block.
  public static func matching(_ isAccepted: @escaping @Sendable (PublicKey, Address) -> Bool) -> PeerKeys {
    PeerKeys(rule: .matching(isAccepted))
  }

  package func accepts(_ key: PublicKey, at address: Address) -> Bool {
    switch rule {
    case .nobody: false
    case .keys(let keys): keys.contains(key)
    case .anyone: true
    case .matching(let isAccepted): isAccepted(key, address)
    }
  }

  package var isNobody: Bool { if case .nobody = rule { true } else { false } }

  /// Whether it names keys, so that a peer whose keys are throw-away cannot have one of them.
  package var namesKeys: Bool { if case .keys = rule { true } else { false } }

  /// The only key that it accepts.
  package var only: PublicKey? {
    if case .keys(let keys) = rule, keys.count == 1 { keys.first } else { nil }
  }
}

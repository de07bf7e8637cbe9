// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

extension AEAD: ExpressibleByArgument {
  var name: String {
    switch self {
    case .chacha20Poly1305: "chacha20-poly1305"
    case .aes256GCM: "aes-256-gcm"
    }
  }

  public init?(argument: String) {
    guard let aead = Self.allCases.first(where: { $0.name == argument }) else { return nil }
    self = aead
  }

  public static var allValueStrings: [String] { allCases.map(\.name) }
  public var defaultValueDescription: String { name }
}

/// What a run of two ends can be.
enum Kind: String, ExpressibleByArgument {
  /// The protocol, one endless stream each connection.
  case transfer
  /// Encrypted datagrams that nobody acknowledges.
  case ceiling
  /// Kernel TCP in plain text.
  case tcp
  /// Round trips, through the protocol and over raw UDP.
  case echo
  /// New connections, as fast as they go.
  case handshakes
  /// Many connections that have nothing to say.
  case idle
  /// Requests of random peers among many.
  case fanout
  /// The same without sockets, in one process.
  case fanoutCore = "fanout-core"
  /// Connections that come and go.
  case churn
  /// A verified load, and the end that is flooded.
  case flood
  /// The end that floods.
  case flooder
  /// One message to many, and what that has to cost.
  case publish
  case publishCeiling = "publish-ceiling"
  case publishCore = "publish-core"
  /// Small messages over one connection.
  case messages
}

/// What a flood is made of.
enum FloodKind: String, ExpressibleByArgument, CaseIterable {
  /// First messages of the handshake, well formed, with a new id and a new ephemeral key each.
  case message1
  /// Random bytes of random length.
  case garbage
  /// Sealed datagrams of the live connections, once more and from elsewhere.
  case replay
  /// The shape of sealed datagrams, for random ids.
  case forgedID = "forged-id"
}

/// One run of two ends: everything that both have to know.
struct Job {
  var kind: Kind
  var aead: AEAD
  var seconds: Int
  var datagram: Int
  var connections: Int
  var spin = false
  var oneCore = false
  var congestion = EngineConfiguration().congestion
  var ecn = EngineConfiguration().usesECN ? Toggle.on : .off
  var aeadProvider = AEADProvider.automatic
  var backend = ReactorConfiguration().backend
  /// An echo over raw UDP only.
  var baselinesOnly = false
  /// Connections that stay.
  var peers = 0
  /// Of these, the ones that send.
  var active = 0
  /// Bytes of a message.
  var messageBytes = 0
  /// Seconds after which an idle peer sends a PING.
  var keepAlive = 60
  /// New connections a second.
  var rate = 0
  /// That share the responder's port, each on a thread.
  var reactors = 1
  var hugePages: Toggle?
  var filter = Toggle.off
  var flood: FloodKind?
  /// The flooded end looks at the source address only and drops whoever is not the load.
  var isBare = false
  /// A flood goes into a socket that nobody reads.
  var isUnread = false
  /// When a flood begins, on the clock that all processes of a machine share.
  var start: Instant = 0
  /// A third party: the second responder of a fan-out, or whoever takes captured datagrams.
  var thirdParty: Address?
  /// How long the listening end waits for the other.
  var longestWait: Nanoseconds = .seconds(10)

  var length: Nanoseconds { .seconds(UInt64(seconds)) }

  /// Time for connections to be made before anything is measured.
  var preparation: Nanoseconds { .seconds(UInt64(peers / 500)) }

  /// The two ends use one configuration, so that either could be the other.
  var configuration: ReactorConfiguration {
    var configuration = ReactorConfiguration()
    configuration.backend = backend
    configuration.engine.maximumDatagram = datagram
    configuration.engine.aeads = aead == .aes256GCM ? [.aes256GCM, .chacha20Poly1305] : [aead]
    configuration.engine.maximumPeers = maximumPeers
    configuration.engine.congestion = congestion
    configuration.engine.usesECN = ecn == .on
    configuration.aeadProvider = aeadProvider
    // Longer than any round trip: it never comes to sleep.
    if spin { configuration.longestSpin = .milliseconds(10) }
    return configuration
  }

  /// Room for connections that are going while others come, and for the first attempts of dials whose second was answered: they
  /// hold a slot as long as the connection lives.
  var maximumPeers: Int { peers > 0 ? 2 * peers + 1024 : 2 * connections + 16 }
}

extension Address {
  static var loopback: Address { Address(ipv4: 0x7F00_0001, port: 0) }

  /// Address `number` of 127.0.0.0/8, none of which is 127.0.x.x.
  static func loopback(_ number: Int) -> Address {
    Address(ipv4: 0x7F00_0000 | UInt32(0x1_0000 + number % 0xFE_0000), port: 0)
  }

  var isLoopback: Bool { isIPv4 ? (low >> 24) & 0xFF == 127 : high == 0 && low == 1 }

  /// Where to bind a socket that talks to this address.
  var localEnd: Address { isIPv4 && isLoopback ? .loopback : .any(port: 0) }

  func with(port: UInt16) -> Address {
    var address = self
    address.port = port
    return address
  }
}

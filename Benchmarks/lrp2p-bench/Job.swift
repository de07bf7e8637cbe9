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
  var backend = ReactorConfiguration().backend
  /// An echo over raw UDP only.
  var baselinesOnly = false
  /// How long the listening end waits for the other.
  var patience: Nanoseconds = .seconds(10)

  var length: Nanoseconds { .seconds(UInt64(seconds)) }

  /// The two ends use one configuration, so that either could be the other.
  var configuration: ReactorConfiguration {
    var configuration = ReactorConfiguration()
    configuration.backend = backend
    configuration.engine.maximumDatagram = datagram
    configuration.engine.aeads = aead == .aes256GCM ? [.aes256GCM, .chacha20Poly1305] : [aead]
    configuration.engine.maximumPeers = maximumPeers
    configuration.engine.congestion = congestion
    return configuration
  }

  /// Room for connections that are going while others come.
  var maximumPeers: Int { 2 * connections + 16 }
}

extension Address {
  static var loopback: Address { Address(ipv4: 0x7F00_0001, port: 0) }

  var isLoopback: Bool { isIPv4 ? (low >> 24) & 0xFF == 127 : high == 0 && low == 1 }

  /// Where to bind a socket that talks to this address.
  var localEnd: Address { isIPv4 && isLoopback ? .loopback : .any(port: 0) }

  func with(port: UInt16) -> Address {
    var address = self
    address.port = port
    return address
  }
}

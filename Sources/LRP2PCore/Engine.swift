/// The whole protocol for all peers of one socket: no clock, no descriptor, no entropy of its own.
public struct Engine: ~Copyable {
  public internal(set) var now: Instant = 0
  public internal(set) var statistics = EngineStatistics()

  package init(
    configuration: EngineConfiguration, secretKey: SecretKey, suite: any CipherSuite, seed: UInt64, now: Instant
  ) {
    self.now = now
  }

  public var publicKey: PublicKey { PublicKey() }

  // Commands
  public mutating func connect(to address: Address, pinned: PublicKey? = nil) throws(EngineError) -> Peer {
    throw .tooManyPeers
  }
  public mutating func offer(_ peer: Peer, upTo offset: UInt64) {}
  public mutating func finish(_ peer: Peer) {}
  public mutating func close(_ peer: Peer, code: UInt32, reason: String = "") {}
  public mutating func pause(_ peer: Peer) {}
  public mutating func resume(_ peer: Peer) {}
  public mutating func setTimer(at deadline: Instant, token: UInt64) {}
  public func statistics(of peer: Peer) -> PeerStatistics? { nil }

  // The reactor's verbs
  package mutating func receive<H: Handler>(_ batch: inout DatagramBatch, now: Instant, handler: inout H) {}
  package mutating func transmit<H: Handler>(into batch: inout DatagramBatch, now: Instant, handler: inout H) {}
  package mutating func expire<H: Handler>(now: Instant, handler: inout H) {}
  /// When `expire` has something to do next; `.never` when nothing waits.
  package var nextDeadline: Instant { .never }
  /// Whether `transmit` has something to write now.
  package var hasReadyPeers: Bool { false }
}

/// Counters of one engine, all since its start. Reading them costs a copy.
public struct EngineStatistics: Sendable, BitwiseCopyable {
  public var datagramsReceived: UInt64 = 0
  public var datagramsSent: UInt64 = 0
  public var bytesReceived: UInt64 = 0
  public var bytesSent: UInt64 = 0
  /// Datagrams for no connection of ours that are no valid message 1 either.
  public var unknownConnection: UInt64 = 0
  /// Datagrams that belong to another reactor of a `ReactorGroup`: dropped. More than single ones mean that the kernel does
  /// not steer, or that datagrams of several connections were merged on their way (docs/tuning.md).
  public var misdirected: UInt64 = 0
  /// Datagrams that failed authentication.
  public var authenticationFailures: UInt64 = 0
  public var replays: UInt64 = 0
  /// Authentic segments that could not be parsed.
  public var malformed: UInt64 = 0
  /// Segments that had been received before.
  public var duplicates: UInt64 = 0
  /// Segments beyond the promised window.
  public var beyondWindow: UInt64 = 0
  /// Early segments dropped, unacknowledged, because the pool was empty.
  public var poolExhausted: UInt64 = 0
  public var retransmissions: UInt64 = 0
  public var probeTimeouts: UInt64 = 0
  /// Datagrams from a new address of a known peer that started a path validation, and moves that came of them.
  public var pathValidations: UInt64 = 0
  public var pathChanges: UInt64 = 0
  public var handshakesStarted: UInt64 = 0
  public var handshakesCompleted: UInt64 = 0
  public var handshakesFailed: UInt64 = 0
  /// First messages not answered because of `maximumHalfOpenPerPrefix`.
  public var handshakesOverPrefixLimit: UInt64 = 0
  /// Half-open handshakes that gave way to newer ones.
  public var halfOpenEvicted: UInt64 = 0
  /// First messages beyond the eighth of one dial, which were not answered.
  public var attemptsRefused: UInt64 = 0
  /// First messages that were refused because of `halfOpenMark` as they had no valid cookie.
  public var handshakesWithoutCookie: UInt64 = 0
  /// Of these, the ones that were told a cookie; no more than `cookieRepliesPerSecond`.
  public var cookieRepliesSent: UInt64 = 0
  /// First messages beyond `halfOpenMark` with a valid cookie.
  public var cookiesAccepted: UInt64 = 0
  /// Cookies that were none of ours, too old, or for another address or dial.
  public var cookiesInvalid: UInt64 = 0
  /// Connections that exist now, half-open ones included.
  public var peers: UInt64 = 0
  /// Bytes of the receive pool in use now.
  public var poolBytesInUse: UInt64 = 0

  package init() {}
}

/// The state of one connection, as far as a user can act on it.
public struct PeerStatistics: Sendable {
  public var smoothedRTT: Nanoseconds
  public var minimumRTT: Nanoseconds
  public var congestion: CongestionAlgorithm
  public var congestionWindow: UInt64
  /// Bytes per second that sending is paced at; 0 when it is not.
  public var pacingRate: UInt64
  /// Bytes per second that the path has last delivered when there was enough to send.
  public var deliveryRate: UInt64
  public var bytesInFlight: UInt64
  public var packetsInFlight: Int
  /// Bytes of a full datagram on this path at present.
  public var datagramBytes: Int
  public var retransmissions: UInt64
  public var aead: AEAD
  public var address: Address
  public var key: PublicKey
  /// The protocol's version: 1, or 0 for the original peer.
  public var version: UInt8
}

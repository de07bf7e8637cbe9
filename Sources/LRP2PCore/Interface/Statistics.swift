// SPDX-License-Identifier: MIT
/// Counters of one engine, all since its start. Reading them costs a copy. What each means for whoever runs the program, and
/// what to do when it rises, is in docs/statistics.md.
public struct EngineStatistics: Sendable, BitwiseCopyable {
  /// Datagrams that the socket has brought, whatever they are.
  public var datagramsReceived: UInt64 = 0
  /// Datagrams that were given to the socket.
  public var datagramsSent: UInt64 = 0
  /// UDP payload bytes of the datagrams received.
  public var bytesReceived: UInt64 = 0
  /// UDP payload bytes of the datagrams sent.
  public var bytesSent: UInt64 = 0
  /// Datagrams that were authentic and new, on a connection that lives, and handshake messages that were acted on. What was
  /// wrong with the segment inside is counted for itself.
  public var datagramsAccepted: UInt64 = 0
  /// Datagrams that came ahead of message 3 and wait for their keys now.
  public var datagramsHeld: UInt64 = 0

  // MARK: Refused: each ends one datagram

  /// Datagrams shorter than any of the protocol's, or longer than 16 KiB.
  public var wrongLength: UInt64 = 0
  /// Datagrams for no connection of ours that are no valid message 1 either, or one where nobody is accepted.
  public var unknownConnection: UInt64 = 0
  /// Datagrams that belong to another reactor of a `ReactorGroup`: dropped. More than single ones mean that the kernel does
  /// not steer, or that datagrams of several connections were merged on their way (docs/tuning.md).
  public var misdirected: UInt64 = 0
  /// Datagrams for a connection that is over for its user, or for an attempt of a dial that another one has won.
  public var late: UInt64 = 0
  /// Datagrams and handshake messages that failed authentication.
  public var authenticationFailures: UInt64 = 0
  /// Datagrams of a key epoch whose key is wiped, or too far ahead. No AEAD has seen them, so they do not count as forgeries.
  public var keyUnavailable: UInt64 = 0
  /// Datagrams whose packet number was seen before, or is too old to tell.
  public var replays: UInt64 = 0
  /// Datagrams ahead of message 3 for which there was no room: more than ten of one handshake or 1 MiB of all, a pool in use to
  /// the last, or another address than message 1 came from.
  public var earlyDataRefused: UInt64 = 0
  /// Datagrams that were held until their handshake was given up.
  public var earlyDataAbandoned: UInt64 = 0
  /// Handshake messages that could not be parsed.
  public var handshakesMalformed: UInt64 = 0
  /// Handshake messages without a version, an AEAD or an application protocol of ours.
  public var handshakesIncompatible: UInt64 = 0
  /// Handshake messages from another address than the one that was dialled.
  public var handshakesFromElsewhere: UInt64 = 0
  /// Handshake messages that do not belong where they came: under the id of another dial, or of a handshake that is done.
  public var handshakesOutOfPlace: UInt64 = 0
  /// Handshake messages of peers whose key is not accepted (`PeerKeys`), or that `Handler.admission` has refused.
  public var keysRefused: UInt64 = 0
  /// First messages and third ones that were refused because of `maximumConnectionsPerIdentity`, and of `maximumConnectionsPerPrefix`.
  public var connectionsOverIdentityLimit: UInt64 = 0
  /// The same because of `maximumConnectionsPerPrefix`.
  public var connectionsOverPrefixLimit: UInt64 = 0
  /// First messages not answered because of `maximumHalfOpenPerPrefix`.
  public var handshakesOverPrefixLimit: UInt64 = 0
  /// First messages not answered because all of `maximumPeers` slots were in use.
  public var handshakesOverPeerLimit: UInt64 = 0
  /// First messages that were not answered as sixteen of the same dial were half-open, none of them old.
  public var attemptsRefused: UInt64 = 0
  /// First messages that were refused as they had no valid cookie: because of `halfOpenMark`, or `maximumHalfOpenPerPrefix`, or as few
  /// slots were free.
  public var handshakesWithoutCookie: UInt64 = 0
  /// Cookie replies that answer no message 1 of ours that waits for one.
  public var cookieRepliesRefused: UInt64 = 0
  /// Resets for no connection of ours, without the token that its peer has told, or for a dial whose message 3 has had no answer.
  public var resetsRefused: UInt64 = 0

  // MARK: Refused: parts of accepted datagrams

  /// Authentic segments that could not be parsed.
  public var malformed: UInt64 = 0
  /// ACKs whose block could not be parsed, or describes more than a window.
  public var acksMalformed: UInt64 = 0
  /// ACKs for what was never sent. Of a version 1 peer this ends the connection.
  public var acksOfUnsent: UInt64 = 0
  /// ACKs of something new that take back part of the window which an earlier one had given: the edge stays.
  public var windowsShrunk: UInt64 = 0
  /// Segments that had been received before.
  public var duplicates: UInt64 = 0
  /// Segments beyond the promised window.
  public var beyondWindow: UInt64 = 0
  /// Segments that contradict the end of the stream: behind FIN, or a second, different FIN. This ends the connection.
  public var beyondFin: UInt64 = 0
  /// Early segments dropped, unacknowledged, because the pool was empty.
  public var poolExhausted: UInt64 = 0
  /// Bytes that were acknowledged and unread when a connection ended, and which its reader did not take within `unreadTimeout`.
  public var unreadBytesDropped: UInt64 = 0
  /// Segments in pieces that gave way to others, as more than 16 of one connection were incomplete, or the pool was full.
  public var piecesEvicted: UInt64 = 0
  /// CONTROL segments of a kind that this version does not know: ignored.
  public var unknownControl: UInt64 = 0
  /// Flags, options and kinds that this version does not know and must not ignore. This ends the connection.
  public var unknownCritical: UInt64 = 0
  /// CHALLENGEs and SWITCHes that went unanswered, as two others of the connection still waited for their answer.
  public var challengesOverLimit: UInt64 = 0
  /// RESPONSEs to no question that waits for one: late, repeated or made up.
  public var responsesUnasked: UInt64 = 0

  // MARK: Paths

  /// Datagrams from a new address of a known peer that started a path validation, and moves that came of them or of a switch of
  /// this side's.
  public var pathValidations: UInt64 = 0
  /// Moves to another address that a validation or a switch has confirmed.
  public var pathChanges: UInt64 = 0
  /// Validations in which the old address answered, so the peer stays there: somebody repeats its datagrams, or the move was
  /// not needed.
  public var pathValidationsRefused: UInt64 = 0
  /// Validations that nobody answered.
  public var pathValidationsUnanswered: UInt64 = 0
  /// Datagrams from a new address that started no validation, as one had just failed.
  public var pathValidationsPutOff: UInt64 = 0
  /// Switches of path that this side's program has asked for (`Engine.switchPath`), and those that nobody has answered.
  public var pathSwitchesSent: UInt64 = 0
  /// Of `pathSwitchesSent`, those that nobody has answered.
  public var pathSwitchesFailed: UInt64 = 0
  /// SWITCHes of peers that were answered, or are once the address that they came from has answered; repeats included.
  public var pathSwitchesReceived: UInt64 = 0
  /// SWITCHes of peers that had been overtaken by another or by a move, or came within a probe timeout of another.
  public var pathSwitchesIgnored: UInt64 = 0

  // MARK: Loss and handshakes

  /// Connections whose ECN marks were found not to be kept, by the path or by the peer.
  public var marksLost: UInt64 = 0
  /// Packets that were sent again, as they were lost or taken for lost.
  public var retransmissions: UInt64 = 0
  /// Calls of `Engine.write` that did not take all bytes, as the connection's send buffer or that of all was full.
  public var writesCut: UInt64 = 0
  /// Messages that were queued, each for one peer, and messages that were handed over.
  public var messagesQueued: UInt64 = 0
  /// Messages that were handed over.
  public var messagesReceived: UInt64 = 0
  /// Messages that peers have acknowledged.
  public var messagesAcknowledged: UInt64 = 0
  /// Messages that were given up: lost and not worth sending again, too late, or older than others that wait.
  public var messagesGivenUp: UInt64 = 0
  /// Frames that report messages which will not come.
  public var messagesSkipped: UInt64 = 0
  /// Calls of `Engine.publish` that have queued a message.
  public var messagesPublished: UInt64 = 0
  /// Times that a connection had no acknowledgement for a probe timeout, and sent a probe.
  public var probeTimeouts: UInt64 = 0
  /// Dials of this side.
  public var handshakesStarted: UInt64 = 0
  /// Handshakes that have become connections, of both directions.
  public var handshakesCompleted: UInt64 = 0
  /// Handshakes that were refused, were given up, or have failed.
  public var handshakesFailed: UInt64 = 0
  /// Half-open handshakes that gave way to newer ones.
  public var halfOpenEvicted: UInt64 = 0
  /// Of `handshakesWithoutCookie`, the ones that were told a cookie; no more than `cookieRepliesPerSecond`.
  public var cookieRepliesSent: UInt64 = 0
  /// First messages beyond `halfOpenMark` with a valid cookie.
  public var cookiesAccepted: UInt64 = 0
  /// Cookies that were none of ours, too old, or for another address or dial.
  public var cookiesInvalid: UInt64 = 0
  /// Of `unknownConnection`, the ones whose sender was told that the connection is lost; no more than `resetsPerSecond`.
  public var resetsSent: UInt64 = 0
  /// Connections that the peer has told to have lost: each has ended with `CloseReason.reset`.
  public var resetsReceived: UInt64 = 0

  // MARK: Now

  /// Connections that exist now, half-open ones included.
  public var peers: UInt64 = 0
  /// Bytes of the receive pool in use now.
  public var poolBytesInUse: UInt64 = 0

  package init() {}

  /// Datagrams that were refused, for whatever reason. Between two turns `datagramsReceived` is `datagramsAccepted`,
  /// `datagramsHeld` and these together.
  public var datagramsRefused: UInt64 {
    let unfit = wrongLength &+ unknownConnection &+ misdirected &+ late
    let sealed = authenticationFailures &+ keyUnavailable &+ replays &+ earlyDataRefused &+ earlyDataAbandoned
    let handshakes =
      handshakesMalformed &+ handshakesIncompatible &+ handshakesFromElsewhere &+ handshakesOutOfPlace &+ keysRefused
    let limits =
      connectionsOverIdentityLimit &+ connectionsOverPrefixLimit &+ handshakesOverPrefixLimit &+ handshakesOverPeerLimit
      &+ attemptsRefused &+ handshakesWithoutCookie
      &+ cookieRepliesRefused &+ resetsRefused
    return unfit &+ sealed &+ handshakes &+ limits
  }

  /// Whether every datagram is accounted for, once; true between two calls of `receive`.
  package var isBalanced: Bool {
    datagramsReceived == datagramsAccepted &+ datagramsHeld &+ datagramsRefused
  }
}

/// The state of one connection, as far as a user can act on it. All of it is derived when it is read; a connection at rest
/// stays at rest.
public struct PeerStatistics: Sendable {
  // MARK: The path

  /// Nanoseconds, as all times; 0 before the first sample.
  public var smoothedRTT: Nanoseconds
  /// The shortest round trip that was measured, in nanoseconds; 0 before the first sample.
  public var minimumRTT: Nanoseconds
  /// Mean deviation of the round trip (RFC 9002, `rttvar`).
  public var variationRTT: Nanoseconds
  /// The controller that it has now.
  public var congestion: CongestionAlgorithm
  /// Bytes, headers of UDP and IP not counted.
  public var congestionWindow: UInt64
  /// Bytes per second that sending is paced at; 0 when it is not.
  public var pacingRate: UInt64
  /// Bytes per second that the path has last delivered when there was enough to send.
  public var deliveryRate: UInt64
  /// Bytes of a full datagram on this path at present.
  public var datagramBytes: Int
  /// Where the peer is now.
  public var address: Address

  // MARK: Sending

  /// What keeps it from sending more at this moment.
  public var limitedBy: SendLimit
  /// Bytes sent and neither acknowledged nor taken for lost, headers of UDP and IP not counted.
  public var bytesInFlight: UInt64
  /// The same in packets.
  public var packetsInFlight: Int
  /// Bytes that were offered and have not left for the first time.
  public var bytesWaiting: UInt64
  /// Packets that the peer's window still takes.
  public var sendWindowPackets: Int
  /// Packets that were sent again.
  public var retransmissions: UInt64
  /// Datagrams of ours that the peer has seen marked as having met congestion (ECN-CE), as it tells.
  public var congestionMarksReported: UInt64
  /// Whether datagrams are marked as ECN-capable, and if not, why.
  public var ecn: ECNState

  // MARK: Receiving

  /// When the last authentic datagram came, on the clock of `Engine.now`.
  public var lastReceived: Instant
  /// Whether this side has paused the reader.
  public var isReaderPaused: Bool
  /// The connection has ended, and its reader has not had all that was acknowledged: `Handler.closed` follows behind that.
  public var isDraining: Bool
  /// Packets in order that wait for the reader.
  public var packetsUnread: Int
  /// Gaps behind which data waits, and packets from the first gap to the newest that has come, the missing ones included.
  public var gaps: Int
  /// Packets from the first gap to the newest that has come, the missing ones included.
  public var packetsBehindGaps: Int
  /// Packets beyond the newest that the peer may send.
  public var receiveWindowPackets: Int
  /// Datagrams from the peer that were marked as having met congestion (ECN-CE).
  public var congestionMarksReceived: UInt64
  /// Datagrams and segments of the peer that had come before.
  public var duplicatesReceived: UInt64
  /// Datagrams for this connection that did not open.
  public var authenticationFailures: UInt64

  // MARK: Who

  /// The cipher that both sides have agreed on.
  public var aead: AEAD
  /// The peer's public key.
  public var key: PublicKey
  /// The protocol's version: 1, or 0 for the original peer.
  public var version: UInt8
}

// SPDX-License-Identifier: MIT
/// Every knob of the protocol core. Times are in nanoseconds, sizes in bytes, windows in packets.
public struct EngineConfiguration: Sendable {
  /// The largest datagram sent or accepted, UDP payload bytes: 1200 … 16384. The peer's own bound applies too.
  public var maximumDatagram = 1400
  /// Connections at the same time, half-open ones included: 1 … 16,777,216.
  public var maximumPeers = 1 << 20
  /// Half-open (incoming) handshakes at the same time: 1 … 16,777,216. The oldest gives way, of those without proof of their address
  /// first.
  public var maximumHalfOpen = 4096
  /// From so many half-open handshakes on, or half of the slots that connections leave, strangers have to prove their address by a
  /// cookie, which takes them one more round trip, before any work is done for them: 0 … 16,777,216.
  public var halfOpenMark = 512
  /// Answers a second that tell strangers a cookie, at most; each is 56 bytes long, a small part of what it answers:
  /// 0 … 1,000,000.
  public var cookieRepliesPerSecond = 10_000
  /// Datagrams a second, at most, whose sender is told that this side has lost the connection, as it has when its process was started
  /// anew: 0 … 1,000,000. Each answer is 38 bytes long, and no longer than what it answers. With 0 nobody is told, and no peer gets a
  /// token by which it would believe it: for hosts that have identity, machine id, host name, address and port in common.
  public var resetsPerSecond = 1000
  /// Of the half-open, from one network (IPv4 /24, IPv6 /48), and no more than half of the slots that connections leave: beyond it
  /// strangers have to prove their address, of which so many are answered, too: 1 … 16,777,216.
  public var maximumHalfOpenPerPrefix = 2048
  /// Incoming connections of one key at the same time, from message 3 until the slot is free, a few seconds after the end; a further
  /// one is refused like a key: 0 … 16,777,216. 0 is no limit.
  public var maximumConnectionsPerIdentity = 0
  /// The same for those from one network (IPv4 /24, IPv6 /48), whoever they are: 0 … 16,777,216. One that moves there is not refused,
  /// and counts.
  public var maximumConnectionsPerPrefix = 0
  /// The most packets that the peer may send beyond what the reader has taken: 2 … 16,777,215. It is an allowance, not
  /// memory, and begins smaller: it doubles when the peer makes use of it and the reader keeps up.
  public var receiveWindow = 0xFF_FFFF
  /// Bytes that early or unread data of all peers together may occupy, with what finds it again: 65,536 … 2^40.
  public var receivePoolBytes = 256 << 20
  /// Of these, the most that one peer may have: 65,536 … 2^40. A peer may never have more than twice what it leaves, either.
  public var receivePeerBytes = 128 << 20
  /// Bytes that one peer may make the engine remember of what was sent to it and not acknowledged in order, 16 a packet: 65,536 …
  /// 2^28. That is no bound on bandwidth: 2^28 is for the whole of a 24-bit window.
  public var sendPeerBytes = 256 << 20
  /// Bytes that one connection may hold of what `Engine.write` has taken and the peer has not acknowledged: 65,536 … 2^30. So it moves
  /// at most as much in a round trip.
  public var writePeerBytes = 4 << 20
  /// The same of all connections together: 65,536 … 2^40. It is taken in steps of 4 KiB for each, as bytes are written. One connection
  /// may hold no more than it leaves to the others, of all but an eighth, but 16 KiB in any case, as long as there is any.
  public var writePoolBytes = 256 << 20
  /// The congestion controller of new connections; `Engine.setCongestionControl` changes that of one.
  public var congestion = CongestionAlgorithm.bbr
  /// Packets to send before the first acknowledgement, for each 100 ms of round trip up to 600: 1 … 64 (RFC 6928
  /// recommends 10).
  public var initialWindow = 32
  /// Ends a connection on which nothing authentic arrived; the smaller of both peers' offers: 100 ms … 7 days. 0 never does.
  public var idleTimeout: Nanoseconds = .seconds(30)
  /// Sends a PING when nothing was sent for so long, or for half of the agreed idle timeout if that is less: 100 ms … 7 days.
  /// 0 never does.
  public var keepAlive: Nanoseconds = .seconds(15)
  /// How long a reader may stand still, once its connection has ended, without losing what was acknowledged: 1 s … 7 days. It
  /// begins anew whenever the reader takes something, and a machine that was suspended, or a process that was stopped, spends an
  /// eighth of it at most, however long that was. 0 is for ever.
  public var unreadTimeout: Nanoseconds = .seconds(600)
  /// A connection over which nothing has moved for so long, and at least a probe timeout, gives up its congestion state and
  /// buffers: it costs a few hundred bytes until the next data starts anew from what was learnt of the path: up to 7 days. 0
  /// never does.
  public var restAfter: Nanoseconds = .seconds(1)
  /// The round trip that is expected before one is measured: 1 ms … 2 minutes. A dial tries again after three of it, and so does the
  /// first data of a peer whose round trip is not known. Over a path of tens of seconds both ends have to expect that, and
  /// `handshakeTimeout` and `idleTimeout` have to leave room for several.
  public var initialRoundTrip = RoundTripEstimate.usual
  /// Gives a handshake up: 100 ms … 1 hour.
  public var handshakeTimeout: Nanoseconds = .seconds(16)
  /// How long the peer may at most wait to acknowledge: up to 1 s.
  public var maximumAckDelay: Nanoseconds = .milliseconds(25)
  /// The peer is asked to acknowledge every so many packets, or four times a round trip if that is earlier (at once on loss):
  /// 1 … 1024.
  public var ackRatio = 256
  /// Data that connections send is marked as ECN-capable, ECT(0), and the kernel is asked how datagrams that come are marked (RFC 3168), so that
  /// a queue that marks need not drop. A path or a peer that does not keep the marks is found out, and is sent none
  /// (`PeerStatistics.ecn`). Both sides need it.
  public var usesECN = true
  /// Whether messages are sent and taken (`Engine.send`). Both sides need it.
  public var usesMessages = true
  /// What the lanes that this side sends messages on are like, at most 16: lane 0 is the first. A program that has said nothing has one
  /// ordered lane, 0, and one that is not ordered, 1.
  public var lanes = [LaneConfiguration(), LaneConfiguration(isOrdered: false)]
  /// When the stream's turn is, among the lanes: 0 … 7. Messages of lanes with a lower number go before what is new of the stream.
  public var streamPriority = 4
  /// The stream's share beside lanes of the same priority: 1 … 255.
  public var streamWeight = 1
  /// The longest message that this side takes: 1,024 … 16,777,216, and no more than a 256th of `receivePoolBytes` or a 128th of
  /// `receivePeerBytes`. Peers hear of it.
  public var maximumMessage = 1 << 20
  /// Bytes of messages that one connection may have that wait, or are not acknowledged: 65,536 … 2^30.
  public var messagePeerBytes = 16 << 20
  /// The same of all connections together, each message counted once: 65,536 … 2^40.
  public var messagePoolBytes = 256 << 20
  /// AEADs in order of preference; what the machine lacks is skipped. The initiator's order decides.
  public var aeads: [AEAD] = [.aes256GCM, .chacha20Poly1305]
  /// What this side speaks over its connections, in order of preference, which counts when it dials; empty says nothing of it. A listener
  /// that has some refuses a peer that names none of them, and a dialler ends a dial of a listener that lists none
  /// (`CloseReason.noCommonProtocol`); what is agreed tells `Engine.applicationProtocol`. At most 255 names, and where connections are
  /// accepted at most 128 bytes together, with one more for each. The original peer has none, and is not asked.
  public var applicationProtocols: [ApplicationProtocol] = []
  /// Whether a peer that is refused after its handshake is told why (`CloseCode.keyRefused`, `resources`, `noCommonProtocol`), and need
  /// not find out by silence. Whoever dials then learns whether his key is wanted.
  public var reportsRefusals = true
  /// Whether a listener also takes connections of the original peer (version 0). Its static keys are throw-away, so
  /// a rule for keys (`PeerKeys`) sees a key that it has never seen, and anyone in the middle can read along.
  public var acceptsOriginal = false
  /// Who may connect. Programs say so where they make an endpoint or a reactor, which have no default.
  package var accepting = PeerKeys.anyone
  /// First sequence number of every stream; for tests of the wrap. Both peers must agree on it.
  package var initialSequence: UInt32 = 0
  /// Bits of a packet number within one key epoch; for tests of the change. Both peers must agree on it.
  package var keyEpochBits: UInt64 = 24
  /// Connections that may hold their flows until `restAfter` has passed; beyond it they rest as soon as they can.
  package var flowsAtLeisure = 1024
  /// Flows of connections that rest or have ended whose memory is kept for the next that is needed, at most.
  package var flowsKept = 1024
  /// The window before anything is known of the path; for simulations that leave the start out.
  package var initialReceiveWindow = 16_384
  /// Features that are named in the handshake beside those that are in use, by bit. For tests.
  package var features: UInt8 = 0
  package var allFeatures: UInt8 { features | (usesMessages ? Feature.messages : 0) }
  /// The number of the first message in each lane, of both sides; for tests.
  package var initialMessageNumber: UInt32 = 0
  /// Message 3 is padded to so many bytes, or as long as the first message 1 if that is less; for tests.
  package var message3Bytes = 0
  /// Bytes of each early payload that are kept, for simulations of payloads that nobody looks at; 0 is all of them.
  package var storedPayloadBytes = 0

  /// All defaults.
  public init() {}

  package var acceptsConnections: Bool { !accepting.isNobody }

  /// `receiveWindow`, or what may be promised of the memory that one peer may have.
  package var largestReceiveWindow: Int {
    let bytes = min(receivePeerBytes, receivePoolBytes)
    let payload = storedPayloadBytes > 0 ? storedPayloadBytes : max(maximumDatagram, 1400)
    return max(min(receiveWindow, ReceiveWindow.overcommitment * (bytes / payload)), 2)
  }

  /// `maximumMessage`, or what there is always room for: a message of each priority, of one peer at least, in what early data leaves of the
  /// receive pool.
  package var largestMessage: Int {
    max(min(maximumMessage, receivePoolBytes / 256, receivePeerBytes / 128), 1024)
  }

  /// Packets for which there is room in `sendPeerBytes`: a power of two, as the ring is.
  package var largestSendWindow: UInt32 {
    var packets = SendWindow.smallestRing
    while 2 * packets * MemoryLayout<SendWindow.Sent>.stride <= sendPeerBytes { packets *= 2 }
    return UInt32(min(packets, Int(PacketWindow.largest)))
  }

  /// Throws the first field that is out of range. The ranges here are the table that doc comments and docs/tuning.md are checked
  /// against (scripts/check-knobs).
  public func validate() throws(ConfigurationError) {
    func check(_ field: String, _ value: Int, _ range: ClosedRange<Int>) throws(ConfigurationError) {
      guard range.contains(value) else {
        throw .outOfRange(field: field, allowed: "\(range.lowerBound) … \(range.upperBound)")
      }
    }
    try check("maximumDatagram", maximumDatagram, 1200...16_384)
    try check("maximumPeers", maximumPeers, 1...(1 << 24))
    try check("maximumHalfOpen", maximumHalfOpen, 1...(1 << 24))
    try check("halfOpenMark", halfOpenMark, 0...(1 << 24))
    try check("cookieRepliesPerSecond", cookieRepliesPerSecond, 0...1_000_000)
    try check("resetsPerSecond", resetsPerSecond, 0...1_000_000)
    try check("maximumHalfOpenPerPrefix", maximumHalfOpenPerPrefix, 1...(1 << 24))
    try check("maximumConnectionsPerIdentity", maximumConnectionsPerIdentity, 0...(1 << 24))
    try check("maximumConnectionsPerPrefix", maximumConnectionsPerPrefix, 0...(1 << 24))
    try check("receiveWindow", receiveWindow, 2...Int(PacketWindow.largest))
    try check("receivePoolBytes", receivePoolBytes, 1 << 16...1 << 40)
    try check("receivePeerBytes", receivePeerBytes, 1 << 16...1 << 40)
    try check("sendPeerBytes", sendPeerBytes, 1 << 16...1 << 28)
    try check("writePeerBytes", writePeerBytes, 1 << 16...1 << 30)
    try check("writePoolBytes", writePoolBytes, 1 << 16...1 << 40)
    try check("maximumMessage", maximumMessage, 1024...1 << 24)
    try check("messagePeerBytes", messagePeerBytes, 1 << 16...1 << 30)
    try check("messagePoolBytes", messagePoolBytes, 1 << 16...1 << 40)
    try check("streamPriority", streamPriority, 0...7)
    try check("streamWeight", streamWeight, 1...255)
    try validateLanes()
    try check("initialWindow", initialWindow, 1...64)
    try check("ackRatio", ackRatio, 1...1024)
    try validateTimes()
    let names = ProtocolNames(applicationProtocols).bytes.count
    guard applicationProtocols.count <= ProtocolNames.most, names <= ProtocolNames.longestList || !acceptsConnections
    else {
      throw .outOfRange(
        field: "applicationProtocols",
        allowed: "255 names, and of a listener 128 bytes together with one more for each")
    }
    guard aeads.contains(.chacha20Poly1305) else {
      throw .outOfRange(field: "aeads", allowed: "a list with chacha20Poly1305, which every peer can do")
    }
  }

  private func validateLanes() throws(ConfigurationError) {
    guard lanes.count <= MessageFrame.lanes else { throw .outOfRange(field: "lanes", allowed: "at most 16") }
    for lane in lanes {
      guard (0...7).contains(lane.priority), (1...255).contains(lane.weight),
        (1024...1 << 30).contains(lane.maximumBytes),
        !lane.isOrdered || lane.whenFull != .keepLatest
      else {
        throw .outOfRange(
          field: "lanes",
          allowed:
            "priorities 0 … 7, weights 1 … 255, bounds 1,024 … 2^30 bytes; only an unordered lane keeps the latest message"
        )
      }
    }
  }

  private func validateTimes() throws(ConfigurationError) {
    let week: Nanoseconds = .seconds(7 * 24 * 3600)
    func check(
      _ field: String, _ value: Nanoseconds, _ range: ClosedRange<Nanoseconds>, orNever: Bool, _ allowed: String
    ) throws(ConfigurationError) {
      guard range.contains(value) || (orNever && value == 0) else {
        throw .outOfRange(field: field, allowed: orNever ? "0, or \(allowed)" : allowed)
      }
    }
    try check("idleTimeout", idleTimeout, .milliseconds(100)...week, orNever: true, "100 ms … 7 days")
    try check("keepAlive", keepAlive, .milliseconds(100)...week, orNever: true, "100 ms … 7 days")
    try check("unreadTimeout", unreadTimeout, .seconds(1)...week, orNever: true, "1 s … 7 days")
    try check("restAfter", restAfter, 1...week, orNever: true, "up to 7 days")
    try check(
      "handshakeTimeout", handshakeTimeout, .milliseconds(100)...(.seconds(3600)), orNever: false, "100 ms … 1 hour")
    try check(
      "initialRoundTrip", initialRoundTrip, .milliseconds(1)...(.seconds(120)), orNever: false, "1 ms … 2 minutes")
    try check("maximumAckDelay", maximumAckDelay, 0...(.seconds(1)), orNever: false, "0 … 1 s")
  }
}

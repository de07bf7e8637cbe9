// SPDX-License-Identifier: MIT
/// The permanent header of a connection: what stands from its beginning until its slot is free, whether anything moves or not, and stands
/// nowhere else. What exists only while something moves is its `Flow`.
package struct ConnectionHeader: BitwiseCopyable {
  package var lastReceived: Instant = 0
  package var lastSent: Instant = 0
  /// The smaller of both offers; 0 is none.
  package var idleTimeout: Nanoseconds = 0
  /// What the user knows the connection by, if not by its own id: the id of the dial's first attempt. 0 is its own.
  package var handle: UInt64 = 0
  /// The largest packet number that the peer has reported, and its counts of datagrams with CE, and with that or ECT(0).
  package var highestAcknowledged: UInt64 = 0
  package var highestCE: UInt64 = 0
  package var highestMarked: UInt64 = 0
  package var retransmissions: UInt64 = 0
  package var authenticationFailures: UInt64 = 0
  /// What the peer has promised, and what it asked for.
  package var peerMaximumAckDelay: Nanoseconds = .milliseconds(25)
  package var epochs: KeyEpochs
  package var peerAckRatio: UInt16 = 2
  /// Something was taken for lost, or a probe timeout has passed with data outstanding.
  package var hasLost = false
  package var aead = AEAD.chacha20Poly1305
  /// What is agreed: the application protocol, by its place in this side's configuration from 1 on, and the features that both have.
  package var applicationProtocol: UInt8 = 0
  package var features: UInt8 = 0
  /// Of its messages: what is to be sent, where its lanes stand, and the first of its memberships in groups.
  package var outbox = MessageNode.none
  package var lanes = MessageNode.none
  package var memberships = MessageNode.none
  /// The longest that the peer takes.
  package var peerMaximumMessage: UInt32 = 0
  /// What is left of its flow while it rests; while it has one, this means nothing.
  package var rest = RestingRow()

  package init() { epochs = KeyEpochs(bits: 24) }

  /// Of a connection that begins.
  package init(configuration: EngineConfiguration, now: Instant) {
    epochs = KeyEpochs(bits: configuration.keyEpochBits)
    idleTimeout = configuration.idleTimeout
    lastReceived = now
    lastSent = now
  }

  /// Takes over what the peer has said of itself in its authenticated payloads.
  package mutating func agree(_ peer: HandshakeParameters, configuration: EngineConfiguration) {
    peerAckRatio = peer.ackRatio
    peerMaximumAckDelay = .microseconds(UInt64(peer.maximumAckDelayMicroseconds))
    features = configuration.allFeatures & UInt8(truncatingIfNeeded: peer.features)
    peerMaximumMessage = peer.maximumMessage
    let offered = Nanoseconds.milliseconds(UInt64(peer.idleTimeoutMilliseconds))
    if offered != 0 { idleTimeout = idleTimeout == 0 ? offered : min(idleTimeout, offered) }
  }

  @inline(__always)
  package var idleDeadline: Instant { idleTimeout == 0 ? .never : lastReceived + idleTimeout }

  /// A PING leaves half an idle timeout after what was sent last, at the latest: should it be lost, there is time to send it again
  /// (`Flow.probeDeadline`).
  @inline(__always)
  package func keepAliveDeadline(_ interval: Nanoseconds) -> Instant {
    if interval == 0 { return .never }
    return lastSent + (idleTimeout == 0 ? interval : min(interval, idleTimeout / 2))
  }

  /// RFC 9001, 6.6: the integrity limits of both AEADs, over the connection.
  @inline(__always)
  package var isKeyExhausted: Bool { authenticationFailures > (aead == .aes256GCM ? 1 << 52 : 1 << 36) }
}

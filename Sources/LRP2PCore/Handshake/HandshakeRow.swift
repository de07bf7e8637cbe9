// SPDX-License-Identifier: MIT
/// What a connection needs only until its handshake is confirmed.
package struct HandshakeRow: ~Copyable {
  package var noise: NoiseHandshake
  /// The datagram to send, and to send again: message 1, 2 or 3 behind its connection id.
  package var datagram: Arena
  package var length = 0
  /// The same message 1 has left more than once: what answers it says nothing of the round trip.
  package var isRepeated = false
  /// The id of the dial's first attempt; 0 for that one, and for responders.
  package var firstAttempt: UInt64 = 0
  /// The addresses of the dial, with the further attempts; kept by its first.
  package var targets: [DialTarget] = []
  /// When the dial is given up, where that is not `handshakeTimeout`; kept by its first.
  var timeout: Nanoseconds?
  /// A cookie was asked for in answer to this attempt.
  package var isRefused = false
  /// Common to all attempts of a dial.
  package var token: (UInt64, UInt64) = (0, 0)
  /// Datagrams held back that came ahead of message 3.
  package var held = 0
  /// When message 1 has left for the first time, `.never` before that. Of a responder: when it came.
  package var started: Instant
  package var sentAt: Instant = 0
  package var nextAttempt: Instant = .never
  /// The ephemeral key of the message that was answered, of message 3 its first 32 bytes: a repeat of it gets the same answer.
  package var answeredKey = PublicKey()
  /// Hash of the entry in the table of attempts, 0 for none; responders only.
  package var attemptHash: UInt64 = 0
  /// What `datagram` holds is no message 2 but the refusal of message 3; responders only.
  package var isTurnedAway = false
  /// Of a responder: whether the row is in a list of half-open handshakes, in that of proved addresses, and its neighbours there.
  package internal(set) var isHalfOpen = false
  package internal(set) var isProved = false
  var older: Slot?
  var newer: Slot?
  /// Its address has shown within minutes that it receives; one that was told a cookie hours ago may have nobody any more.
  package var receivesNow = false
  /// What the initiator's program has to say in message 3; kept by the first attempt, and in the end by the one that has won.
  package var payload = ProgramBytes()
  /// Whom the initiator talks to.
  package var expected = PeerKeys.nobody
  /// What a dial offers, or what came of it. Of a responder: what the initiator speaks.
  package var versions = VersionPolicy.version1

  package init(noise: NoiseHandshake, byteCount: Int, started: Instant) {
    self.noise = noise
    self.started = started
    datagram = Arena(byteCount: byteCount)
  }

  /// What is sent from here on, and sent again.
  package mutating func replaceDatagram(_ arena: consuming Arena, length: Int) {
    datagram = arena
    self.length = length
  }

  /// When the handshake is given up.
  @inline(__always)
  package func deadline(_ timeout: Nanoseconds) -> Instant {
    started == .never ? .never : started + (self.timeout ?? timeout)
  }
}

extension HandshakeRow {
  /// What stands where data has its packet number, in the next message that is written. Message 1 has none, nor has version 0.
  private var kind: HandshakeKind? { noise.step == 0 || versions == .original ? nil : .noise }

  private var headerLength: Int { kind == nil ? Datagram.message1HeaderLength : Datagram.handshakeHeaderLength }

  /// What the next datagram has beside its payload.
  package var overhead: Int { headerLength + noise.overhead }

  /// Writes the next Noise message behind the connection id and its kind; `false` when the key agreement gives zero. The payload are
  /// the first `payloadLength` bytes of `scratch`.
  package mutating func write(
    _ scratch: borrowing Arena, _ payloadLength: Int, id: UInt64, secrets: borrowing EngineSecrets,
    suite: any CipherSuite
  ) -> Bool {
    let payload = scratch.bytes(0, payloadLength)
    // A copy of the Noise state, as the row's datagram is being written.
    var next = noise
    defer { next.wipe() }
    let (header, kind) = (headerLength, kind)
    var out = datagram.mutableBytes(0, header + next.overhead + payload.byteCount)
    out.setBigEndian64(0, id)
    if let kind { out.setBigEndian64(8, kind.word) }
    var message = out._mutatingExtracting(header..<out.byteCount)
    guard let written = next.write(payload: payload, into: &message, staticSecret: secrets.staticKey, suite: suite)
    else { return false }
    length = header + written
    noise = next
    return true
  }
}

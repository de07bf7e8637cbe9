/// What a connection with the original peer (protocol version 0) needs beside its flow.
package struct OriginalPeer: ~Copyable {
  /// Payload bytes of a data segment: 1400 less 6 and the 64 that the original reserves for cryptography.
  package static var capacity: Int { 1330 }
  /// It takes no more than this beyond its last in-order segment; what lies further it acknowledges and throws away.
  package static var window: UInt32 { 65_534 }
  /// From here on it acknowledges without ever delivering.
  package static var lastSequence: UInt32 { 4_294_901_761 }
  /// Data right behind message 3 meets a peer that still works on it, and ends the connection there.
  package static var pauseAfterMessage3: Nanoseconds { .milliseconds(20) }
  private static var message3Interval: Nanoseconds { .milliseconds(4) }
  private static var firstRepeat: Nanoseconds { .milliseconds(250) }
  /// An idle peer of this kind is silent: how long one is kept of which nothing is known.
  package static var longestSilence: Nanoseconds { .seconds(3600) }

  /// Segments to acknowledge, one datagram each: number in the upper half, then the last in-order number.
  package var acks = Queue<UInt64>(minimumCapacity: 16, filler: 0)
  /// The newest last in-order number that it has told; 0 also stands for none.
  package var heardInOrder: UInt32 = 0
  /// The entry in the foreign table, kept for the whole connection; responders only.
  package var foreignHash: UInt64 = 0
  /// When message 3 (an initiator's) or message 2 (a responder's) leaves once more.
  package private(set) var repeatDeadline: Instant = .never
  private var repeatsLeft = 0
  private var repeatInterval: Nanoseconds = 0
  /// No data leaves before.
  package var sendNotBefore: Instant = 0
  /// When the connection fell silent with nothing outstanding; .never while it has not.
  package var silentSince: Instant = .never

  package init() {}

  /// It sends every message once: a lost message 2 is repeated here, three times at most.
  package mutating func repeatMessage2(now: Instant) {
    repeatsLeft = 3
    repeatInterval = Self.firstRepeat
    repeatDeadline = now + repeatInterval
  }

  /// Message 3 leaves three times within a few milliseconds: overtaken by data or lost, it ends the connection there.
  package mutating func repeatMessage3(now: Instant) {
    repeatsLeft = 2
    repeatInterval = Self.message3Interval
    repeatDeadline = now + repeatInterval
    sendNotBefore = now + Self.pauseAfterMessage3
  }

  /// Whether a repeat is due; sets the next.
  package mutating func takeRepeat(now: Instant) -> Bool {
    guard repeatDeadline <= now else { return false }
    repeatsLeft -= 1
    if repeatInterval >= Self.firstRepeat { repeatInterval *= 2 }
    repeatDeadline = repeatsLeft > 0 ? now + repeatInterval : .never
    return true
  }

  package mutating func stopRepeating() { repeatDeadline = .never }

  /// 40 bytes that may be its message 1: an ephemeral key does not begin with zeros, a packet number does.
  package static func isMessage1(_ datagram: RawSpan) -> Bool {
    datagram.byteCount == 40 && (datagram.bigEndian16(8) != 0 || datagram.byte(10) != 0)
  }
}

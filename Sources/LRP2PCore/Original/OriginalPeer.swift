// SPDX-License-Identifier: MIT
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
  package static var message3Interval: Nanoseconds { .milliseconds(3) }
  /// An idle peer of this kind is silent: how long one is kept of which nothing is known.
  package static var longestSilence: Nanoseconds { .seconds(3600) }

  /// Segments to acknowledge, one datagram each: number in the upper half, then the last in-order number.
  package var acks = Queue<UInt64>(minimumCapacity: 16, filler: 0)
  /// The newest last in-order number that it has told; 0 also stands for none.
  package var heardInOrder: UInt32 = 0
  /// How often an initiator's message 3 leaves once more: three times within a few milliseconds. Overtaken by data or lost, it ends
  /// the connection there.
  package var repeatsLeft = 2
  /// When the connection fell silent with nothing outstanding; .never while it has not.
  package var silentSince: Instant = .never

  package init() {}

  /// 40 bytes that may be its message 1: an ephemeral key does not begin with zeros, a packet number does, nor with what version 1's
  /// replies have there.
  package static func isMessage1(_ datagram: RawSpan) -> Bool {
    datagram.byteCount == 40 && !Datagram.isHandshake(datagram.bigEndian64(8))
      && (datagram.bigEndian16(8) != 0 || datagram.byte(10) != 0)
  }
}

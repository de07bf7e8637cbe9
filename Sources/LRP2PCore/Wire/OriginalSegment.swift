// SPDX-License-Identifier: MIT
/// A segment of the original peer (version 0), whose ACKs name one sequence number each and come in two forms: data
/// offset 9 with a window of three bytes as published, and data offset 10 with four as the original writes it.
package struct OriginalSegment: BitwiseCopyable, Equatable {
  package var flags: UInt8 = 0
  /// Sequence number (data) or last in-order number (ACK).
  package var number: UInt32 = 0
  package var window: UInt32 = 0
  /// ACK only: the sequence number that caused it, if the payload holds one.
  package var answered: UInt32? = nil
  package var payloadOffset = 0

  package var isAck: Bool { flags & SegmentFlag.ack != 0 }

  package init() {}

  package static func parse(_ bytes: RawSpan) throws(Malformed) -> OriginalSegment {
    guard bytes.byteCount >= Segment.dataLength else { throw Malformed() }
    var segment = OriginalSegment()
    let payload = Int(bytes.byte(0))
    segment.flags = bytes.byte(1)
    segment.number = bytes.bigEndian32(2)
    segment.payloadOffset = payload
    let fixed = segment.isAck ? Segment.ackLength : Segment.dataLength
    guard payload >= fixed, payload <= bytes.byteCount else { throw Malformed() }
    if segment.isAck {
      segment.window =
        payload == 10 ? bytes.bigEndian32(6) : UInt32(bytes.bigEndian16(6)) << 8 | UInt32(bytes.byte(8))
      if bytes.byteCount >= payload + 4 { segment.answered = bytes.bigEndian32(payload) }
    }
    return segment
  }
}

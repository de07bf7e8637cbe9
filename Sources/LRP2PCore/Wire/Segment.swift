// SPDX-License-Identifier: MIT
/// The flags of a segment. The first four are the original's, the others are version 1's. 128 is free, and ignored.
package enum SegmentFlag {
  package static let ack: UInt8 = 1
  /// First segment of a direction.
  package static let syn: UInt8 = 2
  /// Last data segment of a direction.
  package static let fin: UInt8 = 4
  /// A retransmission.
  package static let rto: UInt8 = 8
  /// Answer at once.
  package static let ackNow: UInt8 = 32
  package static let control: UInt8 = 64

  /// A data segment carries messages; an ACK holds the stream back. Critical where messages are not in force.
  package static let messages: UInt8 = 16
  package static let ignored: UInt8 = 128
}

/// The options between the fixed fields and the payload. An unknown even type is skipped, an unknown odd one is critical.
package enum SegmentOption {
  /// One byte, without a length.
  package static let padding: UInt8 = 0
  /// Last in-order number (4), window (3), ACK block (up to 193).
  package static let ack: UInt8 = 2
  /// Byte offset (2) and total (2) of one piece of a segment.
  package static let fragment: UInt8 = 3

  /// The types that mean nothing for ever: 0x0A, 0x1A … 0xFA.
  package static func meaningless(_ random: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: random) & 0xF0 | 0x0A }
}

/// The header of one segment, read from untrusted bytes.
package struct Segment: BitwiseCopyable {
  package enum Kind: UInt8, BitwiseCopyable { case data, ack, control }

  /// Fixed fields, in bytes: data offset 1, flags 1, and number 4; or kind 2, token 2; or number 4, window 3.
  package static let dataLength = 6
  package static let controlLength = 6
  package static let ackLength = 9

  /// Payload bytes of a full data segment in a datagram of so many bytes.
  package static func capacity(datagram: Int) -> Int {
    datagram - Datagram.headerLength - dataLength - Datagram.tagLength
  }

  package var kind = Kind.data
  package var flags: UInt8 = 0
  /// Sequence number (data) or last in-order number (ACK).
  package var number: UInt32 = 0
  /// ACK only: how many packets beyond `number` may be sent.
  package var window: UInt32 = 0
  package var controlKind: UInt16 = 0
  package var token: UInt16 = 0
  /// Where the payload begins.
  package var payloadOffset = 0
  /// The value of an ACK option; length 0 when there is none.
  package var ackOptionOffset = 0
  package var ackOptionLength = 0
  package var ackOption: Range<Int> { ackOptionOffset..<ackOptionOffset + ackOptionLength }
  package var fragmentOffset: UInt16 = 0
  /// 0 when the segment is whole.
  package var fragmentTotal: UInt16 = 0
  /// What ends the connection; the other fields count for nothing then.
  package var unknownCritical: UnknownCritical?

  package init() {}

  package func has(_ flag: UInt8) -> Bool { flags & flag != 0 }
  /// Whether it asks for an acknowledgement: data and PING, CHALLENGE or an unknown control do.
  package var isAckEliciting: Bool {
    switch kind {
    case .data: true
    case .ack: false
    case .control: controlKind != Control.pong && controlKind != Control.response && controlKind != Control.close
    }
  }

  /// - Parameter hasMessages: whether messages are in force (feature 0).
  @inline(__always)
  package static func parse(_ bytes: RawSpan, hasMessages: Bool = false) throws(Malformed) -> Segment {
    guard bytes.byteCount >= dataLength else { throw Malformed() }
    var segment = Segment()
    let payload = Int(bytes.byte(0))
    segment.flags = bytes.byte(1)
    segment.payloadOffset = payload
    if segment.has(SegmentFlag.messages), !hasMessages || segment.has(SegmentFlag.control) {
      segment.unknownCritical = .flag(SegmentFlag.messages)
      return segment
    }
    var fixed = dataLength
    if segment.flags & (SegmentFlag.ack | SegmentFlag.control) == 0 {
      segment.number = bytes.bigEndian32(2)
    } else if segment.has(SegmentFlag.control) {
      segment.kind = .control
      segment.controlKind = bytes.bigEndian16(2)
      segment.token = bytes.bigEndian16(4)
      if segment.controlKind >= Control.firstCritical { segment.unknownCritical = .control(segment.controlKind) }
    } else {
      guard bytes.byteCount >= ackLength else { throw Malformed() }
      fixed = ackLength
      segment.kind = .ack
      segment.number = bytes.bigEndian32(2)
      segment.window = UInt32(bytes.bigEndian16(6)) << 8 | UInt32(bytes.byte(8))
    }
    guard payload >= fixed, payload <= bytes.byteCount else { throw Malformed() }
    if payload > fixed { try segment.parseOptions(bytes, from: fixed) }
    return segment
  }

  /// The sequence number of a data segment without options that neither ends its stream nor asks for an ACK at once, as most
  /// do; `nil` of any other, and of what is none.
  @inline(__always)
  package static func plainNumber(_ bytes: RawSpan) -> UInt32? {
    guard bytes.byteCount >= dataLength, Int(bytes.byte(0)) == dataLength,
      bytes.byte(1) & ~(SegmentFlag.syn | SegmentFlag.rto) == 0
    else { return nil }
    return bytes.bigEndian32(2)
  }

  private mutating func parseOptions(_ bytes: RawSpan, from start: Int) throws(Malformed) {
    var at = start
    while at < payloadOffset {
      // What stands behind it counts for nothing, well made or not.
      if unknownCritical != nil { return }
      let type = bytes.byte(at)
      if type == SegmentOption.padding {
        at += 1
        continue
      }
      guard at + 2 <= payloadOffset else { throw Malformed() }
      let length = Int(bytes.byte(at + 1))
      let value = at + 2
      guard value + length <= payloadOffset else { throw Malformed() }
      switch type {
      case SegmentOption.ack:
        guard length >= 7, ackOptionLength == 0, kind != .ack else { throw Malformed() }
        ackOptionOffset = value
        ackOptionLength = length
      case SegmentOption.fragment:
        guard length == 4, kind == .data, fragmentTotal == 0 else { throw Malformed() }
        fragmentOffset = bytes.bigEndian16(value)
        fragmentTotal = bytes.bigEndian16(value + 2)
        guard fragmentOffset < fragmentTotal else { throw Malformed() }
      default:
        if type & 1 == 1 { unknownCritical = .option(type) }
      }
      at = value + length
    }
  }

  // MARK: Writing

  /// 6 bytes; the payload follows.
  @inline(__always) @_lifetime(bytes: copy bytes)
  package static func writeData(flags: UInt8, sequence: UInt32, into bytes: inout MutableRawSpan) {
    bytes.setByte(0, UInt8(dataLength))
    bytes.setByte(1, flags)
    bytes.setBigEndian32(2, sequence)
  }

  /// What the option of a piece takes.
  package static let pieceOptionLength = 6

  /// 12 bytes; the piece follows.
  @_lifetime(bytes: copy bytes)
  package static func writePiece(
    flags: UInt8, sequence: UInt32, offset: Int, total: Int, into bytes: inout MutableRawSpan
  ) {
    bytes.setByte(0, UInt8(dataLength + pieceOptionLength))
    bytes.setByte(1, flags)
    bytes.setBigEndian32(2, sequence)
    bytes.setByte(6, SegmentOption.fragment)
    bytes.setByte(7, 4)
    bytes.setBigEndian16(8, UInt16(offset))
    bytes.setBigEndian16(10, UInt16(total))
  }

  /// 9 bytes; the ACK block follows.
  @_lifetime(bytes: copy bytes)
  package static func writeAck(flags: UInt8, lastInOrder: UInt32, window: UInt32, into bytes: inout MutableRawSpan) {
    precondition(window <= PacketWindow.largest)
    bytes.setByte(0, UInt8(ackLength))
    bytes.setByte(1, flags | SegmentFlag.ack)
    bytes.setBigEndian32(2, lastInOrder)
    bytes.setBigEndian16(6, UInt16(window >> 8))
    bytes.setByte(8, UInt8(window & 0xFF))
  }

  /// 6 bytes; the body follows.
  @_lifetime(bytes: copy bytes)
  package static func writeControl(flags: UInt8, kind: UInt16, token: UInt16, into bytes: inout MutableRawSpan) {
    bytes.setByte(0, UInt8(controlLength))
    bytes.setByte(1, flags | SegmentFlag.control)
    bytes.setBigEndian16(2, kind)
    bytes.setBigEndian16(4, token)
  }
}

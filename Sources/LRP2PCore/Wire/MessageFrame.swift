// SPDX-License-Identifier: MIT
/// One frame of a segment of messages, read from untrusted bytes: a message, a part of one, or word that one will not come.
///
///     whole     head 1 ‖ number (ordered lanes only) ‖ length ‖ bytes
///     fragment  head 1 ‖ number ‖ total ‖ offset ‖ length ‖ bytes
///     skip      head 1 ‖ number
///     padding   head 1 ‖ anything
///
/// All but the head are varints. The length is left out where the head says so: the frame is then the segment's last.
package struct MessageFrame: BitwiseCopyable {
  package enum Kind: UInt8, BitwiseCopyable { case whole, fragment, skip, padding }

  package var kind = Kind.whole
  package var lane: UInt8 = 0
  package var isOrdered = false
  /// Of an ordered lane the message's; of an unordered one that of a message in fragments. Counts from 0, modulo 2^30.
  package var number: UInt32 = 0
  /// Of a fragment: where its bytes are in the message, and how long that is.
  package var offset = 0
  package var total = 0
  /// Where its bytes begin in the segment's payload, and how many there are.
  package var start = 0
  package var length = 0

  package init() {}

  package static let lanes = 16
  package static let numberMask: UInt32 = (1 << 30) - 1
  private static let ordered: UInt8 = 1 << 4
  private static let last: UInt8 = 1 << 7

  /// The most that a frame takes beside its bytes.
  package static let longestHead = 1 + 4 + 4 + 4 + 4

  /// Reads the frame at `offset`, which moves to its end. A frame of padding takes all that is left.
  @inline(__always)
  package static func read(_ bytes: RawSpan, at offset: inout Int) throws(Malformed) -> MessageFrame {
    guard offset < bytes.byteCount else { throw Malformed() }
    let head = bytes.byte(offset)
    offset += 1
    var frame = MessageFrame()
    frame.lane = head & 15
    frame.isOrdered = head & ordered != 0
    frame.kind = Kind(rawValue: head >> 5 & 3)!
    switch frame.kind {
    case .padding:
      offset = bytes.byteCount
      return frame
    case .skip:
      frame.number = try number(bytes, at: &offset)
      return frame
    case .fragment:
      frame.number = try number(bytes, at: &offset)
      guard let total = Varint.read(bytes, at: &offset), let start = Varint.read(bytes, at: &offset), total < 1 << 32
      else { throw Malformed() }
      frame.total = Int(total)
      frame.offset = Int(start)
    case .whole:
      if frame.isOrdered { frame.number = try number(bytes, at: &offset) }
    }
    var length = bytes.byteCount - offset
    if head & last == 0 {
      guard let told = Varint.read(bytes, at: &offset), told <= UInt64(bytes.byteCount - offset) else {
        throw Malformed()
      }
      length = Int(told)
    }
    frame.start = offset
    frame.length = length
    offset += length
    // A part of a message lies within it, and is of use.
    guard frame.kind == .whole || (length > 0 && frame.offset <= frame.total - length) else { throw Malformed() }
    return frame
  }

  @inline(__always)
  private static func number(_ bytes: RawSpan, at offset: inout Int) throws(Malformed) -> UInt32 {
    guard let number = Varint.read(bytes, at: &offset), number <= UInt64(numberMask) else { throw Malformed() }
    return UInt32(number)
  }

  /// What it takes beside its bytes.
  @inline(__always)
  package func headLength(isLast: Bool) -> Int {
    var head = 1
    if kind != .whole || isOrdered { head += Varint.length(of: UInt64(number)) }
    if kind == .fragment { head += Varint.length(of: UInt64(total)) + Varint.length(of: UInt64(offset)) }
    if !isLast, kind == .whole || kind == .fragment { head += Varint.length(of: UInt64(length)) }
    return head
  }

  /// Writes all but its bytes at `at`, which moves to the end of that.
  @inline(__always) @_lifetime(bytes: copy bytes)
  package func write(into bytes: inout MutableRawSpan, at: inout Int, isLast: Bool) {
    let hasLength = kind == .whole || kind == .fragment
    bytes.setByte(
      at, lane | (isOrdered ? Self.ordered : 0) | kind.rawValue << 5 | (isLast && hasLength ? Self.last : 0))
    at += 1
    if kind != .whole || isOrdered { Varint.write(UInt64(number), into: &bytes, at: &at) }
    if kind == .fragment {
      Varint.write(UInt64(total), into: &bytes, at: &at)
      Varint.write(UInt64(offset), into: &bytes, at: &at)
    }
    if !isLast, hasLength { Varint.write(UInt64(length), into: &bytes, at: &at) }
  }

  /// How far `number` lies after `other`; negative before it.
  @inline(__always)
  package static func distance(_ number: UInt32, from other: UInt32) -> Int {
    Int(Int32(bitPattern: (number &- other) << 2) >> 2)
  }

  /// The number after `number`.
  @inline(__always)
  package static func next(_ number: UInt32) -> UInt32 { (number &+ 1) & numberMask }
}

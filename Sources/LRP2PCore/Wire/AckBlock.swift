// SPDX-License-Identifier: MIT
/// The block of an ACK: what a receiver has seen, beside the last in-order number and the window.
///
/// Varints: largest ack-eliciting packet number received, microseconds since it arrived, what is told behind, duplicates received,
/// ECT(0), ECT(1) and CE counts. Each interval: its start, counted from the first number above the last in-order one; its number
/// of runs times two, plus one if the first run is received; the runs' lengths, alternating between missing and received. An
/// interval describes every number in it. Then runs of packet numbers, downward from the largest (`PacketRuns`).
package struct AckBlock: BitwiseCopyable {
  package static let maximumIntervals = 8
  package static let maximumRuns = 512

  /// What is told beside the intervals, whose number stands above these bits.
  private enum Contents {
    static let duplicates: UInt64 = 1
    static let ecn: UInt64 = 2
    static let packets: UInt64 = 4
    static let bits = 3
  }

  package var largestPacketNumber: UInt64
  package var delayMicroseconds: UInt64
  package var duplicates: UInt64
  package var ect0: UInt64
  package var ect1: UInt64
  package var ce: UInt64
  package var intervalCount = 0
  package var tellsPackets = false
  /// Where the intervals begin in the block, and behind them, to its end, the runs of packet numbers.
  package var runsOffset = 0
  package var packetsOffset = 0

  package init(
    largestPacketNumber: UInt64, delayMicroseconds: UInt64, duplicates: UInt64, ect0: UInt64, ect1: UInt64, ce: UInt64
  ) {
    self.largestPacketNumber = largestPacketNumber
    self.delayMicroseconds = delayMicroseconds
    self.duplicates = duplicates
    self.ect0 = ect0
    self.ect1 = ect1
    self.ce = ce
  }

  /// Reads and checks a whole block: afterwards its runs are known to be few, non-empty and within a window's reach.
  package static func parse(_ bytes: RawSpan) throws(Malformed) -> AckBlock {
    var at = 0
    guard let largest = Varint.read(bytes, at: &at), let delay = Varint.read(bytes, at: &at),
      let contents = Varint.read(bytes, at: &at), contents >> UInt64(Contents.bits) <= UInt64(maximumIntervals)
    else { throw Malformed() }
    var block = AckBlock(
      largestPacketNumber: largest, delayMicroseconds: delay, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    if contents & Contents.duplicates != 0 { block.duplicates = try count(bytes, &at) }
    if contents & Contents.ecn != 0 {
      block.ect0 = try count(bytes, &at)
      block.ect1 = try count(bytes, &at)
      block.ce = try count(bytes, &at)
    }
    block.intervalCount = Int(contents >> UInt64(Contents.bits))
    block.tellsPackets = contents & Contents.packets != 0
    block.runsOffset = at
    var runs: UInt64 = 0
    for _ in 0..<block.intervalCount {
      guard let start = Varint.read(bytes, at: &at), let head = Varint.read(bytes, at: &at) else { throw Malformed() }
      let count = head >> 1
      guard count > 0, count <= UInt64(maximumRuns) - runs, start <= 0xFF_FFFF else { throw Malformed() }
      runs += count
      var end = start
      for _ in 0..<count {
        guard let length = Varint.read(bytes, at: &at), length > 0, length <= 0xFF_FFFF else { throw Malformed() }
        end += length
        guard end <= 0x100_0000 else { throw Malformed() }
      }
    }
    block.packetsOffset = at
    guard block.tellsPackets ? PacketRuns.areValid(bytes, from: at, largest: largest) : at == bytes.byteCount else {
      throw Malformed()
    }
    return block
  }

  private static func count(_ bytes: RawSpan, _ at: inout Int) throws(Malformed) -> UInt64 {
    guard let value = Varint.read(bytes, at: &at) else { throw Malformed() }
    return value
  }

  /// Writes what stands before the intervals: counts only where there are any.
  @_lifetime(bytes: copy bytes)
  fileprivate func writeHead(into bytes: inout MutableRawSpan, at: inout Int) {
    let tellsECN = ect0 | ect1 | ce != 0
    var contents = UInt64(intervalCount) << UInt64(Contents.bits)
    if duplicates != 0 { contents |= Contents.duplicates }
    if tellsECN { contents |= Contents.ecn }
    if tellsPackets { contents |= Contents.packets }
    Varint.write(largestPacketNumber, into: &bytes, at: &at)
    Varint.write(delayMicroseconds, into: &bytes, at: &at)
    Varint.write(contents, into: &bytes, at: &at)
    if duplicates != 0 { Varint.write(duplicates, into: &bytes, at: &at) }
    if tellsECN {
      Varint.write(ect0, into: &bytes, at: &at)
      Varint.write(ect1, into: &bytes, at: &at)
      Varint.write(ce, into: &bytes, at: &at)
    }
  }
}

/// Numbers `first ..< first + count`, all received or all missing.
package struct AckRun: BitwiseCopyable, Equatable {
  package var first: UInt32
  package var count: UInt32
  package var received: Bool
  package var startsInterval: Bool
}

/// Walks the runs of a block that `parse` has accepted.
package struct AckRunReader: BitwiseCopyable {
  private let origin: UInt32
  private var at: Int
  private var intervalsLeft: Int
  private var runsLeft: UInt64 = 0
  private var number: UInt32 = 0
  private var isReceived = false

  package init(block: AckBlock, lastInOrder: UInt32) {
    origin = lastInOrder &+ 1
    at = block.runsOffset
    intervalsLeft = block.intervalCount
  }

  @inline(__always)
  package mutating func next(_ bytes: RawSpan) -> AckRun? {
    var starts = false
    if runsLeft == 0 {
      guard intervalsLeft > 0, let start = Varint.read(bytes, at: &at), let head = Varint.read(bytes, at: &at) else {
        return nil
      }
      intervalsLeft -= 1
      runsLeft = head >> 1
      isReceived = head & 1 == 1
      number = origin &+ UInt32(truncatingIfNeeded: start)
      starts = true
    }
    guard runsLeft > 0, let length = Varint.read(bytes, at: &at) else { return nil }
    runsLeft -= 1
    let count = UInt32(truncatingIfNeeded: length)
    let run = AckRun(first: number, count: count, received: isReceived, startsInterval: starts)
    number = number &+ count
    isReceived.toggle()
    return run
  }
}

/// Writes a block; the caller has seen to it that it fits.
package struct AckBlockWriter: BitwiseCopyable {
  private let capacity: Int
  package private(set) var length = 0

  /// The most that the fields before the intervals take, and one interval's head, and one of its runs.
  package static let headerBound = 6 * 8 + 2
  package static let intervalBound = 8
  package static let runBound = 4

  package init(capacity: Int) { self.capacity = capacity }

  @_lifetime(bytes: copy bytes)
  package mutating func begin(_ block: AckBlock, into bytes: inout MutableRawSpan) {
    block.writeHead(into: &bytes, at: &length)
  }

  /// Behind the last interval.
  @_lifetime(bytes: copy bytes)
  package mutating func packets(_ runs: PacketRuns, into bytes: inout MutableRawSpan) {
    precondition(length + runs.byteCount <= capacity)
    runs.write(into: &bytes, at: length)
    length += runs.byteCount
  }

  /// - Parameter start: counted from the first number above the last in-order one.
  @_lifetime(bytes: copy bytes)
  package mutating func interval(start: UInt32, runCount: Int, firstReceived: Bool, into bytes: inout MutableRawSpan) {
    Varint.write(UInt64(start), into: &bytes, at: &length)
    Varint.write(UInt64(runCount) << 1 | (firstReceived ? 1 : 0), into: &bytes, at: &length)
  }

  @_lifetime(bytes: copy bytes)
  package mutating func run(_ count: UInt32, into bytes: inout MutableRawSpan) {
    Varint.write(UInt64(count), into: &bytes, at: &length)
    precondition(length <= capacity)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore

/// Numbers at which a comparison of sequence numbers, of windows or of packet numbers may change its answer.
package enum Boundary {
  /// Distances between two sequence numbers.
  package static let distances: [UInt32] = [
    0, 1, 1 << 23, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, .max,
  ]
  /// Added to them.
  package static let deltas: [UInt32] = [0, 1, .max, 2, UInt32.max - 1, 3, UInt32.max - 2, 64]
  package static let windows: [UInt32] = [0, 1, 2, 64, 16_384, (1 << 23) - 1, 1 << 23, (1 << 24) - 1]
  /// Offsets and lengths of pieces.
  package static let lengths: [UInt16] = [
    0, 1, 63, 64, 65, 128, 1280, 1343, 1344, 1362, 1363, 8192, 16_320, 16_383, 16_384, 16_385, .max,
  ]
  package static let runs: [UInt32] = [1, 2, 63, 64, 1 << 14, (1 << 23) - 1, 1 << 23, (1 << 24) - 1]
  /// Packet numbers beside those that a peer has sent.
  package static let packetNumbers: [UInt64] = [0, 1 << 31, 1 << 32, (1 << 62) - 1]
}

/// What stands next at one end of a connection, as whoever sees both ends knows it.
package struct PeerView {
  /// What it receives: the next number, what the reader has taken, the highest number, and how many may come.
  package var next: UInt32 = 0
  package var delivered: UInt32 = 0
  package var highest: UInt32 = 0
  package var window: UInt32 = 0
  /// What it sends: the oldest number that is not acknowledged in order, the next, and how far the other allows it to go.
  package var base: UInt32 = 0
  package var sendNext: UInt32 = 0
  package var edge: UInt32 = 0
  /// The newest packet number that it has sent; 0 before any.
  package var newest: UInt64 = 0

  package init() {}

  /// What has come lies within the window, and what is outstanding within the largest that there is.
  package var isWithinBounds: Bool {
    next &- delivered <= window && highest &- delivered <= window && sendNext &- base <= 1 << 24
  }

  /// - Returns: `nil` when nobody is connected there, or the connection rests.
  package init?(_ engine: borrowing Engine, id: UInt64) {
    guard let slot = engine.peers.slot(of: id), engine.peers.rows[slot].phase == .established,
      engine.peers.flows.contains(slot)
    else { return nil }
    next = engine.peers.flows[slot].receive.next
    delivered = engine.peers.flows[slot].receive.delivered
    highest = engine.peers.flows[slot].receive.highest
    window = engine.peers.flows[slot].receive.window
    base = engine.peers.flows[slot].send.base
    sendNext = engine.peers.flows[slot].send.next
    edge = engine.peers.flows[slot].send.edge
    newest = max(engine.peers.rows[slot].sendPacketNumber, 1) - 1
  }
}

/// Segments of anybody's making, well formed by their fields and with any numbers.
package enum RawSegment {
  static func big(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32($0))) }
  }

  package static func data(_ number: UInt32, flags: UInt8 = 0, _ payload: [UInt8]) -> [UInt8] {
    [UInt8(Segment.dataLength), flags] + big(number) + payload
  }

  package static func piece(
    _ number: UInt32, flags: UInt8 = 0, offset: UInt16, total: UInt16, _ payload: [UInt8]
  ) -> [UInt8] {
    let option = [UInt8(offset >> 8), UInt8(offset & 255), UInt8(total >> 8), UInt8(total & 255)]
    let head = [UInt8(Segment.dataLength + Segment.pieceOptionLength), flags] + big(number)
    return head + [SegmentOption.fragment, 4] + option + payload
  }

  package static func control(_ kind: UInt16, token: UInt16 = 0, flags: UInt8 = 0, _ body: [UInt8] = []) -> [UInt8] {
    let fields = [UInt8(kind >> 8), UInt8(kind & 255), UInt8(token >> 8), UInt8(token & 255)]
    return [UInt8(Segment.controlLength), flags | SegmentFlag.control] + fields + body
  }

  /// One interval of an ACK.
  package struct Interval {
    package var start: UInt32
    package var isFirstReceived: Bool
    package var runs: [UInt32]

    package init(start: UInt32, isFirstReceived: Bool, runs: [UInt32]) {
      self.start = start
      self.isFirstReceived = isFirstReceived
      self.runs = runs
    }
  }

  /// - Parameter packets: lengths of runs of packet numbers, from the largest down.
  package static func ack(
    _ lastInOrder: UInt32, window: UInt32, largest: UInt64, _ intervals: [Interval] = [], packets: [UInt64] = []
  ) -> [UInt8] {
    var arena = Arena(byteCount: 2048)
    var bytes = arena.mutableBytes(0, 2048)
    Segment.writeAck(flags: 0, lastInOrder: lastInOrder, window: min(window, 0xFF_FFFF), into: &bytes)
    var at = Segment.ackLength
    for value in [largest & ((1 << 62) - 1), 0, UInt64(intervals.count) << 3 | (packets.isEmpty ? 0 : 4)] {
      Varint.write(value, into: &bytes, at: &at)
    }
    for interval in intervals {
      let runs = interval.runs.prefix(256)
      Varint.write(UInt64(interval.start), into: &bytes, at: &at)
      Varint.write(UInt64(runs.count) << 1 | (interval.isFirstReceived ? 1 : 0), into: &bytes, at: &at)
      for run in runs where at < 1300 { Varint.write(UInt64(run), into: &bytes, at: &at) }
    }
    for run in packets.prefix(32) { Varint.write(run, into: &bytes, at: &at) }
    let written = arena.bytes(0, at)
    return (0..<at).map { written.byte($0) }
  }
}

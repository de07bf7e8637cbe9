// SPDX-License-Identifier: MIT
/// What one peer is still to be sent of messages: a queue for each lane. It exists only while something waits or is under way.
package struct Outbox: BitwiseCopyable {
  static var none: UInt32 { .max }
  /// There is none, and the peer stands among those for whose messages there was no memory (`MessageTable.waiting`).
  static var awaited: UInt32 { .max - 1 }
  /// The stream, among lanes.
  package static var stream: Int { MessageFrame.lanes }

  /// Of each lane the first and the last that waits, and the bytes of all.
  var heads = InlineArray<16, UInt32>(repeating: MessageNode.none)
  var tails = InlineArray<16, UInt32>(repeating: MessageNode.none)
  var laneBytes = InlineArray<16, UInt32>(repeating: 0)
  /// How many messages each lane has been given that only the latest of counts.
  var latest = InlineArray<16, UInt32>(repeating: 0)
  /// Bytes that each lane, and the stream, has sent, by its weight; who has the least is next (start-time fair queueing, Goyal et al. 1996).
  var served = InlineArray<17, UInt64>(repeating: 0)
  /// Of each priority the same of the one that was next last: one that has had nothing to send begins there.
  var clocks = InlineArray<8, UInt64>(repeating: 0)
  /// The lanes in which something waits.
  package var waiting: UInt16 = 0
  /// The lanes of which a part of the first has left.
  package var open: UInt16 = 0
  /// A call was answered with `full`.
  var isFull = false
  /// Segments of messages that are not acknowledged.
  var segments = 0
  /// Bytes of all its messages, those under way included.
  var bytes = 0

  package init() {}
}

/// What each lane of a connection is like: the configuration, in a form that costs nothing to read.
package struct LaneTable: BitwiseCopyable {
  var count = 0
  var priorities = InlineArray<17, UInt8>(repeating: 0)
  /// What a byte counts for: 65,536 divided by the weight.
  var costs = InlineArray<17, UInt64>(repeating: 65_536)
  var bounds = InlineArray<16, UInt32>(repeating: 0)
  var flags = InlineArray<16, UInt8>(repeating: 0)
  var dropsOldest: UInt16 = 0

  package init(_ configuration: EngineConfiguration) {
    count = min(configuration.lanes.count, MessageFrame.lanes)
    for index in 0..<count {
      let lane = configuration.lanes[index]
      priorities[index] = UInt8(min(max(lane.priority, 0), 7))
      costs[index] = 65_536 / UInt64(max(lane.weight, 1))
      bounds[index] = UInt32(clamping: lane.maximumBytes)
      flags[index] =
        (lane.isOrdered ? MessageNode.ordered : 0) | (lane.whenFull == .keepLatest ? MessageNode.latest : 0)
      if lane.whenFull == .dropOldest { dropsOldest |= 1 << UInt16(index) }
    }
    priorities[Outbox.stream] = UInt8(min(max(configuration.streamPriority, 0), 7))
    costs[Outbox.stream] = 65_536 / UInt64(max(configuration.streamWeight, 1))
  }
}

extension Outbox {
  /// Whether `a` has been served less than `b`.
  @inline(__always)
  private static func isBehind(_ a: UInt64, _ b: UInt64) -> Bool { Int64(bitPattern: a &- b) < 0 }

  /// The lane whose turn it is; `nil` where nothing waits.
  @inline(__always)
  package func nextLane(_ lanes: borrowing LaneTable) -> Int? {
    guard waiting != 0 else { return nil }
    var best = waiting.trailingZeroBitCount
    var left = waiting & (waiting - 1)
    while left != 0 {
      let lane = left.trailingZeroBitCount
      left &= left - 1
      let (own, other) = (lanes.priorities[lane], lanes.priorities[best])
      let isBehind = Self.isBehind(served[lane], served[best])
      if own < other || (own == other && isBehind) { best = lane }
    }
    return best
  }

  /// A message in fragments is to begin in a lane. It waits for one in another lane of the same priority, so that a receiver has no more
  /// incomplete messages than there are priorities.
  /// - Returns: the lane that continues instead.
  package func other(before lane: Int, _ lanes: borrowing LaneTable) -> Int? {
    var left = open & ~(1 << UInt16(lane))
    while left != 0 {
      let other = left.trailingZeroBitCount
      left &= left - 1
      if lanes.priorities[other] <= lanes.priorities[lane] { return other }
    }
    return nil
  }

  /// Whether messages go before what is new of the stream.
  package func goesFirst(_ lanes: borrowing LaneTable) -> Bool {
    guard let lane = nextLane(lanes) else { return false }
    let (own, other) = (lanes.priorities[lane], lanes.priorities[Self.stream])
    return own < other || (own == other && !Self.isBehind(served[Self.stream], served[lane]))
  }

  /// Of a lane, or the stream, `bytes` leave.
  @inline(__always)
  package mutating func serve(_ lane: Int, _ bytes: Int, _ lanes: borrowing LaneTable) {
    clocks[Int(lanes.priorities[lane])] = served[lane]
    served[lane] &+= UInt64(bytes) &* lanes.costs[lane]
  }

  /// Something waits in a lane where nothing did.
  @inline(__always)
  package mutating func begins(_ lane: Int, _ lanes: borrowing LaneTable) {
    waiting |= 1 << UInt16(lane)
    catchUp(lane, lanes)
  }

  /// The stream has nothing new at present. What others send meanwhile is not owed to it.
  @inline(__always)
  package mutating func streamRests(_ lanes: borrowing LaneTable) { catchUp(Self.stream, lanes) }

  @inline(__always)
  private mutating func catchUp(_ lane: Int, _ lanes: borrowing LaneTable) {
    let clock = clocks[Int(lanes.priorities[lane])]
    if Self.isBehind(served[lane], clock) { served[lane] = clock }
  }
}

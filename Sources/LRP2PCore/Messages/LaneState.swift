// SPDX-License-Identifier: MIT
/// Where a connection's lanes stand: kept, at rest too, once it has sent or received a message in order or in fragments.
struct LaneState: BitwiseCopyable {
  static var none: UInt32 { .max }

  /// Numbers of the next to be sent: of each ordered lane, and of each unordered one the next in fragments.
  var nextOrdered: InlineArray<16, UInt32>
  var nextFragmented: InlineArray<16, UInt32>
  /// Of each ordered lane the number that is to be handed over next, and where those that have come early are listed.
  var expected: InlineArray<16, UInt32>
  var rings = InlineArray<16, UInt32>(repeating: LaneState.none)
  /// The first of the messages that have come in part, and how many they are.
  var partials = LaneState.none
  var partialCount = 0

  /// - Parameter first: the number of the first message in each lane.
  init(first: UInt32) {
    nextOrdered = InlineArray(repeating: first)
    nextFragmented = InlineArray(repeating: first)
    expected = InlineArray(repeating: first)
  }

  /// The most messages of one peer that may be incomplete: more are refused, unless they are in order. An honest peer comes nowhere near the
  /// most that may be so even then, as no more are under way at once than there are priorities, and what is given up is reported first.
  static var mostPartials: Int { 64 }
  static var mostPartialsInOrder: Int { 256 }
}

/// A message that has come early in its lane.
package struct EarlyMessage: BitwiseCopyable {
  package enum Kind: UInt8, BitwiseCopyable { case none, whole, partial, skip }

  var place = ReceivePool.Place()
  var partial = LaneState.none
  var offset: UInt16 = 0
  package var length: UInt16 = 0
  package var kind = Kind.none

  package init() {}
}

/// Those of one lane, by number from the one that it waits for on.
package struct LaneRing: ~Copyable {
  package static var smallest: Int { 16 }

  private var entries = Column(repeating: EarlyMessage(), count: LaneRing.smallest)
  package private(set) var count = 0

  package init() {}

  package var capacity: Int { entries.count }
  var bytes: Int { Self.bytes(capacity) }
  static func bytes(_ capacity: Int) -> Int { capacity * MemoryLayout<EarlyMessage>.stride }

  /// The capacity for a number so far ahead.
  package static func capacity(from capacity: Int, for distance: Int) -> Int {
    var capacity = capacity
    while capacity <= distance { capacity *= 2 }
    return capacity
  }

  /// - Parameter expected: the number that the lane waits for.
  package mutating func grow(to capacity: Int, expected: UInt32) {
    guard capacity > entries.count else { return }
    var larger = Column(repeating: EarlyMessage(), count: capacity)
    for ahead in 0..<entries.count {
      let number = Int((expected &+ UInt32(ahead)) & MessageFrame.numberMask)
      larger[number & (capacity - 1)] = entries[number & (entries.count - 1)]
    }
    entries = larger
  }

  package subscript(number: UInt32) -> EarlyMessage { entries[Int(number) & (entries.count - 1)] }

  /// - Returns: what stood there.
  package mutating func set(_ number: UInt32, _ entry: EarlyMessage) -> EarlyMessage {
    let index = Int(number) & (entries.count - 1)
    let old = entries[index]
    count += (entry.kind == .none ? 0 : 1) - (old.kind == .none ? 0 : 1)
    entries[index] = entry
    return old
  }

  /// What stands at a place of the ring, taken out.
  package mutating func remove(at index: Int) -> EarlyMessage { set(UInt32(index), EarlyMessage()) }
}

/// A message that has come in part.
struct PartialMessage: BitwiseCopyable {
  var next = LaneState.none
  var number: UInt32 = 0
  /// Its row in the store of what comes.
  var message = MessageStore.none
  var total: UInt32 = 0
  var received: UInt32 = 0
  var lane: UInt8 = 0
  var isOrdered = false
}

// SPDX-License-Identifier: MIT
/// A message on its way to one peer: it waits in a lane's queue, or stands in the list of the segment that carries it. Of a message in
/// fragments the one in the queue is the parent of those in the lists.
package struct MessageNode: BitwiseCopyable {
  package static var none: UInt32 { .max }

  static var ordered: UInt8 { 1 }
  static var reliable: UInt8 { 2 }
  static var fragment: UInt8 { 4 }
  /// Says that a message will not come. It has no bytes.
  static var skip: UInt8 { 8 }
  static var queued: UInt8 { 16 }
  static var givenUp: UInt8 { 32 }
  /// Of no use once there is a newer one in its lane.
  static var latest: UInt8 { 64 }
  /// A fragment that is not sent again, in the list of a segment that is: it takes no bytes there.
  static var void: UInt8 { 128 }

  /// Its row in the store.
  var message = MessageNode.none
  var next = MessageNode.none
  /// In a queue: how much of it has left. In a list: where its bytes begin.
  var offset: UInt32 = 0
  /// In a list: its bytes.
  var length: UInt32 = 0
  /// Of an ordered lane, or of a message in fragments.
  var number: UInt32 = 0
  /// Of one with `latest`: its place among all of the lane, or of the group.
  var place: UInt32 = 0
  var parent = MessageNode.none
  /// Of a parent: fragments under way.
  var pending: UInt32 = 0
  /// Of a group: the membership that it is charged to.
  var membership = MessageNode.none
  var deadline: Instant = .never
  var token: UInt64 = 0
  var lane: UInt8 = 0
  var flags: UInt8 = 0

  /// Says that this one will not come.
  static func skip(of node: MessageNode) -> MessageNode {
    var skip = MessageNode()
    skip.lane = node.lane
    skip.number = node.number
    skip.flags = node.flags & ordered | MessageNode.skip
    return skip
  }

  func has(_ flag: UInt8) -> Bool { flags & flag != 0 }

  /// What it is as a frame.
  @inline(__always)
  func frame(total: Int) -> MessageFrame {
    var frame = MessageFrame()
    frame.lane = lane
    frame.isOrdered = has(Self.ordered)
    frame.number = number
    if has(Self.skip) {
      frame.kind = .skip
    } else if has(Self.fragment) {
      frame.kind = .fragment
      frame.total = total
      frame.offset = Int(offset)
      frame.length = Int(length)
    } else {
      frame.length = Int(length)
    }
    return frame
  }
}

/// Nodes of all peers, in one column; free ones are chained.
struct MessageNodes: ~Copyable {
  private var rows = GrowingColumn<Int, MessageNode>(repeating: MessageNode(), count: 0)
  private var free = MessageNode.none
  private(set) var count = 0
  var capacity: Int { rows.count }

  @inline(__always)
  mutating func insert(_ node: MessageNode) -> UInt32 {
    count += 1
    guard free != MessageNode.none else {
      rows.grow(to: rows.count + 1, filling: node)
      return UInt32(rows.count - 1)
    }
    let index = free
    free = rows[Int(index)].next
    rows[Int(index)] = node
    return index
  }

  @inline(__always)
  mutating func remove(_ index: UInt32) {
    rows[Int(index)].next = free
    free = index
    count -= 1
  }

  @inline(__always)
  subscript(index: UInt32) -> MessageNode {
    get { rows[Int(index)] }
    _modify { yield &rows[Int(index)] }
  }
}

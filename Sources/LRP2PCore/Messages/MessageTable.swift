// SPDX-License-Identifier: MIT
/// All that an engine keeps of messages, of all peers: what is to be sent, what has come early or in part, groups, and what its user
/// is to hear. Peers name their rows by number (`ConnectionHeader.outbox` and `lanes`).
struct MessageTable: ~Copyable {
  var store: MessageStore
  var nodes = MessageNodes()
  let lanes: LaneTable
  /// Messages that have come in part.
  var incoming: MessageStore
  var rings = Slots<Int, LaneRing>(count: 0, reserve: 1024)
  var freeRings = Queue<UInt32>(minimumCapacity: 16, filler: 0)
  var groups = GroupTable()
  /// Handles of peers that had no room in the store while they had nothing in it.
  var waiting = Queue<UInt64>(minimumCapacity: 16, filler: 0)
  var events = Queue<MessageEvent>(minimumCapacity: 16, filler: MessageEvent())

  private(set) var outboxes = Rows<Outbox>(Outbox())
  private(set) var states: Rows<LaneState>
  private(set) var partials = Rows<PartialMessage>(PartialMessage())

  /// The number of the first message in each lane.
  let firstNumber: UInt32

  init(_ configuration: EngineConfiguration) {
    firstNumber = configuration.initialMessageNumber & MessageFrame.numberMask
    states = Rows(LaneState(first: firstNumber))
    store = MessageStore(maximumBytes: configuration.messagePoolBytes)
    incoming = MessageStore(maximumBytes: configuration.receivePoolBytes, sharesBlocks: false)
    lanes = LaneTable(configuration)
  }

  mutating func newOutbox() -> UInt32 { outboxes.insert(Outbox()) }
  mutating func newState() -> UInt32 { states.insert(LaneState(first: firstNumber)) }
  mutating func newPartial(_ row: PartialMessage) -> UInt32 { partials.insert(row) }
  mutating func drop(outbox: UInt32) { outboxes.remove(outbox) }
  mutating func drop(state: UInt32) { states.remove(state) }
  mutating func drop(partial: UInt32) { partials.remove(partial) }

  @inline(__always)
  subscript(outbox index: UInt32) -> Outbox {
    @inline(__always) unsafeAddress { unsafe outboxes.address(index) }
    @inline(__always) unsafeMutableAddress { unsafe outboxes.mutableAddress(index) }
  }
  @inline(__always)
  subscript(state index: UInt32) -> LaneState {
    @inline(__always) unsafeAddress { unsafe states.address(index) }
    @inline(__always) unsafeMutableAddress { unsafe states.mutableAddress(index) }
  }
  @inline(__always)
  subscript(partial index: UInt32) -> PartialMessage {
    @inline(__always) unsafeAddress { unsafe partials.address(index) }
    @inline(__always) unsafeMutableAddress { unsafe partials.mutableAddress(index) }
  }

  /// A ring for a lane in which something has come early.
  mutating func newRing() -> UInt32 {
    if freeRings.isEmpty {
      let count = rings.count
      rings.grow(to: max(16, 2 * count))
      for row in count..<rings.count { freeRings.append(UInt32(row)) }
    }
    let row = freeRings.popFirst()!
    if !rings.insertRetired(at: Int(row)) { rings.insert(LaneRing(), at: Int(row)) }
    return row
  }

  /// It is empty.
  mutating func drop(ring: UInt32) {
    if rings[Int(ring)].capacity <= 64 * LaneRing.smallest {
      rings.retire(Int(ring))
    } else {
      rings.remove(at: Int(ring))
    }
    freeRings.append(ring)
  }
}

extension MessageTable {
  /// What a node of a segment's list is as a frame.
  @inline(__always)
  func frame(of node: MessageNode) -> MessageFrame {
    node.frame(total: node.has(MessageNode.fragment) ? store.length(node.message) : 0)
  }

  /// Bytes that the frames of a list take as a segment. Void ones stand at its start.
  mutating func length(list: UInt32) -> Int {
    var length = 0
    var index = list
    while index != MessageNode.none {
      let node = nodes[index]
      index = node.next
      if node.has(MessageNode.void) { continue }
      let frame = frame(of: node)
      length += frame.headLength(isLast: node.next == MessageNode.none) + frame.length
    }
    return length
  }

  /// Writes the frames of a list.
  @_lifetime(bytes: copy bytes)
  mutating func write(list: UInt32, into bytes: inout MutableRawSpan) {
    var at = 0
    var index = list
    while index != MessageNode.none {
      let node = nodes[index]
      if !node.has(MessageNode.void) { write(node, isLast: node.next == MessageNode.none, into: &bytes, at: &at) }
      index = node.next
    }
  }

  /// Writes the frames of a list, of so many bytes, to the start of an arena.
  mutating func write(list: UInt32, _ length: Int, to arena: inout Arena) {
    var bytes = arena.mutableBytes(0, length)
    write(list: list, into: &bytes)
  }

  /// Writes one.
  @inline(__always) @_lifetime(bytes: copy bytes)
  func write(_ node: MessageNode, isLast: Bool, into bytes: inout MutableRawSpan, at: inout Int) {
    let frame = frame(of: node)
    frame.write(into: &bytes, at: &at, isLast: isLast)
    guard frame.length > 0 else { return }
    bytes.copy(store.bytes(node.message, node.has(MessageNode.fragment) ? Int(node.offset) : 0, frame.length), to: at)
    at += frame.length
  }
}

/// Something that the user is to hear when the engine has done what it was at.
package struct MessageEvent: BitwiseCopyable {
  package enum Kind: UInt8, BitwiseCopyable { case acknowledged, lost, dropped, writable, groupWritable }

  /// The peer's handle, or the group's row.
  package var of: UInt64 = 0
  var token: UInt64 = 0
  package var kind = Kind.writable

  package init() {}
}

/// Rows of fixed size in one column that grows; free ones are kept in a stack.
struct Rows<Row: BitwiseCopyable>: ~Copyable {
  private var rows: GrowingColumn<Int, Row>
  private var free = GrowingColumn<Int, UInt32>(repeating: 0, count: 0)
  private var freeCount = 0
  var inUse: Int { rows.count - freeCount }
  var capacity: Int { rows.count }

  init(_ filler: Row) { rows = GrowingColumn(repeating: filler, count: 0) }

  @inline(__always)
  mutating func insert(_ row: Row) -> UInt32 {
    guard freeCount > 0 else {
      rows.grow(to: rows.count + 1, filling: row)
      return UInt32(rows.count - 1)
    }
    freeCount -= 1
    let index = free[freeCount]
    rows[Int(index)] = row
    return index
  }

  @inline(__always)
  mutating func remove(_ index: UInt32) {
    if freeCount == free.count { free.grow(to: rows.count, filling: 0) }
    free[freeCount] = index
    freeCount += 1
  }

  // Bound: the column checks the index, and rows never move.
  @unsafe @inline(__always)
  func address(_ index: UInt32) -> UnsafePointer<Row> { unsafe UnsafePointer(rows.pointer(Int(index))) }
  @unsafe @inline(__always)
  mutating func mutableAddress(_ index: UInt32) -> UnsafeMutablePointer<Row> { unsafe rows.pointer(Int(index)) }
}

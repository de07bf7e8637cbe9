// SPDX-License-Identifier: MIT
/// Bytes of messages, each in one piece, with a count of who needs them. Memory comes in classes of size, in blocks that are kept, so that in
/// a steady state nothing is allocated. Long messages have a block of their own, which goes with them.
///
/// Blocks that messages of a class share cannot be used for those of another while one of them is in use. Where others choose the lengths each
/// message has a block of its own instead, of which few are kept.
package struct MessageStore: ~Copyable {
  package static var none: UInt32 { .max }
  private static var blockBytes: Int { 1 << 16 }
  /// The largest of which several share a block: four classes in each doubling from 64 on.
  private static var largestShared: Int { 1 << 14 }
  private static var classes: Int { 33 }
  /// The longest message that there may be.
  private static var longest: Int { 1 << 30 }

  package struct Row: BitwiseCopyable {
    var block: UInt32 = 0
    var offset: UInt32 = 0
    var length: UInt32 = 0
    var references: UInt32 = 0
    var generation: UInt32 = 0
    /// Of a free row: the next of its class.
    var next = MessageStore.none
    var room: UInt32 = 0
    /// The program has a handle, which is one of the references.
    var isKept = false
  }

  private var rows = GrowingColumn<Int, Row>(repeating: Row(), count: 0)
  /// Of each class the first free row that has memory; and the first that has none.
  private var free = InlineArray<33, UInt32>(repeating: MessageStore.none)
  private var bare = MessageStore.none
  private var blocks = Slots<Int, Arena>(count: 0)
  private var freeBlocks = Queue<UInt32>(minimumCapacity: 16, filler: 0)
  private let maximumBytes: Int
  private let sharesBlocks: Bool
  /// Bytes of messages with what their classes add, and bytes of all blocks.
  package private(set) var bytesInUse = 0
  package private(set) var bytesHeld = 0
  package private(set) var count = 0

  package init(maximumBytes: Int, sharesBlocks: Bool = true) {
    self.maximumBytes = maximumBytes
    self.sharesBlocks = sharesBlocks
  }

  /// Of what is not in use so much is kept, where blocks are not shared.
  package static var mostKept: Int { 1 << 20 }

  /// The class of a length, and how much room its messages have.
  @inline(__always)
  private static func place(of length: Int) -> (index: Int, room: Int)? {
    guard length <= largestShared else { return nil }
    if length <= 64 { return (0, 64) }
    // Quarters between two powers of two.
    let shift = Int.bitWidth - 1 - (length - 1).leadingZeroBitCount - 2
    let quarters = (length - 1) >> shift + 1
    return (4 * (shift - 4) + quarters - 4, quarters << shift)
  }

  /// The bytes that a message of this length counts for.
  package static func charge(of length: Int) -> Int { place(of: length)?.room ?? (length + 63) & ~63 }

  /// Whether there is room for a message of this length.
  package func hasRoom(_ length: Int) -> Bool { bytesInUse + Self.charge(of: length) <= maximumBytes }

  /// Room for `length` bytes, for one who needs it. What they are at first means nothing.
  /// - Returns: `nil` when there is none.
  package mutating func reserve(_ length: Int) -> UInt32? {
    guard (0...Self.longest).contains(length), hasRoom(length) else { return nil }
    let row: Int
    if let place = Self.place(of: length) {
      if free[place.index] == Self.none { addBlock(of: place) }
      row = Int(free[place.index])
      free[place.index] = rows[row].next
    } else {
      row = newRow()
      let room = Self.charge(of: length)
      rows[row].block = newBlock(room)
      rows[row].offset = 0
      rows[row].room = UInt32(room)
    }
    rows[row].length = UInt32(length)
    rows[row].references = 1
    bytesInUse += Int(rows[row].room)
    count += 1
    return UInt32(row)
  }

  /// Keeps a copy of `bytes`, for one who needs it.
  package mutating func store(_ bytes: RawSpan) -> UInt32? {
    guard let row = reserve(bytes.byteCount) else { return nil }
    write(bytes, to: row, at: 0)
    return row
  }

  package mutating func write(_ bytes: RawSpan, to row: UInt32, at offset: Int) {
    let entry = rows[Int(row)]
    precondition(offset >= 0 && bytes.byteCount <= Int(entry.length) - offset, "beyond the message")
    var target = blocks[Int(entry.block)].mutableBytes(Int(entry.offset) + offset, bytes.byteCount)
    target.copy(bytes, to: 0)
  }

  package mutating func clear(_ row: UInt32) {
    let entry = rows[Int(row)]
    var target = blocks[Int(entry.block)].mutableBytes(Int(entry.offset), Int(entry.length))
    target.setZero()
  }

  @inline(__always) @_lifetime(borrow self)
  package func bytes(_ row: UInt32, _ offset: Int, _ length: Int) -> RawSpan {
    let entry = rows[Int(row)]
    precondition(offset >= 0 && length <= Int(entry.length) - offset && entry.references > 0, "beyond the message")
    return blocks[Int(entry.block)].bytes(Int(entry.offset) + offset, length)
  }

  /// All bytes of a message, for a callback that also gets the engine.
  ///
  /// Bound: the row is in use and blocks never move; the engine gives the row back only after the callback that reads it has returned.
  @unsafe @_lifetime(immortal)
  package func held(_ row: UInt32) -> RawSpan {
    unsafe _overrideLifetime(bytes(row, 0, Int(rows[Int(row)].length)), copying: ())
  }

  @inline(__always) package func length(_ row: UInt32) -> Int { Int(rows[Int(row)].length) }
  package func room(_ row: UInt32) -> Int { Int(rows[Int(row)].room) }

  @inline(__always)
  package mutating func retain(_ row: UInt32) { rows[Int(row)].references += 1 }

  /// One needs it no longer.
  @inline(__always)
  package mutating func release(_ row: UInt32) {
    precondition(rows[Int(row)].references > 0, "what is given back was in use")
    rows[Int(row)].references -= 1
    if rows[Int(row)].references == 0 { give(back: Int(row)) }
  }

  // MARK: Handles

  package func handle(_ row: UInt32) -> StoredMessage { StoredMessage(row: row, generation: rows[Int(row)].generation) }

  package func isKept(_ row: UInt32) -> Bool { rows[Int(row)].isKept }
  package mutating func setKept(_ row: UInt32, _ isKept: Bool) { rows[Int(row)].isKept = isKept }

  package func row(of message: StoredMessage) -> UInt32? {
    guard message.row < UInt32(rows.count), rows[Int(message.row)].generation == message.generation,
      rows[Int(message.row)].references > 0
    else { return nil }
    return message.row
  }

  // MARK: Memory

  private mutating func give(back row: Int) {
    bytesInUse -= Int(rows[row].room)
    count -= 1
    rows[row].generation &+= 1
    if let place = Self.place(of: Int(rows[row].room)), sharesBlocks || bytesHeld - bytesInUse <= Self.mostKept {
      rows[row].next = free[place.index]
      free[place.index] = UInt32(row)
    } else {
      drop(block: rows[row].block)
      rows[row].next = bare
      bare = UInt32(row)
    }
    if count == 0, bytesHeld > 16 * Self.blockBytes { trim() }
  }

  private mutating func newRow() -> Int {
    if bare != Self.none {
      let row = Int(bare)
      bare = rows[row].next
      return row
    }
    rows.grow(to: rows.count + 1, filling: Row())
    return rows.count - 1
  }

  private mutating func newBlock(_ bytes: Int) -> UInt32 {
    if freeBlocks.isEmpty {
      let count = blocks.count
      blocks.grow(to: max(16, 2 * count))
      for block in count..<blocks.count { freeBlocks.append(UInt32(block)) }
    }
    let block = freeBlocks.popFirst()!
    blocks.insert(Arena(byteCount: bytes), at: Int(block))
    bytesHeld += bytes
    return block
  }

  private mutating func drop(block: UInt32) {
    bytesHeld -= blocks[Int(block)].byteCount
    blocks.remove(at: Int(block))
    freeBlocks.append(block)
  }

  private mutating func addBlock(of place: (index: Int, room: Int)) {
    let count = sharesBlocks ? Self.blockBytes / place.room : 1
    let block = newBlock(sharesBlocks ? Self.blockBytes : place.room)
    for index in (0..<count).reversed() {
      let row = newRow()
      rows[row].block = block
      rows[row].offset = UInt32(index * place.room)
      rows[row].room = UInt32(place.room)
      rows[row].references = 0
      rows[row].next = free[place.index]
      free[place.index] = UInt32(row)
    }
  }

  /// Nothing is in use: all memory goes back.
  private mutating func trim() {
    for index in 0..<Self.classes { free[index] = Self.none }
    for block in 0..<blocks.count where blocks.contains(block) { drop(block: UInt32(block)) }
    bare = Self.none
    for row in (0..<rows.count).reversed() {
      rows[row].next = bare
      bare = UInt32(row)
    }
  }
}

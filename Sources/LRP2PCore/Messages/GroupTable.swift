// SPDX-License-Identifier: MIT
/// Who is in which group. A peer's memberships are chained, as are free ones; a group has a dense array of its own.
package struct GroupTable: ~Copyable {
  package static var none: UInt32 { .max }

  package struct Membership: BitwiseCopyable {
    package var slot: UInt32 = 0
    var group: UInt32 = 0
    /// Its place in the group's array.
    var position: UInt32 = 0
    /// The peer's others.
    var next = GroupTable.none
    var previous = GroupTable.none
    /// Bytes of what was published to it and is not finished with.
    package var bytes: UInt32 = 0
    /// How many messages it was given of which only the newest counts.
    var latest: UInt32 = 0
    /// Of the group, but for what is left to be sent.
    var hasLeft = false
  }

  package struct Row: ~Copyable {
    var members = GrowingColumn<Int, UInt32>(repeating: 0, count: 0)
    package var count = 0
    package var lane = Lane(0)
    var policy = GroupPolicy.dropOldest
    package var maximumBytes = 0
    /// Members that have as much as they may.
    package var full = 0
    /// A publish was answered with `full`.
    package var isWaiting = false
  }

  private var memberships = Rows<Membership>(Membership())
  private var rows = Slots<Int, Row>(count: 0)
  private var generations = GrowingColumn<Int, UInt32>(repeating: 0, count: 0)
  private var free = Queue<UInt32>(minimumCapacity: 16, filler: 0)
  package var membershipsInUse: Int { memberships.inUse }
  package var membershipCapacity: Int { memberships.capacity }
  package var groupsInUse: Int { rows.inUse }

  package init() {}

  // MARK: Groups

  package mutating func insert(lane: Lane, policy: GroupPolicy, maximumBytes: Int) -> PeerGroup {
    if free.isEmpty {
      let count = rows.count
      rows.grow(to: max(16, 2 * count))
      generations.grow(to: rows.count, filling: 0)
      for row in count..<rows.count { free.append(UInt32(row)) }
    }
    let row = Int(free.popFirst()!)
    rows.insert(Row(), at: row)
    rows[row].lane = lane
    rows[row].policy = policy
    rows[row].maximumBytes = maximumBytes
    return PeerGroup(row: UInt32(row), generation: generations[row])
  }

  /// It has no members any more.
  package mutating func remove(_ row: Int) {
    rows.remove(at: row)
    generations[row] &+= 1
    free.append(UInt32(row))
  }

  package func row(of group: PeerGroup) -> Int? {
    let row = Int(group.row)
    guard row < rows.count, rows.contains(row), generations[row] == group.generation else { return nil }
    return row
  }

  package func handle(_ row: Int) -> PeerGroup? {
    guard row < rows.count, rows.contains(row) else { return nil }
    return PeerGroup(row: UInt32(row), generation: generations[row])
  }

  package subscript(row: Int) -> Row {
    unsafeAddress { unsafe UnsafePointer(rows.pointer(row)) }
    unsafeMutableAddress { unsafe rows.pointer(row) }
  }

  package func member(_ row: Int, _ position: Int) -> UInt32 { rows[row].members[position] }

  // MARK: Members

  @inline(__always)
  package subscript(membership index: UInt32) -> Membership {
    @inline(__always) unsafeAddress { unsafe memberships.address(index) }
    @inline(__always) unsafeMutableAddress { unsafe memberships.mutableAddress(index) }
  }

  /// The membership of a peer, whose first is `head`, in a group.
  package func find(_ row: Int, from head: UInt32) -> UInt32? {
    var index = head
    while index != Self.none {
      let membership = self[membership: index]
      if Int(membership.group) == row { return index }
      index = membership.next
    }
    return nil
  }

  /// - Parameter head: the peer's first.
  package mutating func join(_ slot: Slot, _ row: Int, _ head: inout UInt32) {
    var membership = Membership()
    membership.slot = UInt32(slot.index)
    membership.group = UInt32(row)
    membership.position = UInt32(rows[row].count)
    membership.next = head
    let index = memberships.insert(membership)
    if head != Self.none { self[membership: head].previous = index }
    head = index
    if rows[row].count == rows[row].members.count { rows[row].members.grow(to: rows[row].count + 1, filling: index) }
    rows[row].members[rows[row].count] = index
    rows[row].count += 1
  }

  package mutating func leave(_ index: UInt32, _ head: inout UInt32, _ events: inout Queue<MessageEvent>) {
    let membership = self[membership: index]
    if membership.previous == Self.none {
      head = membership.next
    } else {
      self[membership: membership.previous].next = membership.next
    }
    if membership.next != Self.none { self[membership: membership.next].previous = membership.previous }
    let row = Int(membership.group)
    // The last takes its place.
    let last = rows[row].members[rows[row].count - 1]
    rows[row].members[Int(membership.position)] = last
    self[membership: last].position = membership.position
    rows[row].count -= 1
    if membership.bytes > 0, Int(membership.bytes) >= rows[row].maximumBytes { isFullNoMore(row, &events) }
    if membership.bytes == 0 { memberships.remove(index) } else { self[membership: index].hasLeft = true }
  }

  // MARK: Bytes

  @inline(__always)
  package mutating func charge(_ index: UInt32, _ bytes: Int) {
    let row = Int(self[membership: index].group)
    let before = Int(self[membership: index].bytes)
    self[membership: index].bytes += UInt32(bytes)
    if before < rows[row].maximumBytes, before + bytes >= rows[row].maximumBytes { rows[row].full += 1 }
  }

  package mutating func discharge(_ index: UInt32, _ bytes: Int, _ events: inout Queue<MessageEvent>) {
    let before = Int(self[membership: index].bytes)
    self[membership: index].bytes -= UInt32(bytes)
    if self[membership: index].hasLeft {
      if before == bytes { memberships.remove(index) }
      return
    }
    let row = Int(self[membership: index].group)
    if before >= rows[row].maximumBytes, before - bytes < rows[row].maximumBytes { isFullNoMore(row, &events) }
  }

  private mutating func isFullNoMore(_ row: Int, _ events: inout Queue<MessageEvent>) {
    rows[row].full -= 1
    guard rows[row].full == 0, rows[row].isWaiting else { return }
    rows[row].isWaiting = false
    var event = MessageEvent()
    event.of = UInt64(row)
    event.kind = .groupWritable
    events.append(event)
  }

  package mutating func nextLatest(_ index: UInt32) -> UInt32 {
    self[membership: index].latest &+= 1
    return self[membership: index].latest
  }

  package func latest(_ index: UInt32) -> UInt32 { self[membership: index].latest }
}

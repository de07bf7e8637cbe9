// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Who is in which group: any number of peers and groups, in any order, next to what plain sets say.
@Suite struct GroupTableTests {
  private struct Model {
    /// The groups of each peer, and the bytes that each membership has.
    var groups: [Set<Int>]
    var heads: [UInt32]

    init(peers: Int) {
      groups = Array(repeating: [], count: peers)
      heads = Array(repeating: GroupTable.none, count: peers)
    }
  }

  private func members(_ table: borrowing GroupTable, _ row: Int) -> [Int] {
    (0..<table[row].count).map { Int(table[membership: table.member(row, $0)].slot) }
  }

  @Test(arguments: 1...10) func agreesWithSets(seed: Int) {
    var random = SplitMix(state: UInt64(seed))
    var table = GroupTable()
    var events = Queue<MessageEvent>(filler: MessageEvent())
    let groups = (0..<12).map { _ in table.insert(lane: 0, policy: .dropOldest, maximumBytes: 1000) }
    var model = Model(peers: 40)
    var wrong = 0
    for _ in 0..<5000 {
      let peer = random.below(40)
      let group = random.below(groups.count)
      let row = table.row(of: groups[group])!
      let found = table.find(row, from: model.heads[peer])
      if (found != nil) != model.groups[peer].contains(group) { wrong += 1 }
      switch random.below(3) {
      case 0:
        guard let found else { break }
        table.leave(found, &model.heads[peer], &events)
        model.groups[peer].remove(group)
      case 1 where random.below(20) == 0:
        // A peer ends: it leaves all of them.
        while model.heads[peer] != GroupTable.none { table.leave(model.heads[peer], &model.heads[peer], &events) }
        model.groups[peer] = []
      default:
        guard found == nil else { break }
        table.join(Slot(peer), row, &model.heads[peer])
        model.groups[peer].insert(group)
      }
      let expected = (0..<40).filter { model.groups[$0].contains(group) }
      let all = members(table, row)
      if all.sorted() != expected || table[row].count != expected.count { wrong += 1 }
    }
    let (inUse, sum) = (table.membershipsInUse, model.groups.map(\.count).reduce(0, +))
    #expect(wrong == 0 && inUse == sum)
    // Rows are used again.
    let capacity = table.membershipCapacity
    #expect(capacity <= 40 * 12)
  }

  /// Joining and leaving touch no other member, however many there are.
  @Test func aLargeGroupMovesOneMember() {
    var table = GroupTable()
    var events = Queue<MessageEvent>(filler: MessageEvent())
    let row = table.row(of: table.insert(lane: 0, policy: .dropOldest, maximumBytes: 1000))!
    var heads = [UInt32](repeating: GroupTable.none, count: 100_000)
    for peer in heads.indices { table.join(Slot(peer), row, &heads[peer]) }
    let before = members(table, row)
    table.leave(heads[500], &heads[500], &events)
    let after = members(table, row)
    #expect(before == Array(heads.indices) && heads[500] == GroupTable.none)
    #expect(after == Array(before[..<500]) + [99_999] + Array(before[501..<99_999]))
    for peer in heads.indices where peer != 500 { table.leave(heads[peer], &heads[peer], &events) }
    let (inUse, count) = (table.membershipsInUse, table[row].count)
    #expect(inUse == 0 && count == 0)
  }

  @Test func handlesBecomeVoid() {
    var table = GroupTable()
    let group = table.insert(lane: 3, policy: .keepPace, maximumBytes: 7)
    let row = table.row(of: group)!
    let (lane, bytes) = (table[row].lane, table[row].maximumBytes)
    #expect(lane == 3 && bytes == 7 && table.handle(row) == group)
    table.remove(row)
    let (removed, inUse) = (table.row(of: group), table.groupsInUse)
    #expect(removed == nil && inUse == 0 && table.handle(row) == nil)
    var handles: Set<PeerGroup> = [group]
    for _ in 0..<100 {
      let other = table.insert(lane: 0, policy: .dropOldest, maximumBytes: 1)
      handles.insert(other)
      let found = table.row(of: other)
      let old = table.row(of: group)
      #expect(found != nil && old == nil)
      table.remove(found!)
    }
    let strange = table.row(of: PeerGroup(row: .max, generation: 0))
    #expect(handles.count == 101 && strange == nil)
  }

  // MARK: Bytes

  /// A group is told that it goes on once the last of its members that was full has room, and only if it has asked.
  @Test func fullMembersAreCounted() {
    var table = GroupTable()
    var events = Queue<MessageEvent>(filler: MessageEvent())
    let row = table.row(of: table.insert(lane: 0, policy: .keepPace, maximumBytes: 1000))!
    var heads = [UInt32](repeating: GroupTable.none, count: 3)
    for peer in 0..<3 { table.join(Slot(peer), row, &heads[peer]) }
    table.charge(heads[0], 999)
    let none = table[row].full
    table.charge(heads[0], 1)
    table.charge(heads[1], 5000)
    table.charge(heads[1], 5000)
    let two = table[row].full
    #expect(none == 0 && two == 2)
    table[row].isWaiting = true
    table.discharge(heads[0], 1, &events)
    table.discharge(heads[1], 5000, &events)
    let (one, early) = (table[row].full, events.count)
    #expect(one == 1 && early == 0)
    // It leaves with what it has.
    let leaving = heads[1]
    table.leave(leaving, &heads[1], &events)
    let (left, told) = (table[row].full, events.popFirst())
    #expect(left == 0 && told?.kind == .groupWritable && told?.of == UInt64(row))
    let before = table.membershipsInUse
    table.discharge(leaving, 5000, &events)
    let (after, more) = (table.membershipsInUse, events.count)
    #expect(before == 3 && after == 2 && more == 0 && !table[row].isWaiting)
    table.charge(heads[2], 2000)
    table.discharge(heads[2], 2000, &events)
    let silent = events.count
    #expect(silent == 0, "nobody has asked")
  }
}

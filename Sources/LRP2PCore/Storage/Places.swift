// SPDX-License-Identifier: MIT
/// Dense numbers for slots: columns by place are as long as the most slots that have had one at the same time, however many
/// slots there are. The place that was given back last is the next to be taken, so that few are in use over and over.
package struct Places: ~Copyable {
  private var slots = GrowingColumn<Int, UInt32>(repeating: 0, count: 0)
  /// Places that were given back, `freeCount` of them.
  private var free = GrowingColumn<Int, UInt32>(repeating: 0, count: 0)
  private var freeCount = 0

  package init() {}

  /// One more than the highest place ever taken.
  package var count: Int { slots.count }
  package var inUse: Int { count - freeCount }

  /// Whose place it is; of one that is not in use, whose it was.
  package func slot(at place: Int) -> Slot { Slot(Int(slots[place])) }

  package mutating func take(for slot: Slot) -> Int {
    if freeCount == 0 {
      slots.grow(to: count + 1, filling: UInt32(slot.index))
      return count - 1
    }
    freeCount -= 1
    let place = Int(free[freeCount])
    slots[place] = UInt32(slot.index)
    return place
  }

  /// A place passes to another slot.
  package mutating func move(_ place: Int, to slot: Slot) { slots[place] = UInt32(slot.index) }

  package mutating func give(back place: Int) {
    precondition(place >= 0 && place < count && freeCount < count, "no place")
    if freeCount == free.count { free.grow(to: count, filling: 0) }
    free[freeCount] = UInt32(place)
    freeCount += 1
  }
}

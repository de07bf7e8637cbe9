// SPDX-License-Identifier: MIT
/// Slots that something is still to be done about, a few at a time: so that a million connections at rest do not need their flows all at
/// once, and no turn takes long.
struct SlotWalk {
  /// Those that it has not come to, by their indices.
  private var left = 0..<0

  init() {}

  init(over slots: Int) { left = 0..<slots }

  var isOver: Bool { left.isEmpty }

  var count: Int { left.count }

  /// Whether it has still to come to this slot.
  func contains(_ slot: Slot) -> Bool { left.contains(slot.index) }

  mutating func next() -> Slot? {
    guard let index = left.first else { return nil }
    left = index + 1..<left.upperBound
    return Slot(index)
  }

  /// Whether it comes to one more slot in this turn: to a few in any case, as a busy server always has much to send, and else
  /// until there is enough to send.
  static func continues(_ looked: Int, ready: Int) -> Bool { looked < 64 || ready < 256 && looked < 1 << 16 }
}

/// What is being done with all slots, a few in each turn.
struct Sweeps {
  var closing = CloseOfResting()
  var departure = Departure()

  var areOver: Bool { closing.walk.isOver && departure.isOver }
  /// Slots that they have still to come to.
  var left: Int { closing.walk.count + departure.walk.count }
}

// SPDX-License-Identifier: MIT
// Own addresses that are gone. Who is heard at one is sent a PING: it leaves from another, so that the peer learns of that, also where it
// alone sends.

/// Numbers of own addresses (`Address.local`).
package struct LocalSet: BitwiseCopyable {
  private var words = InlineArray<4, UInt64>(repeating: 0)

  package init() {}

  package var isEmpty: Bool { words[0] | words[1] | words[2] | words[3] == 0 }

  package func contains(_ local: UInt8) -> Bool { words[Int(local >> 6)] >> UInt64(local & 63) & 1 != 0 }
  package mutating func insert(_ local: UInt8) { words[Int(local >> 6)] |= 1 << UInt64(local & 63) }
  package mutating func remove(_ local: UInt8) { words[Int(local >> 6)] &= ~(1 << UInt64(local & 63)) }
}

/// What is still to be done about it.
struct Departure {
  var locals = LocalSet()
  var walk = SlotWalk()
  /// For the next walk, when this one is over: a report at every turn would have it begin for ever.
  var following = LocalSet()

  var isOver: Bool { walk.isOver && following.isEmpty }
}

extension Engine {
  /// These of the reactor's addresses are gone, or what is sent in their stead has a way now.
  package mutating func leave(_ gone: LocalSet) {
    for local in UInt8(1)...255 where gone.contains(local) && isHeard(at: local) {
      sweeps.departure.following.insert(local)
    }
  }

  /// Has some of those concerned send a PING.
  mutating func leaveSome() {
    if sweeps.departure.walk.isOver {
      sweeps.departure = Departure(locals: sweeps.departure.following, walk: SlotWalk(over: peers.slots))
    }
    var looked = 0
    while SlotWalk.continues(looked, ready: schedule.ready.count), let slot = sweeps.departure.walk.next() {
      looked += 1
      // Version 0's peers stay where they are.
      guard peers.rows[slot].phase == .established, sweeps.departure.locals.contains(peers.rows[slot].address.local),
        speaksVersion1(slot), !isResting(slot) || wakes(slot)
      else { continue }
      peers.flows[slot].owesPing = true
      makeReady(slot)
    }
  }
}

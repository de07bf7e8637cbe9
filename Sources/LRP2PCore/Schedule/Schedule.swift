// SPDX-License-Identifier: MIT
/// Whose turn it is, and when: who has something to send, whose state this batch has changed, and what waits for which time.
///
/// An established connection's deadlines are in a wheel over flows while it has one; what it waits for at rest, and what the other
/// phases do, is in a wheel over slots. So of a connection among a million that wakes and rests again only the small wheel is
/// changed. Either wheel is set to the earliest deadline or before it: moving one back costs nothing, the wheel's call then finds
/// nothing to do and sets it anew.
struct Schedule: ~Copyable {
  /// Peers that have something to send or to deliver.
  private(set) var ready = Queue<UInt32>(minimumCapacity: 64, filler: 0)
  /// Peers that this batch has changed: their timers and readiness are judged once, at its end.
  private(set) var dirty = Queue<UInt32>(minimumCapacity: 64, filler: 0)
  private(set) var slotWheel: TimerWheel<Slot>
  /// By the flows' places.
  private(set) var flowWheel: TimerWheel<Int>
  private(set) var userTimers = UserTimers()
  /// While it is on nothing of this happens.
  var outage = Outage()

  init(slots: Int, now: Instant) {
    slotWheel = TimerWheel(rows: slots, now: now)
    flowWheel = TimerWheel(rows: 0, now: now)
  }

  // MARK: Turns

  @inline(__always)
  mutating func makeReady(_ slot: Slot, _ peers: inout PeerTable) {
    guard !peers.rows[slot].isReady else { return }
    peers.rows[slot].isReady = true
    ready.append(UInt32(slot.index))
  }

  /// The peer whose turn has come; one that is gone by now has none.
  @inline(__always)
  mutating func nextReady(_ peers: inout PeerTable) -> Turn? {
    guard let entry = ready.popFirst() else { return nil }
    let slot = Slot(Int(entry))
    guard peers.rows[slot].isReady else { return .over }
    peers.rows[slot].isReady = false
    return .of(slot)
  }

  enum Turn {
    case of(Slot)
    case over
  }

  @inline(__always)
  mutating func markDirty(_ slot: Slot, _ peers: inout PeerTable) {
    guard !peers.rows[slot].isDirty else { return }
    peers.rows[slot].isDirty = true
    dirty.append(UInt32(slot.index))
  }

  @inline(__always)
  mutating func nextDirty(_ peers: inout PeerTable) -> Slot? {
    while let entry = dirty.popFirst() {
      let slot = Slot(Int(entry))
      guard peers.rows[slot].isDirty else { continue }
      peers.rows[slot].isDirty = false
      return slot
    }
    return nil
  }

  // MARK: Deadlines

  var nextDeadline: Instant { min(slotWheel.nextDeadline, flowWheel.nextDeadline, userTimers.nextDeadline) }

  /// There are so many slots now.
  mutating func grow(toSlots slots: Int) {
    if slots > slotWheel.rows { slotWheel.grow(to: slots) }
  }

  /// Sets the wheel that the peer waits in, if `deadline` is earlier than what it is set to.
  mutating func arm(_ slot: Slot, at deadline: Instant, _ peers: inout PeerTable) {
    guard peers.rows[slot].phase == .established, peers.flows.contains(slot) else {
      guard deadline < peers.rows[slot].wheelDeadline else { return }
      peers.rows[slot].wheelDeadline = deadline
      slotWheel.set(slot, at: deadline)
      return
    }
    guard deadline < peers.flows[slot].wheelDeadline else { return }
    peers.flows[slot].wheelDeadline = deadline
    if peers.places.count > flowWheel.rows { flowWheel.grow(to: peers.places.count) }
    flowWheel.set(peers.flows[slot].place, at: deadline)
  }

  /// What the slot waits for is void.
  mutating func cancel(_ slot: Slot, _ peers: inout PeerTable) {
    slotWheel.cancel(slot)
    peers.rows[slot].wheelDeadline = .never
  }

  /// The slot's flow, if it has one, is about to be another's.
  // Inlined: what only reads a table would be given a copy of it.
  @inline(__always)
  mutating func cancelFlow(_ slot: Slot, _ peers: borrowing PeerTable) {
    guard peers.flows.contains(slot), peers.flows[slot].wheelDeadline != .never else { return }
    flowWheel.cancel(peers.flows[slot].place)
  }

  /// The next slot whose flow waits no longer.
  mutating func popExpiredFlow(now: Instant, _ peers: inout PeerTable) -> Slot? {
    guard let place = flowWheel.popExpired(now: now) else { return nil }
    let slot = peers.places.slot(at: place)
    peers.flows[slot].wheelDeadline = .never
    return slot
  }

  /// The next slot that waits no longer.
  mutating func popExpiredSlot(now: Instant, _ peers: inout PeerTable) -> Slot? {
    guard let slot = slotWheel.popExpired(now: now) else { return nil }
    peers.rows[slot].wheelDeadline = .never
    return slot
  }

  mutating func setTimer(at deadline: Instant, token: UInt64) -> UserTimer {
    userTimers.set(at: deadline, token: token)
  }

  mutating func cancelTimer(_ timer: UserTimer) -> Bool { userTimers.cancel(timer) }

  mutating func popExpiredTimer(now: Instant) -> UInt64? { userTimers.popExpired(now: now) }
}

// SPDX-License-Identifier: MIT
// The last step of both ways: what a connection owes, whether it has something to send, when to wake.

extension Engine {
  /// Judges every changed connection once: what it owes, what it may send, when to wake.
  ///
  /// - Parameter hasSent: the batch has been composed and sent. Before, a connection that is about to send is left until it has: most of
  ///   what it waits for now is over by that time, like the ACK that goes along. What it waits for after sending must be set then,
  ///   though it may have more to send: its next turn may be far away.
  mutating func settleDirty<H: Handler>(_ handler: inout H, hasSent: Bool = false) {
    reportPool(&handler)
    if writes.hasWaiting { reportWaiting(&handler) }
    if !messages.events.isEmpty || !messages.waiting.isEmpty { reportMessages(&handler) }
    while let slot = schedule.nextDirty(&peers) {
      if peers.rows[slot].phase == .established, peers.headers[slot].isKeyExhausted, wakes(slot) {
        end(slot, .keyExhausted, &handler)
      }
      settle(slot, hasSent: hasSent)
    }
  }

  // Not generic: a specialisation in another module does not inline what it calls, and each call would then have a copy
  // of the flow made, 3 KB.
  private mutating func settle(_ slot: Slot, hasSent: Bool) {
    guard peers.flows.contains(slot) else {
      if peers.rows[slot].phase == .established { arm(slot) }
      return
    }
    // It sends nothing any more.
    if peers.rows[slot].phase == .draining {
      arm(slot)
      return
    }
    peers.flows[slot].growReplayWindow()
    if peers.flows[slot].receive.reopened(pool) { peers.flows[slot].ack.demand() }
    if peers.flows[slot].receive.tellsHold, !holdsStream(slot) { peers.flows[slot].ack.demand() }
    if !hasSent, isJudgedAgain(slot) { return }
    if peers.flows[slot].mtu.wantsSearch, peers.rows[slot].phase == .established {
      peers.flows[slot].mtu.search(challenge: randomWord(), now: now)
    }
    peers.flows[slot].forgetPieces(pool: &pool)
    if peers.flows[slot].hasWork(now: now) { makeReady(slot) }
    if !hasSent, isJudgedAgain(slot) { return }
    restIfQuiet(slot)
    arm(slot)
  }

  /// Whether the connection is about to send, and is judged again then. Should the socket be full for long, a wheel calls all the
  /// same.
  @inline(__always)
  private func isJudgedAgain(_ slot: Slot) -> Bool {
    peers.rows[slot].isReady && peers.rows[slot].phase == .established
      && min(peers.flows[slot].wheelDeadline, peers.rows[slot].wheelDeadline) != .never
  }
}

// SPDX-License-Identifier: MIT
// The end of all connections at once.

/// What `closeAll` has still to do.
struct CloseOfResting {
  var code = CloseCode.none
  var reason = ""
  var walk = SlotWalk()
}

extension Engine {
  /// Closes every connection and every dial, as `close` does with each: `Handler.closed` follows for all of them with
  /// `local(code)`, and no other callback. A connection that begins while these leave may be closed with them.
  ///
  /// - Parameters:
  ///   - code: for the peers' programs; one of a program, or `goingAway`: `refused` for any other.
  ///   - reason: for people, at most 1,000 bytes of UTF-8; the rest is cut off.
  @discardableResult
  public mutating func closeAll(code: CloseCode = .goingAway, reason: String = "") -> CommandResult {
    guard !code.isReserved || code == .goingAway else { return .refused }
    for slot in Slot.all(peers.slots) where peers.flows.contains(slot) {
      switch peers.rows[slot].phase {
      case .established, .draining: close(slot, code: code, reason: reason)
      // A later attempt ends with the first, which has the user's handle.
      case .dialling: if peers.handshakes[slot].firstAttempt == 0 { close(slot, code: code, reason: reason) }
      case .free, .halfOpen, .superseded, .closing, .lingering: break
      }
    }
    sweeps.closing = CloseOfResting(code: code, reason: reason, walk: SlotWalk(over: peers.slots))
    return .done
  }

  /// Wakes and closes some of the connections at rest.
  mutating func closeResting() {
    var looked = 0
    while SlotWalk.continues(looked, ready: schedule.ready.count), let slot = sweeps.closing.walk.next() {
      if isResting(slot) { close(slot, code: sweeps.closing.code, reason: sweeps.closing.reason) }
      looked += 1
    }
  }

  /// The user is done with a connection, or a dial.
  mutating func close(_ slot: Slot, code: CloseCode, reason: String) {
    wake(slot)
    guard !peers.flows[slot].ending.isClosedByUser else { return }
    peers.flows[slot].ending.isClosedByUser = true
    peers.flows[slot].ending.closeCode = code
    peers.flows[slot].ending.closeReason = reason
    // At the latest, should CLOSE not get out of the socket.
    peers.flows[slot].ending.lingerDeadline = peers.headers[slot].idleDeadline
    if peers.rows[slot].phase != .dialling { move(slot, .close) }
    makeReady(slot)
  }
}

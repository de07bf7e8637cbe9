// The end of all connections at once.

/// What `closeAll` has still to do: connections at rest are woken a few at a time, so that a million of them do not need their
/// flows all at once.
struct CloseOfResting {
  var code: UInt32 = 0
  var reason = ""
  /// The slots that it has not come to.
  var slots = 0..<0
}

extension Engine {
  /// Closes every connection and every dial, as `close` does with each: `Handler.closed` follows for all of them with
  /// `local(code)`, and no other callback. A connection that begins while these leave may be closed with them.
  ///
  /// - Parameters:
  ///   - code: for the peers' programs; below `CloseCode.firstOwn`, or `CloseCode.goingAway`: `refused` for any other.
  ///   - reason: for people, at most 1,000 bytes of UTF-8; the rest is cut off.
  @discardableResult
  public mutating func closeAll(code: UInt32 = CloseCode.goingAway, reason: String = "") -> CommandResult {
    guard code < CloseCode.firstOwn || code == CloseCode.goingAway else { return .refused }
    for slot in 0..<peers.slots where peers.flows.contains(slot) {
      switch peers.rows[slot].phase {
      case .established, .draining: close(slot, code: code, reason: reason)
      // A later attempt ends with the first, which has the user's handle.
      case .dialling: if peers.handshakes[slot].leader == 0 { close(slot, code: code, reason: reason) }
      case .free, .answering, .forwarding, .closing, .lingering: break
      }
    }
    closeOfResting = CloseOfResting(code: code, reason: reason, slots: 0..<peers.slots)
    return .done
  }

  private static var mostReady: Int { 256 }
  private static var mostLookedAt: Int { 1 << 16 }

  /// Wakes and closes some of the connections at rest.
  mutating func closeResting() {
    var looked = 0
    while let slot = closeOfResting.slots.first, ready.count < Self.mostReady, looked < Self.mostLookedAt {
      closeOfResting.slots = slot + 1..<closeOfResting.slots.upperBound
      if isResting(slot) { close(slot, code: closeOfResting.code, reason: closeOfResting.reason) }
      looked += 1
    }
  }

  /// The user is done with a connection, or a dial.
  mutating func close(_ slot: Int, code: UInt32, reason: String) {
    wake(slot)
    guard !peers.flows[slot].isClosedByUser else { return }
    peers.flows[slot].isClosedByUser = true
    peers.flows[slot].closeCode = code
    peers.flows[slot].closeReason = reason
    // At the latest, should CLOSE not get out of the socket.
    peers.flows[slot].lingerDeadline = peers.flows[slot].idleDeadline
    if peers.rows[slot].phase != .dialling { move(slot, .close) }
    makeReady(slot)
  }
}

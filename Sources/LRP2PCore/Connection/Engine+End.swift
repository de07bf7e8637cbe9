// SPDX-License-Identifier: MIT
// The end of a connection: who is told, and what is given back.

extension Engine {
  mutating func endIfFinished<H: Handler>(_ slot: Slot, _ handler: inout H) {
    guard peers.rows[slot].phase == .established, peers.flows[slot].isFinished else { return }
    // After the end nobody hears what has become of messages.
    if !messages.events.isEmpty {
      reportMessages(&handler)
      guard peers.rows[slot].phase == .established else { return }
    }
    end(slot, .finished, &handler)
  }

  /// The connection is over for its user, at once or as soon as the reader has had what was acknowledged; then the slot lingers.
  ///
  /// - Parameter text: for people at the peer, where it is told.
  mutating func end<H: Handler>(_ slot: Slot, _ reason: CloseReason, telling text: String = "", _ handler: inout H) {
    if isUnread(slot, reason) {
      endUnread(slot, reason, text, &handler)
      return
    }
    let event: Phase.Event =
      switch reason {
      case .handshakeTimeout, .idleTimeout, .unreachable: .abandoned
      case .keyRefused, .handshakeFailed: .refused
      case .finished, .local, .remote, .reset, .noCommonProtocol, .protocolViolation, .unsupported, .keyExhausted,
        .sequenceExhausted, .unreadTimeout:
        .closed
      }
    let wasDialling = peers.rows[slot].phase == .dialling
    if wasDialling { dropAttempts(of: slot, but: slot) }
    move(slot, event)
    // One whose reader was late has told it before.
    if let code = toldCode(of: reason, slot), !peers.flows[slot].ending.drain.isOver {
      // Told to the peer like a close of our own.
      peers.flows[slot].ending.isClosedByUser = true
      owe(slot, close: code, text)
    }
    releaseCells(slot)
    // Whoever has been silent for so long is told nothing more.
    if reason == .handshakeTimeout { peers.dropHandshake(slot) }
    // To nobody who could repeat anything.
    peers.flows[slot].linger(isBrief: wasDialling || reason == .reset, &peers.headers[slot], now: now)
    if wasDialling { counters.handshakesFailed &+= 1 }
    markDirty(slot)
    handler.closed(peer(slot), reason: reason, engine: &self)
  }
}

extension Engine {
  /// It is over but for its reader.
  private mutating func endUnread<H: Handler>(
    _ slot: Slot, _ reason: CloseReason, _ text: String, _ handler: inout H
  ) {
    let peer = peer(slot)
    let isWaiting = awaitsWritable(slot)
    drain(slot, reason)
    if let code = toldCode(of: reason, slot) { owe(slot, close: code, text) }
    handler.draining(peer, reason: reason, engine: &self)
    // A reader that was paused until there is room would be so for good.
    if isWaiting, readable(peer) != nil { handler.writable(peer, engine: &self) }
  }

  /// The code that tells the peer of an end which it does not know of; `nil` of any other, and where the peer knows no CLOSE.
  private func toldCode(of reason: CloseReason, _ slot: Slot) -> CloseCode? {
    speaksVersion1(slot) ? reason.toldCode : nil
  }

  /// The peer is told of an end that it does not know of.
  private mutating func owe(_ slot: Slot, close code: CloseCode, _ text: String) {
    peers.flows[slot].ending.owesClose = true
    peers.flows[slot].ending.closeCode = code
    peers.flows[slot].ending.closeReason = text
    makeReady(slot)
  }
}

extension CloseReason {
  /// The code that tells the peer of an end which it does not know of.
  fileprivate var toldCode: CloseCode? {
    switch self {
    case .protocolViolation: .violation
    case .unsupported: .unknownCritical
    case .keyExhausted: .exhausted
    case .finished, .local, .remote, .reset, .handshakeTimeout, .unreachable, .idleTimeout, .unreadTimeout, .keyRefused,
      .handshakeFailed, .noCommonProtocol, .sequenceExhausted:
      nil
    }
  }
}

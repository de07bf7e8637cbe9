// SPDX-License-Identifier: MIT
// What a program may ask of messages, from any callback or between turns.

extension Engine {
  /// Sends a message: at most `maximumMessage(of:)` bytes, which are copied, and which the peer's `Handler.received(_:message:lane:engine:)`
  /// gets in one piece. It travels in the lane that the options name, and is sent again when it is lost unless they say otherwise.
  ///
  /// Small messages that wait at the same time share a datagram. One that is longer than a datagram is cut, and kept by the receiver until
  /// it is whole. What waits is bounded for the lane, the connection (`EngineConfiguration.messagePeerBytes`) and all
  /// (`messagePoolBytes`). In a steady state nothing is allocated.
  @discardableResult
  public mutating func send(_ peer: Peer, _ bytes: RawSpan, _ options: MessageOptions = MessageOptions())
    -> MessageResult
  {
    guard let slot = live(peer) else { return .ended }
    if let refusal = refusal(slot, bytes.byteCount, options.lane) { return refusal }
    guard makeRoom(slot, bytes.byteCount, lane: options.lane.index) else { return .full }
    guard let row = messages.store.store(bytes) else { return full(slot) }
    enqueue(slot, row, options)
    return .queued
  }

  /// The same with an array.
  @discardableResult
  public mutating func send(_ peer: Peer, _ bytes: [UInt8], _ options: MessageOptions = MessageOptions())
    -> MessageResult
  {
    unsafe send(peer, bytes.span.bytes, options)
  }

  /// Sends a message that the engine keeps already, for any number of peers: its bytes are in memory once.
  @discardableResult
  public mutating func send(
    _ peer: Peer, _ message: StoredMessage, _ options: MessageOptions = MessageOptions()
  ) -> MessageResult {
    guard let slot = live(peer), let row = messages.store.row(of: message), messages.store.isKept(row) else {
      return .ended
    }
    let length = messages.store.length(row)
    if let refusal = refusal(slot, length, options.lane) { return refusal }
    guard makeRoom(slot, length, lane: options.lane.index) else { return .full }
    messages.store.retain(row)
    enqueue(slot, row, options)
    return .queued
  }

  /// Keeps a copy of `bytes` for messages to many. Release it when it has been given to all: those that still have to get it keep it.
  ///
  /// - Returns: `nil` where `EngineConfiguration.messagePoolBytes` has no room for it.
  public mutating func store(_ bytes: RawSpan) -> StoredMessage? {
    guard let row = messages.store.store(bytes) else { return nil }
    messages.store.setKept(row, true)
    return messages.store.handle(row)
  }

  /// The program needs a stored message no longer. A second time, or with a void handle, it changes nothing.
  public mutating func release(_ message: StoredMessage) {
    guard let row = messages.store.row(of: message), messages.store.isKept(row) else { return }
    messages.store.setKept(row, false)
    messages.store.release(row)
    // A peer that waits for its memory hears of it in the next turn.
    if let id = messages.waiting.first, let slot = live(Peer(connectionID: id)) { makeReady(slot) }
  }

  /// The longest message that the peer takes, in bytes; 0 where it takes none: its handshake is not over, or it does not know messages.
  public func maximumMessage(of peer: Peer) -> Int {
    guard let slot = live(peer), speaksMessages(slot) else { return 0 }
    return Int(peers.headers[slot].peerMaximumMessage)
  }

  /// The longest message that leaves in one datagram on the connection's path at present, in bytes, whatever its lane. It grows as the path's
  /// size is found, and falls where the path changes to one that carries less. 0 where the peer takes no messages.
  public func maximumMessageWithoutFragments(of peer: Peer) -> Int {
    guard let slot = live(peer), speaksMessages(slot) else { return 0 }
    let capacity =
      peers.flows.contains(slot)
      ? peers.flows[slot].capacity : Segment.capacity(datagram: Int(peers.headers[slot].rest.mtu.datagram))
    return min(capacity - MessageFrame.longestHead, Int(peers.headers[slot].peerMaximumMessage))
  }

  /// Bytes of messages that this connection has not finished with: those that wait, and those that are under way.
  public func messageBytes(of peer: Peer) -> Int {
    guard let slot = live(peer), let outbox = outbox(slot) else { return 0 }
    return messages[outbox: outbox].bytes
  }

  /// Memory that messages to be sent take at present, in bytes: of `EngineConfiguration.messagePoolBytes`.
  public var messageBytesInUse: Int { messages.store.bytesInUse }

  @inline(__always)
  func speaksMessages(_ slot: Slot) -> Bool { peers.headers[slot].features & Feature.messages != 0 }

  /// Why a message cannot be taken, whatever there is room for.
  private func refusal(_ slot: Slot, _ length: Int, _ lane: Lane) -> MessageResult? {
    guard peers.rows[slot].phase == .established, speaksMessages(slot), lane.index < messages.lanes.count else {
      return .unsupported
    }
    if peers.flows.contains(slot), peers.flows[slot].send.finRequested { return .ended }
    guard length <= Int(peers.headers[slot].peerMaximumMessage), length <= configuration.messagePeerBytes,
      MessageStore.charge(of: length) <= configuration.messagePoolBytes
    else { return .tooLong }
    return nil
  }
}

// SPDX-License-Identifier: MIT
// Bytes that the engine keeps for its user: written once, sent and repeated from here, and dropped as they are acknowledged.

/// What has become of a write (`Engine.write`).
public enum WriteResult: Sendable, Hashable, BitwiseCopyable {
  /// All bytes were taken, and there is room for at least 16 KiB more.
  case sent
  /// The first `accepted` bytes were taken, which may be all or none. Stop here: `Handler.writable` follows once there is room.
  case full(accepted: Int)
  /// Nothing was taken: the connection is over, or its own direction was finished.
  case ended
}

extension Engine {
  /// Copies `bytes` into the connection's send buffer, from where they are sent, and sent again if they are lost. They are dropped as the
  /// peer acknowledges them.
  ///
  /// One connection holds at most `EngineConfiguration.writePeerBytes`, and all together `writePoolBytes`. After `sent` the
  /// connection has room for 16 KiB, as much as one `Handler.received` brings at most, unless other connections use up
  /// `writePoolBytes` in the meantime. A write allocates nothing once the buffers have grown to what the program needs.
  ///
  /// A handler that sends only by `write` is a `WritingHandler`. One that also uses `offer` may not have both at once on one
  /// connection: until what was offered is acknowledged a write takes nothing (`full`), and until what was written is
  /// acknowledged an offer is `refused`.
  ///
  /// Call it on the reactor's thread, from any callback that gets the engine or between turns. The connection may still be dialling.
  ///
  /// - Parameters:
  ///   - peer: whose connection it is.
  ///   - bytes: any number. They are copied, so they need not stay.
  @discardableResult
  public mutating func write(_ peer: Peer, _ bytes: RawSpan) -> WriteResult {
    guard let slot = awake(peer), !peers.flows[slot].send.finRequested else { return .ended }
    let row = openWritten(slot)
    let hasPulled = writes.isEmpty(row) && peers.flows[slot].send.acknowledgedOffset < peers.flows[slot].send.offered
    var accepted = 0
    if !hasPulled {
      writes.skip(row, to: peers.flows[slot].send.offered)
      accepted = writes.append(bytes, to: row)
      if accepted > 0 {
        peers.flows[slot].send.offer(upTo: writes.end(row))
        makeReady(slot)
      }
      if accepted == bytes.byteCount, writes.room(row) >= WritePool.reserve { return .sent }
    }
    if accepted < bytes.byteCount { counters.writesCut &+= 1 }
    writes.setFull(row, true)
    // Nothing of its own will be acknowledged: others have the memory.
    if !hasPulled, writes.isEmpty(row) { writes.wait(row, peer.connectionID) }
    return .full(accepted: accepted)
  }

  /// The same with an array.
  @discardableResult
  public mutating func write(_ peer: Peer, _ bytes: [UInt8]) -> WriteResult {
    unsafe write(peer, bytes.span.bytes)
  }

  /// How many bytes a write to this connection would take now; 0 where it is over or finished.
  public func writableBytes(of peer: Peer) -> Int {
    guard let slot = live(peer) else { return 0 }
    guard peers.flows.contains(slot) else { return writes.roomOfNew }
    let send = peers.flows[slot].send.offered - peers.flows[slot].send.acknowledgedOffset
    guard !peers.flows[slot].send.finRequested else { return 0 }
    guard let row = peers.flows[slot].written else { return send > 0 ? 0 : writes.roomOfNew }
    return writes.isEmpty(row) && send > 0 ? 0 : writes.room(row)
  }

  /// Memory that written bytes take at present, in bytes: of `EngineConfiguration.writePoolBytes`.
  public var writeBytesInUse: Int { writes.bytesInUse }

  private mutating func openWritten(_ slot: Slot) -> Int {
    if let row = peers.flows[slot].written { return row }
    let row = writes.open(at: peers.flows[slot].send.offered)
    peers.flows[slot].written = row
    return row
  }

  /// Has the payload of a segment written: from the send buffer, or by the user.
  @inline(__always)
  mutating func fill<H: Handler>(
    _ peer: Peer, _ slot: Slot, offset: UInt64, into payload: inout MutableRawSpan, _ handler: inout H
  ) {
    if peers.flows[slot].written != nil, fillWritten(slot, offset: offset, into: &payload) { return }
    handler.fill(peer, offset: offset, into: &payload)
  }

  /// - Returns: `false` where it was not written.
  @inline(never)
  private func fillWritten(_ slot: Slot, offset: UInt64, into payload: inout MutableRawSpan) -> Bool {
    guard let row = peers.flows[slot].written else { return false }
    return writes.copy(row, from: offset, into: &payload)
  }

  /// Whether all bytes from `offset` on that are held were pulled and not written.
  func mayOffer(_ slot: Slot, upTo offset: UInt64) -> Bool {
    guard let row = peers.flows[slot].written else { return true }
    return writes.isEmpty(row) || offset <= writes.end(row)
  }

  /// The peer has everything below `offset`: what was written of it is dropped.
  mutating func acknowledgeWritten(_ slot: Slot, upTo offset: UInt64) {
    if let row = peers.flows[slot].written { writes.acknowledge(row, upTo: offset) }
  }

  /// After `acknowledgeWritten`, and after the user has heard of that.
  mutating func reportWritable<H: Handler>(_ slot: Slot, _ handler: inout H) {
    guard live(peer(slot)) == slot, peers.flows.contains(slot), let row = peers.flows[slot].written, writes.isFull(row)
    else { return }
    // Bytes that were pulled come first: a write takes nothing until they are acknowledged.
    if writes.isEmpty(row), peers.flows[slot].send.acknowledgedOffset < peers.flows[slot].send.offered { return }
    if writes.isRoomy(row) {
      writes.setFull(row, false)
      handler.writable(peer(slot), engine: &self)
    } else if writes.isEmpty(row) {
      writes.wait(row, peer(slot).connectionID)
    }
  }

  /// Others have given memory back.
  mutating func reportWaiting<H: Handler>(_ handler: inout H) {
    var left = writes.waitingCount
    while left > 0, writes.hasWaiting, let handle = writes.nextWaiting() {
      left -= 1
      guard let slot = live(Peer(connectionID: handle)), peers.flows.contains(slot),
        let row = peers.flows[slot].written
      else { continue }
      writes.stopsWaiting(row)
      reportWritable(slot, &handler)
    }
  }

  /// Nothing that was written will be sent again.
  mutating func releaseWritten(_ slot: Slot) {
    guard let row = peers.flows[slot].written else { return }
    peers.flows[slot].written = nil
    writes.close(row)
  }

  /// Whether the connection's user waits for `Handler.writable`.
  func awaitsWritable(_ slot: Slot) -> Bool {
    guard let row = peers.flows[slot].written else { return false }
    return writes.isFull(row)
  }
}

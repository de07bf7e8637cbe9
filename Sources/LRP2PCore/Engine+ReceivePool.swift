// SPDX-License-Identifier: MIT
/// How much room there is in the pool of a reactor, which all its connections store what they receive in.
public enum ReceivePoolPressure: Sendable, Hashable, BitwiseCopyable {
  /// Segments have been refused: they are not acknowledged, and their senders wait until there is room. Connections that hold
  /// little may still store some. Let paused readers go on, or close those that hold much (`PeerStatistics.packetsUnread`,
  /// `PeerStatistics.packetsBehindGaps`).
  case full
  /// After `full`: half of the pool is free again.
  case relieved
}

extension Engine {
  /// Tells the user of a pool that is full, once, and once when it no longer is.
  @inline(__always)
  mutating func reportPool<H: Handler>(_ handler: inout H) {
    if pool.hasRefused || pool.isReportedFull { reportPoolChange(&handler) }
  }

  private mutating func reportPoolChange<H: Handler>(_ handler: inout H) {
    let hasRefused = pool.hasRefused
    pool.hasRefused = false
    if hasRefused, !pool.isReportedFull {
      pool.isReportedFull = true
      handler.receivePoolChanged(to: .full, engine: &self)
    } else if !hasRefused, pool.isReportedFull, pool.isHalfFree {
      pool.isReportedFull = false
      handler.receivePoolChanged(to: .relieved, engine: &self)
    }
  }

  /// What a reader waits for has come in pieces and finds no cell, of those that are kept for that neither: of the connections that
  /// have taken one lately, the first that has it still gives way. What it loses was not acknowledged, and comes again.
  /// - Returns: whether one did.
  mutating func reclaimKeptCell() -> Bool {
    while let id = pool.keptCellHolders.next(now: now) {
      guard let slot = peers.slot(of: id), peers.flows.contains(slot) else { continue }
      guard peers.flows[slot].releaseKeptCell(to: &pool) else { continue }
      counters.piecesEvicted &+= 1
      return true
    }
    return false
  }

  /// A segment finds no memory. The sender learns of it by the window of the next ACK; the original has nothing like that, and
  /// learns of it by silence.
  mutating func refuse(_ number: UInt32, _ slot: Slot) {
    counters.poolExhausted &+= 1
    pool.hasRefused = true
    if speaksVersion1(slot), peers.flows[slot].receive.refuse(number) { peers.flows[slot].ack.demand() }
  }
}

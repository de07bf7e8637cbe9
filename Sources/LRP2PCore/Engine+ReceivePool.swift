/// How much room there is in the pool of a reactor, which all its connections store what they receive in.
public enum ReceivePoolPressure: Sendable, Hashable, BitwiseCopyable {
  /// Segments have been refused: not acknowledged, so that their senders repeat them. Connections that hold little may
  /// still store a few. Let paused readers go on, or close those that hold much (`PeerStatistics.packetsUnread`,
  /// `PeerStatistics.packetsBehindGaps`).
  case full
  /// After `full`: half of the pool is free again.
  case relieved
}

extension Engine {
  /// Tells the user of a pool that is full, once, and once when it no longer is.
  @inline(__always)
  mutating func reportPool<H: Handler>(_ handler: inout H) {
    if poolHasRefused || isPoolFull { judgePool(&handler) }
  }

  private mutating func judgePool<H: Handler>(_ handler: inout H) {
    let hasRefused = poolHasRefused
    poolHasRefused = false
    if hasRefused, !isPoolFull {
      isPoolFull = true
      handler.receivePool(.full, engine: &self)
    } else if !hasRefused, isPoolFull, pool.isHalfFree {
      isPoolFull = false
      handler.receivePool(.relieved, engine: &self)
    }
  }

  /// A segment finds no memory.
  mutating func refuseForPool() {
    counters.poolExhausted &+= 1
    poolHasRefused = true
  }
}

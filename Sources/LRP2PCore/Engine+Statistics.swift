// SPDX-License-Identifier: MIT
// Figures: all derived from the state when they are read, so that keeping them costs nothing.

extension Engine {
  /// Counters of all peers together.
  public var statistics: EngineStatistics {
    var statistics = counters
    statistics.datagramsHeld = UInt64(listener.held.count)
    statistics.peers = UInt64(peers.inUse)
    statistics.poolBytesInUse = UInt64(pool.bytesInUse)
    return statistics
  }

  /// Figures of one connection; `nil` when the handle is void.
  public func statistics(of peer: Peer) -> PeerStatistics? {
    guard let slot = known(peer) else { return nil }
    return reading(slot) { statistics(slot, $0) }
  }

  /// How far the search for the largest datagram of a connection's path is; `nil` when the handle is void.
  package func pathSize(of peer: Peer) -> PathSize? {
    guard let slot = known(peer) else { return nil }
    return reading(slot) { PathSize(datagram: $0.mtu.datagram, limit: $0.mtu.maximum, isSearched: $0.mtu.isQuiet) }
  }

  /// What a connection's flow says; of one at rest, the flow that waking it would make.
  func reading<Result>(_ slot: Slot, _ body: (borrowing Flow) -> Result) -> Result {
    guard isResting(slot) else { return body(peers.flows[slot]) }
    return body(peers.awakened(slot, configuration: configuration, now: now))
  }

  @inline(__always)
  private func statistics(_ slot: Slot, _ flow: borrowing Flow) -> PeerStatistics {
    let (row, header) = (peers.rows[slot], peers.headers[slot])
    return PeerStatistics(
      smoothedRTT: flow.roundTrip.smoothed, minimumRTT: flow.roundTrip.shortest,
      variationRTT: flow.roundTrip.variation, congestion: flow.congestion.algorithm,
      congestionWindow: flow.congestion.window, pacingRate: flow.pacer.rate, deliveryRate: flow.rate.bytesPerSecond,
      datagramBytes: flow.mtu.datagram, address: row.address, limitedBy: sendLimit(row, flow),
      bytesInFlight: flow.send.bytesInFlight, packetsInFlight: flow.send.packetsInFlight,
      bytesWaiting: flow.send.bytesWaiting, sendWindowPackets: flow.send.windowLeft,
      retransmissions: header.retransmissions, congestionMarksReported: header.highestCE,
      ecn: row.version == 0 ? .off : flow.ecn.state,
      lastReceived: header.lastReceived, isReaderPaused: flow.receive.isPaused, isDraining: row.phase == .draining,
      packetsUnread: flow.receive.packetsUnread, gaps: flow.receive.earlyRuns,
      // What has been given back does not wait.
      packetsBehindGaps: flow.receive.hasEarly ? flow.receive.packetsBehindGaps : 0,
      receiveWindowPackets: flow.receive.windowLeft, congestionMarksReceived: flow.ack.ce,
      duplicatesReceived: flow.ack.duplicates, authenticationFailures: header.authenticationFailures,
      aead: header.aead, key: peers.remoteKeys[slot], version: row.version)
  }

  /// What keeps a connection that its user may act on from sending more.
  @inline(__always)
  private func sendLimit(_ row: PeerRow, _ flow: borrowing Flow) -> SendLimit {
    guard row.phase == .established else { return row.phase == .dialling ? .handshake : .application }
    let limit = flow.limit(hasTurn: row.isReady || row.isDirty, now: now)
    // What nothing in the protocol holds back has its turn at the end of the reactor's; unless the last did not get so far.
    return limit == .nothing && outbound.socketIsBehind ? .socket : limit
  }
}

/// Bytes of the datagrams that a path carries.
package struct PathSize: Sendable {
  /// The largest that has arrived.
  package var datagram = 0
  /// What both ends take.
  package var limit = 0
  /// Whether the search is over, for now.
  package var isSearched = false

  package init(datagram: Int = 0, limit: Int = 0, isSearched: Bool = false) {
    (self.datagram, self.limit, self.isSearched) = (datagram, limit, isSearched)
  }
}

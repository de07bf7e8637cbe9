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
    if isResting(slot) { return restingStatistics(slot) }
    return PeerStatistics(
      smoothedRTT: peers.flows[slot].roundTrip.smoothed, minimumRTT: peers.flows[slot].roundTrip.shortest,
      variationRTT: peers.flows[slot].roundTrip.variation, congestion: peers.flows[slot].congestion.algorithm,
      congestionWindow: peers.flows[slot].congestion.window, pacingRate: peers.flows[slot].pacer.rate,
      deliveryRate: peers.flows[slot].rate.bytesPerSecond, datagramBytes: peers.flows[slot].mtu.datagram,
      address: peers.rows[slot].address, limitedBy: sendLimit(slot),
      bytesInFlight: peers.flows[slot].send.bytesInFlight,
      packetsInFlight: peers.flows[slot].send.packetsInFlight, bytesWaiting: peers.flows[slot].send.bytesWaiting,
      sendWindowPackets: peers.flows[slot].send.windowLeft, retransmissions: peers.flows[slot].lasting.retransmissions,
      congestionMarksTold: peers.flows[slot].lasting.highestCE, lastReceived: peers.flows[slot].lasting.lastReceived,
      isReaderPaused: peers.flows[slot].receive.isPaused, isDraining: peers.rows[slot].phase == .draining,
      packetsUnread: peers.flows[slot].receive.packetsUnread,
      gaps: peers.flows[slot].receive.earlyRuns,
      // What has been given back does not wait.
      packetsBehindGaps: peers.flows[slot].receive.hasEarly ? peers.flows[slot].receive.packetsBehindGaps : 0,
      receiveWindowPackets: peers.flows[slot].receive.windowLeft,
      congestionMarksReceived: peers.flows[slot].ack.ce, duplicatesReceived: peers.flows[slot].ack.duplicates,
      authenticationFailures: peers.flows[slot].lasting.authenticationFailures, aead: peers.flows[slot].lasting.aead,
      key: peers.remoteKeys[slot], version: peers.rows[slot].version)
  }

  private func restingStatistics(_ slot: Slot) -> PeerStatistics {
    let row = peers.resting[slot]
    let roundTrip = RoundTripEstimate(from: row.roundTrip)
    let ack = AckSchedule(from: row.ack)
    let datagram = Int(row.mtu.datagram)
    let congestion = CongestionControl(
      row.congestion, segment: datagram, initialWindow: configuration.initialWindow, seed: 0)
    return PeerStatistics(
      smoothedRTT: roundTrip.smoothed, minimumRTT: roundTrip.shortest, variationRTT: roundTrip.variation,
      congestion: congestion.algorithm, congestionWindow: congestion.window, pacingRate: 0,
      deliveryRate: row.deliveryRate, datagramBytes: datagram, address: peers.rows[slot].address,
      limitedBy: .application, bytesInFlight: 0, packetsInFlight: 0, bytesWaiting: 0,
      sendWindowPackets: row.send.windowLeft, retransmissions: row.lasting.retransmissions,
      congestionMarksTold: row.lasting.highestCE, lastReceived: row.lasting.lastReceived, isReaderPaused: false,
      isDraining: false,
      packetsUnread: 0, gaps: 0, packetsBehindGaps: 0, receiveWindowPackets: row.receive.windowLeft,
      congestionMarksReceived: ack.ce,
      duplicatesReceived: ack.duplicates, authenticationFailures: row.lasting.authenticationFailures,
      aead: row.lasting.aead,
      key: peers.remoteKeys[slot], version: peers.rows[slot].version)
  }

  /// What keeps a connection that its user may act on from sending more.
  private func sendLimit(_ slot: Slot) -> SendLimit {
    guard peers.rows[slot].phase == .established else {
      return peers.rows[slot].phase == .dialling ? .handshake : .application
    }
    let hasTurn = peers.rows[slot].isReady || peers.rows[slot].isDirty
    let limit = peers.flows[slot].limit(hasTurn: hasTurn, now: now)
    // What nothing in the protocol holds back has its turn at the end of the reactor's; unless the last did not get so far.
    return limit == .nothing && outbound.socketIsBehind ? .socket : limit
  }
}

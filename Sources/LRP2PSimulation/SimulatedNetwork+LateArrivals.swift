// SPDX-License-Identifier: MIT
import LRP2PCore

// What datagrams do that arrive for a connection that is over.

extension SimulatedNetwork {
  /// Looks at a datagram that has arrived. - Returns: whether it was for a connection that is over, and is delivered.
  mutating func watch(_ flight: Flight, to host: Int, _ local: Instant) -> Bool {
    let id = unsafe cells.bytes(flight.cell, 8).bigEndian64(0)
    let isThere = hosts[host].has(id)
    if flight.isToConnection, !isThere {
      deliverLate(flight, id: id, to: host, local)
      return true
    }
    guard flight.isHandshake else { return false }
    if isThere {
      let phase = hosts[host].engine.peers.rows[Peer.slot(of: id)].phase
      if phase == .established || phase == .lingering { late.handshakeMessages += 1 }
    } else if flight.isCopy, flight.length < Datagram.smallestPath {
      late.handshakeMessages += 1
    }
    return false
  }

  /// A datagram for a connection that is over, in a batch of its own: what the batch before it has done is settled first, so
  /// that whatever changes is its doing.
  private mutating func deliverLate(_ flight: Flight, id: UInt64, to host: Int, _ local: Instant) {
    receiveIncoming(host, local)
    let slot = Peer.slot(of: id)
    late.count(hosts[host].engine.peers.rows[slot].phase)
    let footprint = Footprint(hosts[host].engine, slot: slot)
    let statistics = hosts[host].engine.statistics
    place(flight, for: host)
    receiveIncoming(host, local)
    if Footprint(hosts[host].engine, slot: slot) != footprint
      || !hosts[host].engine.statistics.isOneUnknown(since: statistics)
    {
      late.confused += 1
    }
  }
}

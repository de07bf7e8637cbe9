// SPDX-License-Identifier: MIT
import LRP2PCore

/// What a datagram or a command that is for somebody else must not change of a connection: whatever it could do leaves a trace
/// in one of these.
package struct Footprint: Equatable {
  private var words: [UInt64]

  package init(_ engine: borrowing Engine, slot: Slot) {
    let row = engine.peers.rows[slot]
    let flags = [
      row.isReady, row.isDirty, row.isIncoming, row.isConfirmed, row.owesHandshake, row.isResumed, row.version == 0,
      engine.peers.flows.contains(slot), engine.peers.handshakes.contains(slot), engine.readyCount > 0,
    ]
    words = [
      row.connectionID, row.remoteID, row.sendPacketNumber, row.wheelDeadline, row.address.high, row.address.low,
      UInt64(row.address.port), UInt64(row.phase.rawValue), flags.reduce(0) { $0 << 1 | ($1 ? 1 : 0) },
      engine.peers.keys[PeerTable.openingRow(slot)].bytes.bytes.bigEndian64(0),
      engine.peers.keys[PeerTable.sealingRow(slot)].bytes.bytes.bigEndian64(0),
      engine.peers.headers[slot].lastReceived, engine.peers.headers[slot].lastSent,
      engine.peers.headers[slot].authenticationFailures, engine.peers.headers[slot].retransmissions,
    ]
    if engine.peers.flows.contains(slot) {
      addFlow(engine, slot)
    } else {
      words.append(engine.peers.headers[slot].rest.ack.duplicates)
    }
    guard engine.peers.handshakes.contains(slot) else { return }
    words += [
      UInt64(engine.peers.handshakes[slot].held),
      UInt64(engine.peers.handshakes[slot].targets.reduce(0) { $0 + $1.timed + $1.count }),
      engine.peers.handshakes[slot].sentAt, engine.peers.handshakes[slot].nextAttempt,
      engine.peers.handshakes[slot].isRefused ? 1 : 0,
    ]
  }

  private mutating func addFlow(_ engine: borrowing Engine, _ slot: Slot) {
    let flags = [
      engine.peers.flows[slot].ending.isClosedByUser, engine.peers.flows[slot].ending.owesClose,
      engine.peers.flows[slot].owesPing,
      engine.peers.flows[slot].pongs.first != nil, engine.peers.flows[slot].owesFirstAck,
      engine.peers.flows[slot].awaitsPing,
      engine.peers.flows[slot].receive.isPaused, engine.peers.flows[slot].receive.isFinDelivered,
      engine.peers.flows[slot].send.finRequested, engine.peers.flows[slot].send.finSent,
      engine.peers.flows[slot].send.finAcknowledged, engine.peers.flows[slot].congestion.algorithm == .bbr,
      engine.peers.flows[slot].ack.isUrgent, engine.peers.flows[slot].remembered != nil,
    ]
    words += [
      flags.reduce(0) { $0 << 1 | ($1 ? 1 : 0) }, engine.peers.flows[slot].replay.highest ?? .max,
      UInt64(engine.peers.flows[slot].place), engine.peers.flows[slot].wheelDeadline,
      engine.peers.flows[slot].ending.lingerDeadline, UInt64(engine.peers.flows[slot].ending.lingerReceived),
      engine.peers.flows[slot].reportedOffset, UInt64(engine.peers.flows[slot].pingToken),
      UInt64(engine.peers.flows[slot].ptoCount), engine.peers.flows[slot].ack.deadline,
      engine.peers.flows[slot].ack.duplicates, engine.peers.flows[slot].ack.elicitingReceived,
      UInt64(engine.peers.flows[slot].receive.next), UInt64(engine.peers.flows[slot].receive.delivered),
      UInt64(engine.peers.flows[slot].receive.highest), engine.peers.flows[slot].send.offered,
      engine.peers.flows[slot].send.acknowledgedOffset, UInt64(engine.peers.flows[slot].send.edge),
      UInt64(engine.peers.flows[slot].send.next), engine.peers.flows[slot].congestion.window,
    ]
  }
}

/// Datagrams that came for a connection which is over, and what they did: they may be counted as unknown, and nothing else.
package struct LateArrivals: Sendable {
  /// Nobody has the slot.
  package internal(set) var atFreeSlots: UInt64 = 0
  /// Another connection has the slot, by its phase: half-open, established or dialling, over.
  package internal(set) var atHalfOpen: UInt64 = 0
  package internal(set) var atLive: UInt64 = 0
  package internal(set) var atLingering: UInt64 = 0
  /// Of these, the ones that changed anything of the slot's connection, or any counter but that of unknown connections.
  package internal(set) var confused: UInt64 = 0

  /// Repeated messages 2 that came when the handshake was over, and are taken for data that does not open, and repeated messages 3,
  /// of which some find that somebody has repeated message 1 before.
  package internal(set) var handshakeMessages: UInt64 = 0

  package var atSuccessors: UInt64 { atHalfOpen + atLive + atLingering }

  mutating func count(_ phase: Phase) {
    switch phase {
    case .free: atFreeSlots += 1
    case .halfOpen: atHalfOpen += 1
    case .dialling, .established, .superseded: atLive += 1
    case .closing, .draining, .lingering: atLingering += 1
    }
  }
}

extension EngineStatistics {
  /// Whether one datagram has come since, which was for nobody.
  func isOneUnknown(since before: EngineStatistics) -> Bool {
    datagramsReceived == before.datagramsReceived + 1 && unknownConnection == before.unknownConnection + 1
      && authenticationFailures == before.authenticationFailures && replays == before.replays
      && malformed == before.malformed && duplicates == before.duplicates && beyondWindow == before.beyondWindow
      && handshakesStarted == before.handshakesStarted && handshakesCompleted == before.handshakesCompleted
      && handshakesFailed == before.handshakesFailed && pathValidations == before.pathValidations
      && cookieRepliesSent == before.cookieRepliesSent && handshakesWithoutCookie == before.handshakesWithoutCookie
      && peers == before.peers && poolBytesInUse == before.poolBytesInUse
  }
}

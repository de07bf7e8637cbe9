// SPDX-License-Identifier: MIT
import LRP2PCore

/// Sends a number of bytes, each a function of its offset, on every connection; checks every byte that comes.
package struct StreamHandler: Handler {
  package struct Progress {
    package var received: UInt64 = 0
    package var acknowledged: UInt64 = 0
    package var isFinished = false
    package var isIncoming = false
    package var closed: CloseReason?
  }

  /// Bytes to send on each connection; `nil` echoes what comes.
  package var bytesToSend: UInt64?
  package var peers: [Peer: Progress] = [:]
  package var mismatches = 0
  /// Received behind the end, twice, or without a connection.
  package var violations = 0
  package var refusesKeys = false
  package var refusal = Admission.refused(reason: "key refused")
  /// What dialling programs have said, and what is refused if they do not say it.
  package var payloads: [[UInt8]] = []
  package var wantedPayload: [UInt8]?
  /// Stops reading every peer behind so many bytes; `resumeAll` goes on.
  package var pausesAt: UInt64 = .max
  package var timersFired: [UInt64] = []
  package var closedCount = 0
  package var drainings: [CloseReason] = []
  /// Closes a connection that drains, with this code.
  package var closesDraining: CloseCode?
  package var pongs: [UInt16] = []
  package var moves: [Address] = []
  /// Closes a connection that moves, with this code.
  package var closesMoving: CloseCode?
  /// Of each switch of path that has ended, whether both sides use the new one.
  package var switches: [Bool] = []
  package var poolPressures: [ReceivePoolPressure] = []

  package init(bytesToSend: UInt64?) { self.bytesToSend = bytesToSend }

  @inline(__always)
  package static func byte(at offset: UInt64) -> UInt8 {
    UInt8(truncatingIfNeeded: (offset &* 0x9E37_79B9_7F4A_7C15) >> 56)
  }

  package mutating func admission(of key: PublicKey, from address: Address, payload: RawSpan) -> Admission {
    let payload = (0..<payload.byteCount).map { payload.byte($0) }
    payloads.append(payload)
    return !refusesKeys && wantedPayload ?? payload == payload ? .accepted : refusal
  }

  package mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    if peers[peer] != nil { violations += 1 }
    peers[peer] = Progress(isIncoming: info.isIncoming)
    if let bytesToSend {
      engine.offer(peer, upTo: bytesToSend)
      engine.finish(peer)
    }
  }

  package mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard var progress = peers[peer], !progress.isFinished, progress.closed == nil else {
      violations += 1
      return
    }
    for index in 0..<bytes.byteCount
    where bytes.byte(index) != Self.byte(at: progress.received + UInt64(index)) { mismatches += 1 }
    let before = progress.received
    progress.received += UInt64(bytes.byteCount)
    peers[peer] = progress
    if bytesToSend == nil { engine.offer(peer, upTo: progress.received) }
    if before < pausesAt, progress.received >= pausesAt { engine.pause(peer) }
  }

  package mutating func receivePoolChanged(to pressure: ReceivePoolPressure, engine: inout Engine) {
    poolPressures.append(pressure)
  }

  package mutating func finished(_ peer: Peer, engine: inout Engine) {
    if peers[peer]?.isFinished ?? true { violations += 1 }
    peers[peer]?.isFinished = true
    if bytesToSend == nil { engine.finish(peer) }
  }

  package mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    if offset < peers[peer]?.acknowledged ?? 0 { violations += 1 }
    for index in 0..<bytes.byteCount { bytes.setByte(index, Self.byte(at: offset + UInt64(index))) }
  }

  package mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    if offset <= peers[peer]?.acknowledged ?? 0 { violations += 1 }
    peers[peer]?.acknowledged = offset
  }

  package mutating func draining(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if peers[peer] == nil || peers[peer]?.closed != nil { violations += 1 }
    drainings.append(reason)
    if let closesDraining { engine.close(peer, code: closesDraining) }
  }

  package mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if peers[peer]?.closed != nil { violations += 1 }
    peers[peer, default: Progress()].closed = reason
    closedCount += 1
  }

  package mutating func moved(_ peer: Peer, to address: Address, engine: inout Engine) {
    moves.append(address)
    if let closesMoving { engine.close(peer, code: closesMoving) }
  }

  package mutating func pathSwitched(_ peer: Peer, succeeded: Bool, engine: inout Engine) {
    if peers[peer]?.closed != nil { violations += 1 }
    switches.append(succeeded)
  }

  package mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine) { pongs.append(token) }

  package mutating func timerFired(token: UInt64, engine: inout Engine) { timersFired.append(token) }
}

// SPDX-License-Identifier: MIT
// What a peer says beside its stream, and what it says when the connection is over.

extension Engine {
  /// - Parameter bytes: of the datagram.
  mutating func receiveControl<H: Handler>(
    _ kind: UInt16, token: UInt16, _ body: RawSpan, _ slot: Slot, from source: Address, packetNumber: UInt64,
    bytes: Int, _ handler: inout H
  ) {
    switch kind {
    case Control.ping:
      // Token 0 asks for an ACK only.
      if token != 0 { peers.flows[slot].pongs.owe(token) }
    case Control.pong:
      if token != 0 { handler.pongReceived(peer(slot), token: token, engine: &self) }
    case Control.challenge:
      guard body.byteCount >= Control.challengeLength else {
        counters.malformed &+= 1
        return
      }
      oweResponse(slot, body.bigEndian64(0), to: source)
    case Control.response:
      receiveResponse(body, slot, &handler)
    case Control.switchPath:
      receiveSwitch(body, slot, from: source, packetNumber: packetNumber, bytes: bytes, &handler)
    case Control.close:
      let reason: CloseReason
      do throws(Malformed) {
        let code = try Control.closeCode(body)
        let text = try Control.closeReason(body)
        // Who has found out makes no difference to the program.
        reason = code == .noCommonProtocol ? .noCommonProtocol : .remote(code: code, reason: text)
      } catch {
        counters.malformed &+= 1
        return
      }
      peers.flows[slot].owesNothing(now: now)
      end(slot, reason, &handler)
    default:
      counters.unknownControl &+= 1
    }
  }

  /// What reaches a connection that is over: a finished one acknowledges a repeated FIN, a closed one, and one that
  /// waits for its reader only and has told the peer so, repeats CLOSE at most once for each doubling of what it receives.
  mutating func receiveLate(_ plaintext: RawSpan, _ slot: Slot, packetNumber: UInt64) {
    guard let segment = try? Segment.parse(plaintext) else { return }
    let isDraining = peers.rows[slot].phase == .draining
    if isDraining ? peers.flows[slot].ending.closeCode != .none : peers.flows[slot].ending.isClosedByUser {
      peers.flows[slot].ending.lingerReceived += 1
      // Not to a CLOSE: two who have closed would have no end of it.
      if peers.flows[slot].ending.lingerReceived >= peers.flows[slot].ending.lingerAnswerAt,
        segment.controlKind != Control.close
      {
        peers.flows[slot].ending.lingerAnswerAt *= 2
        peers.flows[slot].ending.owesClose = true
        makeReady(slot)
      }
    } else if !isDraining, peers.flows[slot].isFinished, segment.isAckEliciting, peers.flows[slot].answersFin {
      peers.flows[slot].ack.received(
        packetNumber: packetNumber, ecn: 0, ratio: 1, maximumDelay: 0, roundTrip: 0, now: now)
      peers.flows[slot].ack.demand()
      peers.flows[slot].extendLinger(now: now)
      makeReady(slot)
    }
  }
}

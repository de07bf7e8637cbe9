// What a peer says beside its stream, and what it says when the connection is over.

extension Engine {
  mutating func receiveControl<H: Handler>(
    _ kind: UInt16, token: UInt16, _ body: RawSpan, _ slot: Int, from source: Address, _ handler: inout H
  ) {
    switch kind {
    case Control.ping:
      // Token 0 asks for an ACK only.
      if token != 0 { peers.flows[slot].pongs.owe(token) }
    case Control.pong:
      if token != 0 { handler.pong(peer(slot), token: token, engine: &self) }
    case Control.challenge:
      guard body.byteCount >= Control.challengeLength else {
        counters.malformed &+= 1
        return
      }
      if !peers.flows[slot].path.owe(body.bigEndian64(0), to: source) { counters.challengesOverLimit &+= 1 }
    case Control.response:
      receiveResponse(body, slot, &handler)
    case Control.close:
      let reason: CloseReason
      do throws(Malformed) {
        reason = .remote(code: try Control.closeCode(body), reason: try Control.closeReason(body))
      } catch {
        counters.malformed &+= 1
        return
      }
      end(slot, reason, &handler)
    default:
      counters.unknownControl &+= 1
    }
  }

  /// What reaches a connection that is over: a finished one acknowledges a repeated FIN, a closed one, and one that
  /// waits for its reader only and has told the peer so, repeats CLOSE at most once for each doubling of what it receives.
  mutating func receiveLate(_ plaintext: RawSpan, _ slot: Int, packetNumber: UInt64) {
    counters.late &+= 1
    counters.datagramsAccepted &-= 1
    guard let segment = try? Segment.parse(plaintext) else { return }
    let isDraining = peers.rows[slot].phase == .draining
    if isDraining ? peers.flows[slot].closeCode != 0 : peers.flows[slot].isClosedByUser {
      peers.flows[slot].lingerReceived += 1
      // Not to a CLOSE: two who have closed would have no end of it.
      if peers.flows[slot].lingerReceived >= peers.flows[slot].lingerAnswerAt, segment.controlKind != Control.close {
        peers.flows[slot].lingerAnswerAt *= 2
        peers.flows[slot].owesClose = true
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

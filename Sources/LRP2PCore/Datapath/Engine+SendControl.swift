// SPDX-License-Identifier: MIT
// Step 2 of the way out, CONTROL: PING, PONG, CLOSE.

extension Engine {
  mutating func sendPings(_ slot: Slot, into batch: inout DatagramBatch) -> Bool {
    if peers.flows[slot].owesPing {
      guard sendControl(slot, Control.ping, token: 0, flags: SegmentFlag.ackNow, into: &batch) else { return false }
      peers.flows[slot].owesPing = false
      peers.flows[slot].awaitsPing = true
      peers.flows[slot].lastElicitingSent = now
    }
    if peers.flows[slot].pingToken != 0 {
      guard
        sendControl(slot, Control.ping, token: peers.flows[slot].pingToken, flags: SegmentFlag.ackNow, into: &batch)
      else { return false }
      peers.flows[slot].pingToken = 0
    }
    while let token = peers.flows[slot].pongs.first {
      guard sendControl(slot, Control.pong, token: token, flags: 0, into: &batch) else { return false }
      peers.flows[slot].pongs.removeFirst()
    }
    return true
  }

  mutating func sendControl(
    _ slot: Slot, _ kind: UInt16, token: UInt16, flags: UInt8, into batch: inout DatagramBatch
  ) -> Bool {
    // Now and then with a flag and an option that mean nothing, so that skipping what is unknown stays true of every peer.
    let random = randomWord()
    let optionLength = random & 3 == 0 ? 2 + Int(random >> 8 & 7) : 0
    guard let datagram = place(Segment.controlLength + optionLength, slot, into: &batch) else { return false }
    var bytes = batch.arena.mutableBytes(datagram.segment, Segment.controlLength + optionLength)
    Segment.writeControl(
      flags: flags | (optionLength > 0 ? SegmentFlag.ignored : 0), kind: kind, token: token, into: &bytes)
    if optionLength > 0 {
      bytes.setByte(0, UInt8(Segment.controlLength + optionLength))
      bytes.setByte(Segment.controlLength, SegmentOption.meaningless(random >> 16))
      bytes.setByte(Segment.controlLength + 1, UInt8(optionLength - 2))
      for index in 2..<optionLength {
        bytes.setByte(Segment.controlLength + index, UInt8(truncatingIfNeeded: random >> (24 + 5 * UInt64(index))))
      }
    }
    return true
  }

  mutating func sendClose(_ slot: Slot, into batch: inout DatagramBatch) -> Bool {
    let reason = peers.flows[slot].ending.closeReason
    let bodyLength = Control.closeLength(reason)
    guard let datagram = place(Segment.controlLength + bodyLength, slot, into: &batch) else { return false }
    var bytes = batch.arena.mutableBytes(datagram.segment, Segment.controlLength + bodyLength)
    Segment.writeControl(flags: 0, kind: Control.close, token: 0, into: &bytes)
    Control.writeClose(peers.flows[slot].ending.closeCode, reason, at: Segment.controlLength, into: &bytes)
    peers.flows[slot].ending.owesClose = false
    return true
  }
}

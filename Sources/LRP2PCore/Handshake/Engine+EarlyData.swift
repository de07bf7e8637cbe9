// SPDX-License-Identifier: MIT
// Data that overtakes message 3: held until its keys are there, within bounds for each handshake and for all. It is rare, and may
// allocate: places for what is held, and a batch to open it in.

extension Engine {
  mutating func hold(_ datagram: RawSpan, _ slot: Slot, _ message: Message) {
    let address = message.address
    guard address == peers.rows[slot].address, !peers.handshakes[slot].isTurnedAway,
      peers.handshakes[slot].held < HeldDatagrams.maximumPerHandshake,
      listener.held.hold(
        datagram, connectionID: peers.rows[slot].connectionID, from: address, ecn: message.ecn, pool: &pool)
    else {
      counters.earlyDataRefused &+= 1
      return
    }
    peers.handshakes[slot].held += 1
  }

  /// What a handshake that is given up has held.
  mutating func releaseHeld(_ slot: Slot) {
    guard peers.handshakes.contains(slot), peers.handshakes[slot].held > 0 else { return }
    let id = peers.rows[slot].connectionID
    var index = 0
    while index < listener.held.count {
      if listener.held[index].connectionID == id { abandonHeld(index) } else { index += 1 }
    }
  }

  private mutating func abandonHeld(_ index: Int) {
    counters.earlyDataAbandoned &+= 1
    listener.held.remove(index, pool: &pool)
  }

  /// Opens what was held for connections that have their keys now, as if it came in this moment.
  mutating func openHeld<H: Handler>(_ handler: inout H) {
    listener.held.isReady = false
    var batch = DatagramBatch(messages: HeldDatagrams.maximumPerHandshake, messageCapacity: pool.cellBytes)
    var index = 0
    while index < listener.held.count {
      if batch.count == batch.messages.count {
        // A callback may end handshakes, and what they have held is not where it was.
        dispatchHeld(&batch, &handler)
        index = 0
        continue
      }
      let entry = listener.held[index]
      guard let slot = peers.slot(of: entry.connectionID), peers.rows[slot].phase != .halfOpen else {
        if peers.slot(of: entry.connectionID) == nil { abandonHeld(index) } else { index += 1 }
        continue
      }
      var message = Message()
      message.address = entry.address
      message.ecn = entry.ecn
      message.offset = batch.count * batch.messageCapacity
      message.length = Int(entry.length)
      message.segmentSize = message.length
      var target = batch.arena.mutableBytes(message.offset, message.length)
      target.copy(unsafe pool.bytes(entry.cell, message.length), to: 0)
      batch.messages[batch.count] = message
      batch.count += 1
      if peers.handshakes.contains(slot) { peers.handshakes[slot].held = 0 }
      listener.held.remove(index, pool: &pool)
    }
    dispatchHeld(&batch, &handler)
  }

  private mutating func dispatchHeld<H: Handler>(_ batch: inout DatagramBatch, _ handler: inout H) {
    for index in 0..<batch.count {
      let message = batch.messages[index]
      classify(batch, message, index, offset: message.offset, length: message.length, &handler)
    }
    open(&batch, &handler)
    batch.clear()
  }
}

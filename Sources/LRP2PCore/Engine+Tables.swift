// SPDX-License-Identifier: MIT
// How much there is in an engine's tables, how much they have room for, and where: for simulations that watch them over a long
// time, and for the reactor, which can tell the kernel what the memory is for.

/// One table of an engine.
package struct TableUse: BitwiseCopyable, Sendable {
  package var name: StaticString
  /// Entries in use; what belongs to connections is 0 when all of them are over.
  package var inUse: Int
  /// Entries that there is memory for.
  package var capacity: Int
}

extension Engine {
  /// Changes when a table gets memory of which `forEachTableBlock` has not told before.
  package var tableBlocks: Int { peers.blockCount &+ schedule.slotWheel.blockCount }

  /// Calls `body` with the memory of everything that has a row for each peer. It stays where it is while the engine lives.
  package func forEachTableBlock(_ body: (UnsafeRawBufferPointer) -> Void) {
    unsafe peers.forEachBlock(body)
    unsafe schedule.slotWheel.forEachBlock(body)
  }

  /// Memory of messages that have come in part, in bytes.
  package var incomingBytesHeld: Int { messages.incoming.bytesHeld }

  package var tables: [TableUse] {
    [
      TableUse(name: "slots", inUse: peers.inUse, capacity: peers.slots),
      TableUse(name: "flows", inUse: peers.flows.inUse, capacity: peers.flows.count),
      TableUse(name: "handshakes", inUse: peers.handshakes.inUse, capacity: peers.handshakes.count),
      TableUse(name: "initiators", inUse: peers.initiators.count, capacity: peers.initiators.capacity),
      TableUse(name: "reset tokens", inUse: peers.resetTokens.count, capacity: peers.resetTokens.capacity),
      TableUse(name: "attempts", inUse: peers.attempts.count, capacity: peers.attempts.capacity),
      TableUse(name: "half-open handshakes", inUse: peers.halfOpenCount, capacity: peers.handshakes.count),
      TableUse(name: "identities", inUse: limits.identities.inUse, capacity: limits.identities.capacity),
      TableUse(name: "networks", inUse: limits.networks.inUse, capacity: limits.networks.capacity),
      TableUse(name: "flows' places", inUse: peers.places.inUse, capacity: peers.places.count),
      TableUse(name: "timer wheel", inUse: 0, capacity: schedule.slotWheel.rows),
      TableUse(name: "flows' timer wheel", inUse: 0, capacity: schedule.flowWheel.rows),
      TableUse(name: "user timers", inUse: schedule.userTimers.count, capacity: schedule.userTimers.capacity),
      TableUse(name: "ready queue", inUse: schedule.ready.count, capacity: schedule.ready.capacity),
      TableUse(name: "dirty queue", inUse: schedule.dirty.count, capacity: schedule.dirty.capacity),
      TableUse(name: "held datagrams", inUse: listener.held.count, capacity: listener.held.capacity),
      TableUse(name: "written streams", inUse: writes.streamsInUse, capacity: writes.streamsInUse),
      TableUse(name: "written chunks", inUse: writes.chunksInUse, capacity: writes.capacity),
      TableUse(
        name: "messages", inUse: messages.store.count + messages.incoming.count, capacity: messages.nodes.capacity),
      TableUse(name: "message queues", inUse: messages.nodes.count, capacity: messages.nodes.capacity),
      TableUse(name: "outboxes", inUse: messages.outboxes.inUse, capacity: messages.outboxes.capacity),
      TableUse(name: "lanes", inUse: messages.states.inUse, capacity: messages.states.capacity),
      TableUse(name: "early messages", inUse: messages.rings.inUse, capacity: messages.rings.count),
      TableUse(name: "messages in part", inUse: messages.partials.inUse, capacity: messages.partials.capacity),
      TableUse(
        name: "memberships", inUse: messages.groups.membershipsInUse, capacity: messages.groups.membershipCapacity),
      TableUse(name: "receive pool", inUse: pool.cellsInUse, capacity: pool.capacity),
    ]
  }
}

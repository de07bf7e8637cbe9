// SPDX-License-Identifier: MIT
// Messages on their way: from the call that sends one to what has become of it.

extension Engine {
  @inline(__always)
  func outbox(_ slot: Slot) -> UInt32? {
    let outbox = peers.headers[slot].outbox
    return outbox < Outbox.awaited ? outbox : nil
  }

  // MARK: In

  /// A call is answered with `full`, as there is no memory for the message; `writable` follows.
  mutating func full(_ slot: Slot) -> MessageResult {
    if let outbox = outbox(slot) {
      messages[outbox: outbox].isFull = true
    } else if peers.headers[slot].outbox == Outbox.none {
      awaitRoom(slot)
    }
    return .full
  }

  /// Others have the memory.
  private mutating func awaitRoom(_ slot: Slot) {
    peers.headers[slot].outbox = Outbox.awaited
    messages.waiting.append(peer(slot).connectionID)
  }

  /// Whether the connection may be given a message of this length in a lane, as the lane's policy has it.
  mutating func makeRoom(_ slot: Slot, _ length: Int, lane: Int) -> Bool {
    guard let outbox = outbox(slot) else { return true }
    if messages.lanes.flags[lane] & MessageNode.latest != 0 {
      dropWaiting(outbox, slot, lane: lane, membership: MessageNode.none, upTo: .max)
    }
    dropExpired(outbox, slot, lane: lane)
    let bound = Int(messages.lanes.bounds[lane])
    let waits = Int(messages[outbox: outbox].laneBytes[lane])
    if waits > 0, waits + length > bound {
      if messages.lanes.dropsOldest & 1 << UInt16(lane) != 0 {
        dropWaiting(outbox, slot, lane: lane, membership: MessageNode.none, upTo: waits + length - bound)
      } else {
        messages[outbox: outbox].isFull = true
        return false
      }
    }
    guard messages[outbox: outbox].bytes + length <= configuration.messagePeerBytes else {
      messages[outbox: outbox].isFull = true
      return false
    }
    return true
  }

  /// Queues a message of which a reference is the queue's.
  @inline(__always)
  mutating func enqueue(
    _ slot: Slot, _ row: UInt32, _ options: MessageOptions, membership: UInt32 = MessageNode.none, flags: UInt8 = 0
  ) {
    if outbox(slot) == nil { peers.headers[slot].outbox = messages.newOutbox() }
    let outbox = peers.headers[slot].outbox
    let lane = options.lane.index
    let length = messages.store.length(row)
    var node = MessageNode()
    node.message = row
    node.length = UInt32(length)
    node.deadline = options.until
    node.token = options.token
    node.lane = options.lane.rawValue
    node.membership = membership
    node.flags =
      messages.lanes.flags[lane] | flags | MessageNode.queued | (options.isReliable ? MessageNode.reliable : 0)
    if node.has(MessageNode.latest) { node.place = nextLatest(outbox, lane: lane, membership) }
    push(node, outbox, lane: lane)
    messages[outbox: outbox].laneBytes[lane] &+= node.length
    messages[outbox: outbox].bytes += length
    counters.messagesQueued &+= 1
    if peers.flows.contains(slot) { noteMessages(slot, outbox) }
    makeReady(slot)
  }

  @inline(__always)
  private mutating func push(_ node: MessageNode, _ outbox: UInt32, lane: Int) {
    let index = messages.nodes.insert(node)
    let tail = messages[outbox: outbox].tails[lane]
    if tail == MessageNode.none {
      messages[outbox: outbox].heads[lane] = index
      messages[outbox: outbox].begins(lane, messages.lanes)
    } else {
      messages.nodes[tail].next = index
    }
    messages[outbox: outbox].tails[lane] = index
  }

  /// Before all that waits in a lane, but for a message of which a part has left.
  private mutating func pushFirst(_ node: MessageNode, _ outbox: UInt32, lane: Int) {
    let head = messages[outbox: outbox].heads[lane]
    guard head != MessageNode.none else { return push(node, outbox, lane: lane) }
    let index = messages.nodes.insert(node)
    if messages[outbox: outbox].open & 1 << UInt16(lane) == 0 {
      messages.nodes[index].next = head
      messages[outbox: outbox].heads[lane] = index
    } else {
      messages.nodes[index].next = messages.nodes[head].next
      messages.nodes[head].next = index
      if messages[outbox: outbox].tails[lane] == head { messages[outbox: outbox].tails[lane] = index }
    }
  }

  /// Of what waits in a lane only the newest counts: its place.
  private mutating func nextLatest(_ outbox: UInt32, lane: Int, _ membership: UInt32) -> UInt32 {
    if membership != MessageNode.none { return messages.groups.nextLatest(membership) }
    messages[outbox: outbox].latest[lane] &+= 1
    return messages[outbox: outbox].latest[lane]
  }

  /// The flow knows whether messages wait, and whether they go first.
  @inline(__always)
  mutating func noteMessages(_ slot: Slot, _ outbox: UInt32) {
    peers.flows[slot].send.hasMessages = messages[outbox: outbox].waiting != 0
    peers.flows[slot].send.keepsRoom = true
    if !peers.flows[slot].send.hasNew || peers.flows[slot].send.isHeld {
      messages[outbox: outbox].streamRests(messages.lanes)
    }
    peers.flows[slot].send.prefersMessages = messages[outbox: outbox].goesFirst(messages.lanes)
  }

  // MARK: Out of a queue

  /// Takes the first of a lane out of its queue.
  @inline(__always)
  mutating func pop(_ outbox: UInt32, lane: Int) -> UInt32 {
    let index = messages[outbox: outbox].heads[lane]
    let next = messages.nodes[index].next
    messages[outbox: outbox].heads[lane] = next
    if next == MessageNode.none {
      messages[outbox: outbox].tails[lane] = MessageNode.none
      messages[outbox: outbox].waiting &= ~(1 << UInt16(lane))
    }
    messages[outbox: outbox].open &= ~(1 << UInt16(lane))
    leftQueue(index, outbox, lane: lane)
    return index
  }

  @inline(__always)
  private mutating func leftQueue(_ index: UInt32, _ outbox: UInt32, lane: Int) {
    messages.nodes[index].flags &= ~MessageNode.queued
    messages.nodes[index].next = MessageNode.none
    if messages.nodes[index].has(MessageNode.skip) { return }
    messages[outbox: outbox].laneBytes[lane] &-= UInt32(messages.store.length(messages.nodes[index].message))
  }

  /// Those at the start of a lane whose time has passed.
  private mutating func dropExpired(_ outbox: UInt32, _ slot: Slot, lane: Int) {
    while true {
      let head = messages[outbox: outbox].heads[lane]
      guard head != MessageNode.none, messages.nodes[head].deadline <= now, messages.nodes[head].offset == 0 else {
        return
      }
      _ = pop(outbox, lane: lane)
      finish(head, outbox, slot, .dropped)
    }
  }

  /// Messages that wait in a lane give way, oldest first, but for one of which a part has left.
  /// - Parameters:
  ///   - membership: only what a group has published to this member, if it is one.
  ///   - bytes: as many as are to be free, at least.
  mutating func dropWaiting(_ outbox: UInt32, _ slot: Slot, lane: Int, membership: UInt32, upTo bytes: Int) {
    var freed = 0
    var before = MessageNode.none
    var index = messages[outbox: outbox].heads[lane]
    while index != MessageNode.none, freed < bytes {
      let node = messages.nodes[index]
      guard node.offset == 0, !node.has(MessageNode.skip),
        membership == MessageNode.none || node.membership == membership
      else {
        before = index
        index = node.next
        continue
      }
      if before == MessageNode.none {
        _ = pop(outbox, lane: lane)
      } else {
        messages.nodes[before].next = node.next
        if node.next == MessageNode.none { messages[outbox: outbox].tails[lane] = before }
        leftQueue(index, outbox, lane: lane)
      }
      freed += messages.store.length(node.message)
      finish(index, outbox, slot, .dropped)
      index = node.next
    }
    if peers.flows.contains(slot) { noteMessages(slot, outbox) }
  }

  // MARK: Ends

  /// It is known what has become of a message: nothing of it waits or is under way.
  @inline(__always)
  mutating func finish(_ index: UInt32, _ outbox: UInt32, _ slot: Slot, _ outcome: MessageOutcome) {
    let node = messages.nodes[index]
    let length = messages.store.length(node.message)
    messages.store.release(node.message)
    messages.nodes.remove(index)
    messages[outbox: outbox].bytes -= length
    if outcome == .acknowledged {
      counters.messagesAcknowledged &+= 1
    } else {
      counters.messagesGivenUp &+= 1
    }
    if node.membership != MessageNode.none { messages.groups.discharge(node.membership, length, &messages.events) }
    if node.token != 0 {
      var event = MessageEvent()
      event.of = peer(slot).connectionID
      event.token = node.token
      event.kind = outcome == .acknowledged ? .acknowledged : outcome == .lost ? .lost : .dropped
      messages.events.append(event)
    }
    // No fragment can come any more: nobody has to keep the others, however much waits in the lane. After the end of the stream nobody does.
    if node.has(MessageNode.givenUp), node.offset > 0, !node.has(MessageNode.ordered), peers.flows.contains(slot),
      !peers.flows[slot].send.finSent
    {
      pushFirst(.skip(of: node), outbox, lane: Int(node.lane))
      noteMessages(slot, outbox)
      makeReady(slot)
    }
    if messages[outbox: outbox].isFull { reportRoom(outbox, slot) }
  }

  /// Half of what the connection may have is free: a program that was answered with `full` continues.
  private mutating func reportRoom(_ outbox: UInt32, _ slot: Slot) {
    guard messages[outbox: outbox].bytes <= configuration.messagePeerBytes / 2 else { return }
    for lane in 0..<messages.lanes.count
    where messages[outbox: outbox].laneBytes[lane] > messages.lanes.bounds[lane] / 2 { return }
    messages[outbox: outbox].isFull = false
    var event = MessageEvent()
    event.of = peer(slot).connectionID
    messages.events.append(event)
  }

  /// The peer has a segment: what it carried has arrived.
  mutating func acknowledgeMessages(_ slot: Slot) {
    while let list = peers.flows[slot].send.acknowledgedMessages.popFirst() {
      guard let outbox = outbox(slot) else { return }
      var index = list
      while index != MessageNode.none {
        let node = messages.nodes[index]
        if node.has(MessageNode.skip) {
          messages.nodes.remove(index)
        } else if node.has(MessageNode.fragment) {
          messages.nodes.remove(index)
          returned(to: node.parent, outbox, slot)
        } else {
          finish(index, outbox, slot, .acknowledged)
        }
        index = node.next
      }
      messages[outbox: outbox].segments -= 1
    }
    dropIfEmpty(slot)
  }

  /// A fragment is under way no more.
  mutating func returned(to parent: UInt32, _ outbox: UInt32, _ slot: Slot) {
    messages.nodes[parent].pending -= 1
    let node = messages.nodes[parent]
    guard node.pending == 0, !node.has(MessageNode.queued) else { return }
    finish(parent, outbox, slot, node.has(MessageNode.givenUp) ? .lost : .acknowledged)
  }

  /// Nothing waits and nothing is under way.
  @inline(__always)
  mutating func dropIfEmpty(_ slot: Slot) {
    guard let outbox = outbox(slot), messages[outbox: outbox].waiting == 0, messages[outbox: outbox].segments == 0
    else {
      return
    }
    let isFull = messages[outbox: outbox].isFull
    messages.drop(outbox: outbox)
    peers.headers[slot].outbox = Outbox.none
    if isFull { awaitRoom(slot) }
  }

  /// The connection sends nothing more: all of its messages are given back, and nobody hears of it.
  mutating func releaseOutbox(_ slot: Slot) {
    guard let outbox = outbox(slot) else { return }
    for lane in 0..<MessageFrame.lanes {
      while messages[outbox: outbox].heads[lane] != MessageNode.none {
        let index = pop(outbox, lane: lane)
        if messages.nodes[index].has(MessageNode.skip) {
          messages.nodes.remove(index)
        } else if messages.nodes[index].pending == 0 {
          // Else the last part of it that has left gives it back below.
          abandon(index)
        }
      }
    }
    if peers.flows.contains(slot) {
      while let list = peers.flows[slot].send.acknowledgedMessages.popFirst() { abandon(list: list) }
      var number = peers.flows[slot].send.base
      var left = messages[outbox: outbox].segments
      while left > 0, let list = peers.flows[slot].send.messages(from: &number) {
        abandon(list: list)
        left -= 1
      }
      peers.flows[slot].send.hasMessages = false
    }
    messages.drop(outbox: outbox)
    peers.headers[slot].outbox = Outbox.none
  }

  private mutating func abandon(list: UInt32) {
    var index = list
    while index != MessageNode.none {
      let node = messages.nodes[index]
      if node.has(MessageNode.fragment), !node.has(MessageNode.skip) {
        messages.nodes[node.parent].pending -= 1
        if messages.nodes[node.parent].pending == 0, !messages.nodes[node.parent].has(MessageNode.queued) {
          abandon(node.parent)
        }
        messages.nodes.remove(index)
      } else if node.has(MessageNode.skip) {
        messages.nodes.remove(index)
      } else {
        abandon(index)
      }
      index = node.next
    }
  }

  private mutating func abandon(_ index: UInt32) {
    let node = messages.nodes[index]
    let length = messages.store.length(node.message)
    messages.store.release(node.message)
    messages.nodes.remove(index)
    if node.membership != MessageNode.none { messages.groups.discharge(node.membership, length, &messages.events) }
  }

  // MARK: Reports to the user

  /// Reports to the user what has become of messages, and where there is room again.
  mutating func reportMessages<H: Handler>(_ handler: inout H) {
    while let event = messages.events.popFirst() {
      let peer = Peer(connectionID: event.of)
      switch event.kind {
      case .groupWritable:
        guard let group = messages.groups.handle(Int(event.of)) else { continue }
        handler.writable(group, engine: &self)
      case .writable:
        if live(peer) != nil { handler.writable(peer, engine: &self) }
      case .acknowledged, .lost, .dropped:
        guard live(peer) != nil else { continue }
        handler.outcome(
          peer, token: event.token,
          event.kind == .acknowledged ? .acknowledged : event.kind == .lost ? .lost : .dropped, engine: &self)
      }
    }
    // Those that ask for more than that ask again.
    for _ in 0..<messages.waiting.count {
      guard messages.store.hasRoom(1 << 16), let id = messages.waiting.popFirst() else { return }
      guard let slot = live(Peer(connectionID: id)) else { continue }
      if peers.headers[slot].outbox == Outbox.awaited { peers.headers[slot].outbox = Outbox.none }
      handler.writable(Peer(connectionID: id), engine: &self)
    }
  }
}

// SPDX-License-Identifier: MIT
// Step 2 of the way out, messages: what waits in the lanes is put into a segment, and a segment that was lost is looked at again: what is
// not worth sending by then is left out, or is said not to come.

extension Engine {
  enum MessagesSent {
    case sent
    /// Nothing is left that would be worth it.
    case nothing
    /// The batch is full.
    case noRoom
  }

  /// Sends a segment of messages: a new one, or one again.
  mutating func sendMessages<H: Handler>(
    _ segment: SendWindow.Segment, isProbe: Bool, _ slot: Slot, into batch: inout DatagramBatch, _ handler: inout H
  ) -> MessagesSent {
    guard let outbox = outbox(slot) else {
      peers.flows[slot].send.hasMessages = false
      return .nothing
    }
    var segment = segment
    if segment.isRetransmission {
      // Not in the middle of its pieces.
      if peers.flows[slot].pieceOffset == 0 || peers.flows[slot].pieceNumber != segment.number {
        prune(&segment, outbox, slot)
      }
      if segment.length > peers.flows[slot].capacity {
        return sendMessagePieces(segment, isProbe: isProbe, slot, into: &batch, &handler)
      }
    }
    let flags = flags(of: segment, slot) | SegmentFlag.messages | (isProbe ? SegmentFlag.ackNow : 0)
    let takesAck = takesAck(
      segment.isRetransmission ? segment.length : nextLength(outbox, slot),
      isAgain: isProbe || segment.isRetransmission,
      slot)
    let ack = takesAck ? ackOption(slot) : nil
    let ackLength = ack?.length ?? 0
    let head = Segment.dataLength + ackLength
    // Written at the end of what is used, then placed: a segment is as long as what it carries.
    let longest = segment.isRetransmission ? segment.length : peers.flows[slot].capacity - ackLength
    guard
      let space = batch.room(
        Datagram.headerLength + head + longest + Datagram.tagLength, for: peers.rows[slot].destination,
        group: peers.rows[slot].messageGroup)
    else { return .noRoom }
    guard write(&segment, at: space + Datagram.headerLength + head, longest, outbox, slot, &batch) else {
      return .nothing
    }
    guard let datagram = place(head + segment.length, slot, into: &batch) else {
      preconditionFailure("there was room for more")
    }
    var bytes = batch.arena.mutableBytes(datagram.segment, head)
    Segment.writeData(flags: flags, sequence: segment.number, into: &bytes)
    if let ack { write(ack, slot, into: &bytes) }
    didSend(segment, datagram.packetNumber, isProbe: isProbe, slot)
    return .sent
  }

  /// Writes what a segment carries to where it will stand.
  /// - Returns: `false` where nothing is worth sending.
  @inline(__always)
  private mutating func write(
    _ segment: inout SendWindow.Segment, at offset: Int, _ longest: Int, _ outbox: UInt32, _ slot: Slot,
    _ batch: inout DatagramBatch
  ) -> Bool {
    var bytes = batch.arena.mutableBytes(offset, longest)
    if segment.isRetransmission {
      messages.write(list: UInt32(segment.offset), into: &bytes)
      return true
    }
    let (list, length) = compose(outbox, slot, into: &bytes)
    noteMessages(slot, outbox)
    guard list != MessageNode.none else {
      dropIfEmpty(slot)
      return false
    }
    segment.offset = UInt64(list)
    segment.length = length
    messages[outbox: outbox].segments += 1
    return true
  }

  /// Something of the stream has left while messages wait.
  mutating func streamServed(_ segment: SendWindow.Segment, _ slot: Slot) {
    guard !segment.isRetransmission, let outbox = outbox(slot) else { return }
    messages[outbox: outbox].serve(Outbox.stream, segment.length, messages.lanes)
    noteMessages(slot, outbox)
  }

  // MARK: A new segment

  /// Bytes that the next message takes, if a segment of its own holds it: no ACK is to come between.
  @inline(__always)
  private func nextLength(_ outbox: UInt32, _ slot: Slot) -> Int {
    guard let lane = messages[outbox: outbox].nextLane(messages.lanes) else { return 0 }
    let node = messages.nodes[messages[outbox: outbox].heads[lane]]
    guard node.offset == 0, !node.has(MessageNode.skip) else { return 0 }
    let length = MessageFrame.longestHead + messages.store.length(node.message)
    return length <= peers.flows[slot].capacity ? length : 0
  }

  /// Puts what waits into `bytes`, lane by lane, as much as there is room for.
  /// - Returns: the list, and how many bytes were written.
  @_lifetime(bytes: copy bytes)
  private mutating func compose(_ outbox: UInt32, _ slot: Slot, into bytes: inout MutableRawSpan) -> (UInt32, Int) {
    let capacity = bytes.byteCount
    var at = 0
    var list = MessageNode.none
    var tail = MessageNode.none
    var next = nextFrame(outbox, slot, room: capacity, isFirst: true)
    while next != MessageNode.none {
      let index = next
      let node = messages.nodes[index]
      let frame = messages.frame(of: node)
      // Another one may follow, if this one has a length.
      let end = at + frame.headLength(isLast: false) + frame.length
      next = end < capacity ? nextFrame(outbox, slot, room: capacity - end, isFirst: false) : MessageNode.none
      messages.write(node, isLast: next == MessageNode.none, into: &bytes, at: &at)
      if tail == MessageNode.none { list = index } else { messages.nodes[tail].next = index }
      tail = index
    }
    return (list, at)
  }

  /// The next message, or fragment, that is worth sending and fits `room` as the last of its segment; it is out of its queue then.
  @inline(__always)
  private mutating func nextFrame(_ outbox: UInt32, _ slot: Slot, room: Int, isFirst: Bool) -> UInt32 {
    while let lane = messages[outbox: outbox].nextLane(messages.lanes) {
      let index = messages[outbox: outbox].heads[lane]
      let node = messages.nodes[index]
      if node.has(MessageNode.skip) {
        if room >= 5 { _ = pop(outbox, lane: lane) }
        return room >= 5 ? index : MessageNode.none
      }
      if node.deadline <= now || node.has(MessageNode.givenUp) {
        let told = dropFirst(outbox, slot, lane: lane, room: room)
        if told.isOver { return told.skip }
        continue
      }
      let total = messages.store.length(node.message)
      if node.offset == 0 {
        var frame = MessageFrame()
        frame.isOrdered = node.has(MessageNode.ordered)
        if frame.isOrdered { frame.number = messages[state: state(slot)].nextOrdered[lane] }
        frame.length = total
        let length = frame.headLength(isLast: true) + total
        if length <= room {
          takeWhole(index, frame, outbox, slot, lane: lane)
          messages[outbox: outbox].serve(lane, length, messages.lanes)
          return index
        }
        // What a segment of its own would take is not cut.
        if !isFirst, length <= peers.flows[slot].capacity { return MessageNode.none }
        if let other = messages[outbox: outbox].other(before: lane, messages.lanes) {
          let index = messages[outbox: outbox].heads[other]
          guard messages.nodes[index].deadline > now, !messages.nodes[index].has(MessageNode.givenUp) else {
            let told = dropFirst(outbox, slot, lane: other, room: room)
            if told.isOver { return told.skip }
            continue
          }
          return nextFragment(index, outbox, slot, lane: other, room: room)
        }
      }
      return nextFragment(index, outbox, slot, lane: lane, room: room)
    }
    return MessageNode.none
  }

  /// The first of a lane leaves whole.
  @inline(__always)
  private mutating func takeWhole(_ index: UInt32, _ frame: MessageFrame, _ outbox: UInt32, _ slot: Slot, lane: Int) {
    _ = pop(outbox, lane: lane)
    messages.nodes[index].length = UInt32(frame.length)
    guard frame.isOrdered else { return }
    messages.nodes[index].number = frame.number
    messages[state: state(slot)].nextOrdered[lane] = MessageFrame.next(frame.number)
  }

  /// The first of a lane is not worth sending any more.
  /// - Returns: whether the segment has to end here, or has to report it by this node.
  private mutating func dropFirst(
    _ outbox: UInt32, _ slot: Slot, lane: Int, room: Int
  ) -> (isOver: Bool, skip: UInt32) {
    let index = messages[outbox: outbox].heads[lane]
    guard messages.nodes[index].offset > 0 else {
      _ = pop(outbox, lane: lane)
      finish(index, outbox, slot, .dropped)
      return (false, MessageNode.none)
    }
    guard room >= 5 else { return (true, MessageNode.none) }
    let skip = skipRest(index, outbox, slot, lane: lane)
    return (skip != MessageNode.none, skip)
  }

  /// The next part of a message that is longer than a segment.
  private mutating func nextFragment(_ index: UInt32, _ outbox: UInt32, _ slot: Slot, lane: Int, room: Int) -> UInt32 {
    guard room >= 128 else { return MessageNode.none }
    if messages.nodes[index].offset == 0 {
      let state = state(slot)
      if messages.nodes[index].has(MessageNode.ordered) {
        messages.nodes[index].number = messages[state: state].nextOrdered[lane]
        messages[state: state].nextOrdered[lane] = MessageFrame.next(messages.nodes[index].number)
      } else {
        messages.nodes[index].number = messages[state: state].nextFragmented[lane]
        messages[state: state].nextFragmented[lane] = MessageFrame.next(messages.nodes[index].number)
      }
    }
    let parent = messages.nodes[index]
    let total = messages.store.length(parent.message)
    var node = parent
    node.flags = parent.flags & (MessageNode.ordered | MessageNode.reliable) | MessageNode.fragment
    node.parent = index
    node.next = MessageNode.none
    node.membership = MessageNode.none
    node.token = 0
    node.length = 1
    let head = node.frame(total: total).headLength(isLast: true)
    node.length = UInt32(min(room - head, total - Int(parent.offset)))
    messages.nodes[index].offset += node.length
    messages.nodes[index].pending += 1
    messages[outbox: outbox].serve(lane, head + Int(node.length), messages.lanes)
    messages[outbox: outbox].open |= 1 << UInt16(lane)
    if Int(messages.nodes[index].offset) == total { _ = pop(outbox, lane: lane) }
    return messages.nodes.insert(node)
  }

  /// A message of which a part has left is given up. In an ordered lane the receiver hears of it at once.
  private mutating func skipRest(_ index: UInt32, _ outbox: UInt32, _ slot: Slot, lane: Int) -> UInt32 {
    _ = pop(outbox, lane: lane)
    let parent = messages.nodes[index]
    messages.nodes[index].flags |= MessageNode.givenUp
    if parent.pending == 0 { finish(index, outbox, slot, .lost) }
    return parent.has(MessageNode.ordered) ? messages.nodes.insert(.skip(of: parent)) : MessageNode.none
  }

  /// Where the connection's lanes stand.
  @inline(__always)
  mutating func state(_ slot: Slot) -> UInt32 {
    if peers.headers[slot].lanes == LaneState.none { peers.headers[slot].lanes = messages.newState() }
    return peers.headers[slot].lanes
  }

  // MARK: Again

  /// A segment is to be sent again, as it was lost or as a probe: of what it carried only that which is still worth it.
  private mutating func prune(_ segment: inout SendWindow.Segment, _ outbox: UInt32, _ slot: Slot) {
    var list = MessageNode.none
    var tail = MessageNode.none
    var void = MessageNode.none
    var index = UInt32(segment.offset)
    while index != MessageNode.none {
      let next = messages.nodes[index].next
      if isWanted(index, outbox) || messages.nodes[index].has(MessageNode.void) ? true : isKept(index, outbox, slot) {
        if messages.nodes[index].has(MessageNode.void) {
          messages.nodes[index].next = void
          void = index
        } else {
          if tail == MessageNode.none { list = index } else { messages.nodes[tail].next = index }
          messages.nodes[index].next = MessageNode.none
          tail = index
        }
      }
      index = next
    }
    while void != MessageNode.none {
      let next = messages.nodes[void].next
      messages.nodes[void].next = list
      list = void
      void = next
    }
    let length = messages.length(list: list)
    guard length <= segment.length else { return }
    segment.offset = UInt64(list)
    segment.length = length
    peers.flows[slot].send.replace(segment.number, list: list, length: length)
  }

  private func isWanted(_ index: UInt32, _ outbox: UInt32) -> Bool {
    var node = messages.nodes[index]
    if node.has(MessageNode.skip) { return true }
    if node.has(MessageNode.fragment) { node = messages.nodes[node.parent] }
    guard node.has(MessageNode.reliable), node.deadline > now, !node.has(MessageNode.givenUp) else { return false }
    guard node.has(MessageNode.latest) else { return true }
    return node.membership == MessageNode.none
      ? messages[outbox: outbox].latest[Int(node.lane)] == node.place
      : messages.groups.latest(node.membership) == node.place
  }

  /// A message, or a fragment, is not sent again. In an ordered lane its place says so. In others it need not know of whole
  /// ones, and of those in fragments it hears when no other fragment can come any more (`Engine.finish`).
  /// - Returns: whether something stays in the segment's list.
  private mutating func isKept(_ index: UInt32, _ outbox: UInt32, _ slot: Slot) -> Bool {
    let node = messages.nodes[index]
    var skip = MessageNode.skip(of: node)
    skip.next = node.next
    if node.has(MessageNode.fragment) {
      messages.nodes[node.parent].flags |= MessageNode.givenUp
      if node.has(MessageNode.ordered) {
        messages.nodes[index] = skip
        returned(to: node.parent, outbox, slot)
      } else {
        messages.nodes[index].flags |= MessageNode.void
      }
      return true
    }
    finish(index, outbox, slot, .lost)
    guard node.has(MessageNode.ordered) else { return false }
    // The node that has just been given back.
    let again = messages.nodes.insert(skip)
    precondition(again == index, "the last that was given back is the first to be taken")
    return true
  }

  /// A segment that was made for a path which carried more: all of it, in pieces.
  private mutating func sendMessagePieces<H: Handler>(
    _ segment: SendWindow.Segment, isProbe: Bool, _ slot: Slot, into batch: inout DatagramBatch, _ handler: inout H
  ) -> MessagesSent {
    messages.write(list: UInt32(segment.offset), segment.length, to: &scratch)
    let flags = flags(of: segment, slot) | SegmentFlag.messages | (isProbe ? SegmentFlag.ackNow : 0)
    guard let packetNumber = sendPieces(segment, flags: flags, slot, into: &batch, &handler) else { return .noRoom }
    didSend(segment, packetNumber, isProbe: isProbe, slot)
    return .sent
  }
}

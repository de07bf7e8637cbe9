// SPDX-License-Identifier: MIT
// Groups: the same message to many, whose bytes are kept once.

extension Engine {
  /// Makes a group, without members.
  ///
  /// - Parameters:
  ///   - lane: what is published travels in this lane of each member.
  ///   - policy: what happens to a member that does not keep up.
  ///   - maximumBytes: what one member may have of what was published and is not acknowledged: 1 … 2^30.
  public mutating func makeGroup(lane: Lane = 0, policy: GroupPolicy = .dropOldest, maximumBytes: Int = 1 << 20)
    -> PeerGroup
  {
    messages.groups.insert(lane: lane, policy: policy, maximumBytes: min(max(maximumBytes, 1), 1 << 30))
  }

  /// The group is no more. What was published is still sent.
  public mutating func removeGroup(_ group: PeerGroup) {
    guard let row = messages.groups.row(of: group) else { return }
    while messages.groups[row].count > 0 {
      let index = messages.groups.member(row, messages.groups[row].count - 1)
      let slot = Slot(Int(messages.groups[membership: index].slot))
      messages.groups.leave(index, &peers.headers[slot].memberships, &messages.events)
    }
    messages.groups.remove(row)
  }

  /// The peer gets what is published from here on. It leaves by itself when its connection ends.
  ///
  /// - Returns: `refused` if it takes no messages, or there is no such group; `done` also if it is a member already.
  @discardableResult
  public mutating func join(_ peer: Peer, _ group: PeerGroup) -> CommandResult {
    guard let slot = live(peer) else { return .ended }
    guard let row = messages.groups.row(of: group), peers.rows[slot].phase == .established, speaksMessages(slot),
      messages.groups[row].lane.index < messages.lanes.count
    else { return .refused }
    guard messages.groups.find(row, from: peers.headers[slot].memberships) == nil else { return .done }
    messages.groups.join(slot, row, &peers.headers[slot].memberships)
    return .done
  }

  /// The peer gets nothing more of what is published. What waits for it is still sent.
  @discardableResult
  public mutating func leave(_ peer: Peer, _ group: PeerGroup) -> CommandResult {
    guard let slot = live(peer) else { return .ended }
    guard let row = messages.groups.row(of: group),
      let index = messages.groups.find(row, from: peers.headers[slot].memberships)
    else { return .refused }
    messages.groups.leave(index, &peers.headers[slot].memberships, &messages.events)
    // A group that has waited for it hears of it in the next turn.
    if !messages.events.isEmpty { makeReady(slot) }
    return .done
  }

  /// Members of a group.
  public func memberCount(of group: PeerGroup) -> Int {
    messages.groups.row(of: group).map { messages.groups[$0].count } ?? 0
  }

  /// Sends a message to all members of a group. Its bytes are copied once, and kept until the last member has them.
  @discardableResult
  public mutating func publish(
    _ bytes: RawSpan, to group: PeerGroup, until deadline: Instant = .never, isReliable: Bool = true
  ) -> PublishResult {
    guard let row = messages.groups.row(of: group) else { return .ended }
    if isStopped(row) { return .full }
    guard let message = messages.store.store(bytes) else { return .full }
    let result = publish(message, row, until: deadline, isReliable: isReliable)
    messages.store.release(message)
    return result
  }

  /// The same with an array.
  @discardableResult
  public mutating func publish(
    _ bytes: [UInt8], to group: PeerGroup, until deadline: Instant = .never, isReliable: Bool = true
  ) -> PublishResult { unsafe publish(bytes.span.bytes, to: group, until: deadline, isReliable: isReliable) }

  /// Sends a stored message to all members of a group.
  @discardableResult
  public mutating func publish(
    _ message: StoredMessage, to group: PeerGroup, until deadline: Instant = .never, isReliable: Bool = true
  ) -> PublishResult {
    guard let row = messages.groups.row(of: group), let stored = messages.store.row(of: message) else { return .ended }
    if isStopped(row) { return .full }
    return publish(stored, row, until: deadline, isReliable: isReliable)
  }

  /// Whether the group waits for its slowest member.
  private mutating func isStopped(_ row: Int) -> Bool {
    guard messages.groups[row].policy == .keepPace, messages.groups[row].full > 0 else { return false }
    messages.groups[row].isWaiting = true
    return true
  }

  private mutating func publish(_ message: UInt32, _ row: Int, until deadline: Instant, isReliable: Bool)
    -> PublishResult
  {
    let length = messages.store.length(message)
    let policy = messages.groups[row].policy
    var options = MessageOptions(lane: messages.groups[row].lane, until: deadline, isReliable: isReliable)
    options.token = 0
    let bound = messages.groups[row].maximumBytes
    var skipped = 0
    var position = 0
    // A member that is closed leaves later, so that nobody's place changes here.
    while position < messages.groups[row].count {
      let index = messages.groups.member(row, position)
      position += 1
      let slot = Slot(Int(messages.groups[membership: index].slot))
      guard takes(length, index, slot, policy, bound: bound) else {
        skipped += 1
        continue
      }
      messages.store.retain(message)
      messages.groups.charge(index, length)
      enqueue(slot, message, options, membership: index, flags: policy == .keepLatest ? MessageNode.latest : 0)
    }
    counters.messagesPublished &+= 1
    return .queued(members: position - skipped, skipped: skipped)
  }

  /// Whether a member gets the message, as the policy has it.
  @inline(__always)
  private mutating func takes(_ length: Int, _ index: UInt32, _ slot: Slot, _ policy: GroupPolicy, bound: Int) -> Bool {
    let has = Int(messages.groups[membership: index].bytes)
    guard isOpen(slot, length) else { return false }
    guard let outbox = outbox(slot) else { return length <= configuration.messagePeerBytes }
    guard has > 0 else { return messages[outbox: outbox].bytes + length <= configuration.messagePeerBytes }
    let lane = messages.groups[Int(messages.groups[membership: index].group)].lane.index
    switch policy {
    case .keepPace:
      break
    case .keepLatest:
      dropWaiting(outbox, slot, lane: lane, membership: index, upTo: .max)
    case .dropOldest:
      if has + length > bound {
        dropWaiting(outbox, slot, lane: lane, membership: index, upTo: has + length - bound)
        if Int(messages.groups[membership: index].bytes) + length > bound { return false }
      }
    case .close(let code):
      if has + length > bound {
        close(slot, code: code, reason: "too slow")
        return false
      }
    }
    return messages[outbox: outbox].bytes + length <= configuration.messagePeerBytes
  }

  /// Whether messages of this length may be sent to a member at all.
  @inline(__always)
  private func isOpen(_ slot: Slot, _ length: Int) -> Bool {
    peers.rows[slot].phase == .established && length <= Int(peers.headers[slot].peerMaximumMessage)
      && !(peers.flows.contains(slot) && peers.flows[slot].send.finRequested)
  }

  /// The connection is over: it is in no group.
  mutating func leaveGroups(_ slot: Slot) {
    while peers.headers[slot].memberships != GroupTable.none {
      messages.groups.leave(peers.headers[slot].memberships, &peers.headers[slot].memberships, &messages.events)
    }
  }
}

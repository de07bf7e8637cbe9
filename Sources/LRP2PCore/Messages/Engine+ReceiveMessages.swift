// SPDX-License-Identifier: MIT
// Step 3 of the way in, messages: what a segment of them brings is handed over at once, unless it waits for others of its lane or for the rest
// of itself. A segment is taken as a whole or not at all, so what it will need is found out before anything of it is handed over.

extension Engine {
  /// One whole segment of messages.
  mutating func receiveMessages<H: Handler>(_ number: UInt32, _ payload: RawSpan, _ slot: Slot, _ handler: inout H) {
    guard wants(number, slot) else { return }
    let isNext = number == peers.flows[slot].receive.next
    let survey = messages.survey(
      payload, state: peers.headers[slot].lanes, isNext: isNext, longest: configuration.largestMessage)
    guard !survey.isViolation, partialCount(slot) + survey.partials <= LaneState.mostPartialsInOrder else {
      counters.malformed &+= 1
      end(slot, .protocolViolation, &handler)
      return
    }
    var place: ReceivePool.Place?
    guard prepare(survey, number, payload, slot, isNext: isNext, &place) else {
      refuse(number, slot)
      return
    }
    switch peers.flows[slot].receive.accept(messages: number, pool: &pool) {
    case .direct, .storedInOrder, .duplicate: break
    case .storedEarly(let opensGap):
      if opensGap {
        peers.flows[slot].ack.gapOpened(roundTrip: peers.flows[slot].roundTrip.shortest, now: now)
      }
    case .beyondWindow, .poolExhausted:
      // There was room.
      if let place { peers.flows[slot].receive.give(back: place, to: &pool) }
      refuse(number, slot)
      return
    case .violation:
      if let place { peers.flows[slot].receive.give(back: place, to: &pool) }
      counters.beyondFin &+= 1
      end(slot, .protocolViolation, &handler)
      return
    }
    let id = peers.rows[slot].connectionID
    deliver(payload, place, slot, &handler)
    // The handler may have closed the connection.
    let isThere = peers.rows[slot].connectionID == id && peers.flows.contains(slot)
    if let place {
      if isThere { peers.flows[slot].receive.give(back: place, to: &pool) } else { pool.release(place.cell) }
    }
    guard isThere else { return }
    // What it has stood before in the stream.
    if isNext, peers.rows[slot].phase == .established { deliverStored(slot, &handler) }
  }

  /// Whether a segment, or a piece of one, is of use; if not, why is counted.
  mutating func wants(_ number: UInt32, _ slot: Slot) -> Bool {
    switch peers.flows[slot].receive.need(number) {
    case .wanted: return true
    case .duplicate:
      counters.duplicates &+= 1
      peers.flows[slot].ack.duplicate()
    case .beyondWindow: counters.beyondWindow &+= 1
    }
    return false
  }

  // MARK: Before anything is handed over

  /// Makes sure of all memory that the segment needs; `false` where the peer may have no more.
  private mutating func prepare(
    _ survey: MessageSurvey, _ number: UInt32, _ payload: RawSpan, _ slot: Slot, isNext: Bool,
    _ place: inout ReceivePool.Place?
  ) -> Bool {
    var rings = 0
    for lane in 0..<MessageFrame.lanes where survey.reach[lane] > 0 {
      rings += growth(lane, survey.reach[lane], peers.headers[slot].lanes)
    }
    // What is next is what the others wait for.
    guard isNext || survey.partials == 0 || partialCount(slot) + survey.partials <= LaneState.mostPartials else {
      return false
    }
    let cell = survey.early > 0 ? peers.flows[slot].receive.bytesFor(messages: payload.byteCount, pool) : 0
    let entry = isNext ? 0 : peers.flows[slot].receive.bytesFor(empty: number)
    let more = rings + cell + entry + survey.partialBytes
    guard more > 0 || survey.early > 0 else { return true }
    // What is next would else wait for room that only it can make.
    guard pool.admits(more, holding: peers.flows[slot].receive.held(pool)) || (isNext && pool.hasRoom(more)) else {
      return false
    }
    if survey.early > 0 {
      guard let kept = peers.flows[slot].receive.keep(messages: payload, count: 1, pool: &pool) else { return false }
      place = kept
    }
    return true
  }

  private func growth(_ lane: Int, _ reach: Int, _ state: UInt32) -> Int {
    let ring = state == LaneState.none ? LaneState.none : messages[state: state].rings[lane]
    guard ring != LaneState.none else { return LaneRing.bytes(LaneRing.capacity(from: LaneRing.smallest, for: reach)) }
    let capacity = messages.rings[Int(ring)].capacity
    return LaneRing.bytes(LaneRing.capacity(from: capacity, for: reach) - capacity)
  }

  // MARK: Frame by frame

  private mutating func deliver<H: Handler>(
    _ payload: RawSpan, _ place: ReceivePool.Place?, _ slot: Slot, _ handler: inout H
  ) {
    var touched: UInt16 = 0
    var at = 0
    while at < payload.byteCount, let frame = try? MessageFrame.read(payload, at: &at) {
      let lane = Int(frame.lane)
      if frame.isOrdered, touched & 1 << UInt16(lane) != 0, frame.number != messages[state: state(slot)].expected[lane]
      {
        // What stands before it has come already.
        deliverEarly(lane, slot, &handler)
        guard peers.rows[slot].phase == .established else { return }
      }
      switch frame.kind {
      case .padding: break
      case .whole:
        receiveWhole(frame, payload, place, slot, &touched, &handler)
        guard peers.rows[slot].phase == .established else { return }
      case .skip:
        receiveSkip(frame, slot, &touched)
      case .fragment:
        receiveFragment(frame, payload, slot, &touched, &handler)
        guard peers.rows[slot].phase == .established else { return }
      }
    }
    while touched != 0 {
      let lane = touched.trailingZeroBitCount
      touched &= touched - 1
      deliverEarly(lane, slot, &handler)
      guard peers.rows[slot].phase == .established else { return }
    }
  }

  @inline(__always)
  private mutating func receiveWhole<H: Handler>(
    _ frame: MessageFrame, _ payload: RawSpan, _ place: ReceivePool.Place?, _ slot: Slot, _ touched: inout UInt16,
    _ handler: inout H
  ) {
    let lane = Int(frame.lane)
    if frame.isOrdered {
      let state = state(slot)
      let ahead = MessageFrame.distance(frame.number, from: messages[state: state].expected[lane])
      guard ahead == 0 else {
        if ahead > 0, let place { insertEarly(frame, at: place, ahead, slot) }
        return
      }
      passed(frame.number, lane, state, slot)
      touched |= 1 << UInt16(lane)
    }
    counters.messagesReceived &+= 1
    handler.received(
      peer(slot), message: payload.extracting(frame.start..<frame.start + frame.length), lane: Lane(lane), engine: &self
    )
  }

  /// A message that has come early: its bytes are in the pool.
  private mutating func insertEarly(_ frame: MessageFrame, at place: ReceivePool.Place, _ ahead: Int, _ slot: Slot) {
    var entry = EarlyMessage()
    entry.kind = .whole
    entry.place = place
    entry.offset = UInt16(frame.start)
    entry.length = UInt16(frame.length)
    pool.share(place, 2)
    insert(entry, frame.number, ahead, Int(frame.lane), slot)
  }

  private mutating func receiveSkip(_ frame: MessageFrame, _ slot: Slot, _ touched: inout UInt16) {
    let lane = Int(frame.lane)
    counters.messagesSkipped &+= 1
    let state = state(slot)
    // It has come all the same.
    if frame.isOrdered, isEarly(frame.number, lane, state) { return }
    if let partial = messages.partial(frame, state) { drop(partial, slot) }
    guard frame.isOrdered else { return }
    let ahead = MessageFrame.distance(frame.number, from: messages[state: state].expected[lane])
    if ahead == 0 {
      passed(frame.number, lane, state, slot)
      touched |= 1 << UInt16(lane)
    } else if ahead > 0 {
      var entry = EarlyMessage()
      entry.kind = .skip
      insert(entry, frame.number, ahead, lane, slot)
    }
  }

  private mutating func receiveFragment<H: Handler>(
    _ frame: MessageFrame, _ payload: RawSpan, _ slot: Slot, _ touched: inout UInt16, _ handler: inout H
  ) {
    let lane = Int(frame.lane)
    let state = state(slot)
    let ahead = frame.isOrdered ? MessageFrame.distance(frame.number, from: messages[state: state].expected[lane]) : 0
    // Of one that was said not to come.
    guard ahead >= 0, ahead == 0 || !isEarly(frame.number, lane, state),
      let partial = messages.partial(frame, state) ?? begin(frame, state, slot)
    else { return }
    // Another fragment in the same segment may have begun it.
    let row = messages[partial: partial]
    guard Int(row.total) == frame.total, Int(row.received) + frame.length <= frame.total else {
      counters.malformed &+= 1
      end(slot, .protocolViolation, &handler)
      return
    }
    messages.incoming.write(
      payload.extracting(frame.start..<frame.start + frame.length), to: row.message, at: frame.offset)
    messages[partial: partial].received += UInt32(frame.length)
    guard messages[partial: partial].received == messages[partial: partial].total else { return }
    if ahead > 0 {
      var entry = EarlyMessage()
      entry.kind = .partial
      entry.partial = partial
      insert(entry, frame.number, ahead, lane, slot)
      return
    }
    if frame.isOrdered {
      passed(frame.number, lane, state, slot)
      touched |= 1 << UInt16(lane)
    }
    handOver(partial, slot, &handler)
  }

  /// A message that has come in parts is whole, and its turn has come.
  private mutating func handOver<H: Handler>(_ partial: UInt32, _ slot: Slot, _ handler: inout H) {
    let row = messages[partial: partial].message
    let lane = Int(messages[partial: partial].lane)
    counters.messagesReceived &+= 1
    // Nobody finds it any more; its bytes stay until the callback has returned.
    messages.incoming.retain(row)
    drop(partial, slot)
    handler.received(peer(slot), message: unsafe messages.incoming.held(row), lane: Lane(lane), engine: &self)
    messages.incoming.release(row)
  }

  // MARK: Early

  /// Hands over what a lane has waited with.
  private mutating func deliverEarly<H: Handler>(_ lane: Int, _ slot: Slot, _ handler: inout H) {
    let state = state(slot)
    while messages[state: state].rings[lane] != LaneState.none {
      let ring = messages[state: state].rings[lane]
      let number = messages[state: state].expected[lane]
      let entry = messages.rings[Int(ring)][number]
      guard entry.kind != .none else { return }
      _ = messages.rings[Int(ring)].set(number, EarlyMessage())
      messages[state: state].expected[lane] = MessageFrame.next(number)
      if messages.rings[Int(ring)].count == 0 { drop(ring: ring, lane, slot) }
      switch entry.kind {
      case .none, .skip: break
      case .partial: handOver(entry.partial, slot, &handler)
      case .whole:
        counters.messagesReceived &+= 1
        let bytes = unsafe pool.bytes(entry.place, Int(entry.offset) + Int(entry.length))
        handler.received(
          peer(slot), message: bytes.extracting(Int(entry.offset)..<bytes.byteCount), lane: Lane(lane), engine: &self)
        peers.flows[slot].receive.give(back: entry.place, to: &pool)
      }
      guard peers.rows[slot].phase == .established else { return }
    }
  }

  /// What a lane has waited for has come, or will not come. The same segment may have brought what follows it before, and more than
  /// one may have said of it that it will not come.
  @inline(__always)
  private mutating func passed(_ number: UInt32, _ lane: Int, _ state: UInt32, _ slot: Slot) {
    messages[state: state].expected[lane] = MessageFrame.next(number)
    guard messages[state: state].rings[lane] != LaneState.none else { return }
    let ring = messages[state: state].rings[lane]
    giveBack(messages.rings[Int(ring)].set(number, EarlyMessage()), slot)
    if messages.rings[Int(ring)].count == 0 { drop(ring: ring, lane, slot) }
  }

  /// Whether a number that a lane does not wait for yet has come, or will not come.
  private func isEarly(_ number: UInt32, _ lane: Int, _ state: UInt32) -> Bool {
    let ring = messages[state: state].rings[lane]
    let ahead = MessageFrame.distance(number, from: messages[state: state].expected[lane])
    return ring != LaneState.none && ahead > 0 && ahead < messages.rings[Int(ring)].capacity
      && messages.rings[Int(ring)][number].kind != .none
  }

  private mutating func insert(_ entry: EarlyMessage, _ number: UInt32, _ ahead: Int, _ lane: Int, _ slot: Slot) {
    let state = state(slot)
    if messages[state: state].rings[lane] == LaneState.none {
      messages[state: state].rings[lane] = messages.newRing()
      let ring = messages[state: state].rings[lane]
      peers.flows[slot].receive.charge(messages: messages.rings[Int(ring)].bytes, pool: &pool)
    }
    let ring = Int(messages[state: state].rings[lane])
    let capacity = LaneRing.capacity(from: messages.rings[ring].capacity, for: ahead)
    if capacity > messages.rings[ring].capacity {
      peers.flows[slot].receive.charge(
        messages: LaneRing.bytes(capacity - messages.rings[ring].capacity), pool: &pool)
      messages.rings[ring].grow(to: capacity, expected: messages[state: state].expected[lane])
    }
    giveBack(messages.rings[ring].set(number, entry), slot)
  }

  private mutating func drop(ring: UInt32, _ lane: Int, _ slot: Slot) {
    peers.flows[slot].receive.refund(messages: messages.rings[Int(ring)].bytes, pool: &pool)
    messages.drop(ring: ring)
    messages[state: peers.headers[slot].lanes].rings[lane] = LaneState.none
  }

  /// What was early is of no use any more.
  private mutating func giveBack(_ entry: EarlyMessage, _ slot: Slot) {
    switch entry.kind {
    case .none, .skip: break
    case .partial: drop(entry.partial, slot)
    case .whole: peers.flows[slot].receive.give(back: entry.place, to: &pool)
    }
  }

  // MARK: In part

  private func partialCount(_ slot: Slot) -> Int {
    let state = peers.headers[slot].lanes
    return state == LaneState.none ? 0 : messages[state: state].partialCount
  }

  private mutating func begin(_ frame: MessageFrame, _ state: UInt32, _ slot: Slot) -> UInt32? {
    guard let message = messages.incoming.reserve(frame.total) else { return nil }
    // Whose parts do not make a whole gets zeros there, and nothing of others.
    messages.incoming.clear(message)
    var row = PartialMessage()
    row.next = messages[state: state].partials
    row.number = frame.number
    row.message = message
    row.total = UInt32(frame.total)
    row.lane = frame.lane
    row.isOrdered = frame.isOrdered
    let index = messages.newPartial(row)
    messages[state: state].partials = index
    messages[state: state].partialCount += 1
    peers.flows[slot].receive.charge(messages: messages.incoming.room(message), pool: &pool)
    return index
  }

  private mutating func drop(_ partial: UInt32, _ slot: Slot) {
    let state = peers.headers[slot].lanes
    let row = messages[partial: partial]
    var index = messages[state: state].partials
    if index == partial {
      messages[state: state].partials = row.next
    } else {
      while messages[partial: index].next != partial { index = messages[partial: index].next }
      messages[partial: index].next = row.next
    }
    messages[state: state].partialCount -= 1
    peers.flows[slot].receive.refund(messages: messages.incoming.room(row.message), pool: &pool)
    messages.incoming.release(row.message)
    messages.drop(partial: partial)
  }

  /// Nothing more will be handed over.
  mutating func releaseIntake(_ slot: Slot) {
    let state = peers.headers[slot].lanes
    guard state != LaneState.none else { return }
    for lane in 0..<MessageFrame.lanes where messages[state: state].rings[lane] != LaneState.none {
      let ring = messages[state: state].rings[lane]
      for index in 0..<messages.rings[Int(ring)].capacity {
        giveBack(messages.rings[Int(ring)].remove(at: index), slot)
      }
      drop(ring: ring, lane, slot)
    }
    while messages[state: state].partials != LaneState.none { drop(messages[state: state].partials, slot) }
    messages.drop(state: state)
    peers.headers[slot].lanes = LaneState.none
  }
}

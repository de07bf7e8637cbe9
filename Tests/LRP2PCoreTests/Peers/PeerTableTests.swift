// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What a slot holds, as the test knows it.
private struct Held {
  var slot: Slot
  var address: Address
  var hasForeignEntry = false
  var hasAttemptEntry = false
  var hasHandshake = false
  var isOriginal = false
  var hasFlow = false
}

/// The table, and a dictionary that knows whom each connection id names.
private struct Checked: ~Copyable {
  var table: PeerTable
  let maximum: Int
  var model: [UInt64: Held] = [:]
  /// Ids that have named somebody.
  var void: [UInt64] = []
  var random: TestRandom
  var wrong: [String] = []
  private let suite = ClearSuite(seed: 1)

  init(maximum: Int, seed: Int) {
    table = PeerTable(maximum: maximum, seed: UInt64(seed), configuration: EngineConfiguration())
    self.maximum = maximum
    random = TestRandom(seed: seed)
  }

  mutating func allocate() {
    guard let slot = table.allocate() else {
      if model.count < maximum { wrong.append("no slot, with \(model.count) of \(maximum) in use") }
      return
    }
    if model.count >= maximum { wrong.append("slot \(slot.index) beyond the maximum") }
    if model.values.contains(where: { $0.slot == slot }) { wrong.append("slot \(slot.index) is given away twice") }
    if table.rows[slot].connectionID != 0 { wrong.append("slot \(slot.index) is not clean") }
    let id = UInt64(slot.index) | (random.next() | 1 << 63) & ~0xFF_FFFF
    var held = Held(slot: slot, address: Address(ipv4: UInt32(random.below(50)), port: UInt16(random.below(3))))
    table.rows[slot].connectionID = id
    table.rows[slot].remoteID = random.next()
    table.rows[slot].address = held.address
    table.rows[slot].phase = .halfOpen
    for row in [PeerTable.sealingRow(slot), PeerTable.openingRow(slot)] {
      if table.keys[row].aead != 0 { wrong.append("a key in row \(row.index) is left") }
      table.keys[row].bytes = .init(repeating: UInt8(truncatingIfNeeded: row.index) | 1)
      table.keys[row].aead = 1
    }
    let isIncoming = random.happens(percent: 60)
    held.isOriginal = random.happens(percent: 20)
    table.rows[slot].isIncoming = isIncoming
    if held.isOriginal { table.originals.insert(OriginalPeer(), at: slot) }
    if isIncoming {
      let hash = table.initiators.hash(table.rows[slot].remoteID, held.address)
      table.initiators.insert(hash, slot: slot)
      held.hasForeignEntry = true
    }
    insertHandshake(&held)
    if random.happens(percent: 50) {
      table.begin(slot, configuration: EngineConfiguration(), seed: 1, now: 0)
      held.hasFlow = true
    }
    model[id] = held
  }

  private mutating func insertHandshake(_ held: inout Held) {
    let secret = suite.randomKey()
    let noise = NoiseHandshake(
      initiator: false, staticPublic: suite.publicKey(of: secret), ephemeralSecret: suite.randomKey(), suite: suite)
    table.handshakes.insert(HandshakeRow(noise: noise, byteCount: 64, started: 0), at: held.slot)
    table.rows[held.slot].owesHandshake = true
    held.hasHandshake = true
    if random.happens(percent: 50) {
      // Few different ones, as the attempts of one dial have one.
      let hash = UInt64(1 + random.below(5))
      table.handshakes[held.slot].attemptHash = hash
      table.attempts.insert(hash, slot: held.slot)
      held.hasAttemptEntry = true
    }
  }

  mutating func anyID() -> UInt64? {
    // Sorted, because the order of a dictionary differs from run to run.
    model.isEmpty ? nil : model.keys.sorted()[random.below(model.count)]
  }

  mutating func release() {
    guard let id = anyID(), let held = model.removeValue(forKey: id) else { return }
    table.release(held.slot)
    void.append(id)
    for row in [PeerTable.sealingRow(held.slot), PeerTable.openingRow(held.slot)] {
      let key = table.keys[row]
      if key.aead != 0 || (0..<32).contains(where: { key.bytes[$0] != 0 }) {
        wrong.append("row \(row.index) is not wiped")
      }
    }
    if table.handshakes.contains(held.slot) || table.originals.contains(held.slot) || table.flows.contains(held.slot) {
      wrong.append("\(held) leaves something")
    }
  }

  /// The handshake is over: with what message 3 is recognised by, or without.
  mutating func finishHandshake(keepsEntry: Bool) {
    guard let id = anyID(), var held = model[id] else { return }
    // An original peer never learns another id.
    let keepsEntry = keepsEntry || held.isOriginal
    if keepsEntry { table.dropHandshakeRow(held.slot) } else { table.dropHandshake(held.slot) }
    held.hasHandshake = false
    held.hasAttemptEntry = false
    if !keepsEntry {
      held.hasForeignEntry = false
      table.rows[held.slot].isIncoming = false
    }
    if table.rows[held.slot].owesHandshake { wrong.append("\(held) owes a handshake that is over") }
    model[id] = held
  }

  mutating func check() {
    if table.inUse != model.count { wrong.append("\(table.inUse) in use, not \(model.count)") }
    if table.slots > maximum { wrong.append("\(table.slots) slots, of at most \(maximum)") }
    for (id, held) in model {
      if table.slot(of: id) != held.slot { wrong.append("\(held) is not found") }
      // The same slot, under another id.
      if table.slot(of: id ^ 1 << 30) != nil { wrong.append("\(held) is found by a wrong id") }
      let row = table.rows[held.slot]
      let hash = table.initiators.hash(row.remoteID, row.address)
      let found = table.initiators.find(hash, table.rows, id: row.remoteID, address: row.address)
      if found != (held.hasForeignEntry ? held.slot : nil) {
        wrong.append("\(held) by its foreign id: \(found?.index ?? -1)")
      }
      if table.handshakes.contains(held.slot) != held.hasHandshake { wrong.append("\(held): the handshake") }
      if table.flows.contains(held.slot) != held.hasFlow { wrong.append("\(held): the flow") }
    }
    for id in void.suffix(200) where table.slot(of: id) != nil { wrong.append("\(id) is void, and is found") }
    // A slot that the table does not have (yet).
    if table.slot(of: 1 << 40 | UInt64(table.slots)) != nil || table.slot(of: 1 << 40 | 0xFF_FFFF) != nil {
      wrong.append("found outside of the table")
    }
    let (foreign, attempts) = (table.initiators.count, table.attempts.count)
    if foreign != model.values.count(where: \.hasForeignEntry) { wrong.append("\(foreign) foreign entries") }
    if attempts != model.values.count(where: \.hasAttemptEntry) { wrong.append("\(attempts) entries of attempts") }
  }
}

@Suite struct PeerTableTests {
  @Test(arguments: [1, 16, 40, 300], 0..<3)
  func agreesWithADictionary(maximum: Int, seed: Int) {
    var checked = Checked(maximum: maximum, seed: seed)
    for step in 0..<900 where checked.wrong.isEmpty {
      // It fills up, then most of them go, over and over.
      let isFilling = step / 300 % 2 == 0
      switch checked.random.below(100) {
      case 0..<(isFilling ? 70 : 15): checked.allocate()
      case 90..<95: checked.finishHandshake(keepsEntry: true)
      case 95...: checked.finishHandshake(keepsEntry: false)
      default: checked.release()
      }
      if step % 10 == 0 { checked.check() }
    }
    while !checked.model.isEmpty, checked.wrong.isEmpty { checked.release() }
    checked.check()
    let wrong = checked.wrong.first
    #expect(wrong == nil)
  }

  /// It doubles, by no more than 1024 slots at once and not beyond its maximum, and no slot comes back while others are free.
  @Test func growsWithoutMovingAnybody() {
    var table = PeerTable(maximum: 5000, seed: 1, configuration: EngineConfiguration())
    var sizes: [Int] = [table.slots]
    for expected in Slot.all(5000) {
      let slot = table.allocate()
      #expect(slot == expected)
      table.rows[expected].connectionID = UInt64(expected.index) | 1 << 40
      table.rows[expected].phase = .established
      if table.slots != sizes.last { sizes.append(table.slots) }
    }
    #expect(sizes == [16, 32, 64, 128, 256, 512, 1024, 2048, 3072, 4096, 5000])
    var beyond = table.allocate()
    #expect(beyond == nil)
    var wrong = 0
    for slot in Slot.all(5000) where table.slot(of: UInt64(slot.index) | 1 << 40) != slot { wrong += 1 }
    #expect(wrong == 0)
    // The one that has been free for longest comes first.
    let released = [700, 3, 4999].map { Slot($0) }
    for slot in released { table.release(slot) }
    for slot in released {
      beyond = table.allocate()
      #expect(beyond == slot)
    }
  }

  /// Without half-open handshakes, which give way.
  @Test func roomIsWhatIsNotInUse() {
    var table = PeerTable(maximum: 2, seed: 1, configuration: EngineConfiguration())
    let (room, isFull) = (table.room, table.isFull)
    let slots = [table.allocate(), table.allocate()]
    let (roomLeft, isFullNow) = (table.room, table.isFull)
    #expect(room == 2 && !isFull && roomLeft == 0 && isFullNow)
    #expect(slots.allSatisfy { $0 != nil })
  }

  /// An id whose slot is being set up, or lingers as free, names nobody.
  @Test func aFreeSlotIsNotFound() {
    var table = PeerTable(maximum: 4, seed: 1, configuration: EngineConfiguration())
    let slot = table.allocate()!
    #expect(slot == Slot(0))
    table.rows[slot].connectionID = 1 << 40
    var found = table.slot(of: 1 << 40)
    #expect(found == nil)
    table.rows[slot].phase = .dialling
    found = table.slot(of: 1 << 40)
    #expect(found == slot)
    found = table.slot(of: 0)
    #expect(found == nil)
  }

  /// Growth in steps of 1024 rows rarely takes memory, and all of it is told.
  @Test func memoryIsTold() {
    var table = PeerTable(maximum: 5000, seed: 1, configuration: EngineConfiguration())
    var changes = 0
    var last = table.blockCount
    for _ in 0..<5000 {
      _ = table.allocate()
      if table.blockCount != last {
        changes += 1
        last = table.blockCount
      }
    }
    var (blocks, bytes) = (0, 0)
    unsafe table.forEachBlock { block in
      blocks += 1
      bytes += block.count
    }
    #expect(changes == 8 && blocks == last)
    #expect(
      bytes >= 5000
        * (MemoryLayout<PeerRow>.stride + 2 * MemoryLayout<TrafficKey>.stride + MemoryLayout<ConnectionHeader>.stride))
  }

  /// More flows than the table keeps memory for rest and wake, in another order: each gets back what is its own.
  @Test func flowsRestAndWake() {
    var configuration = EngineConfiguration()
    configuration.flowsKept = 256
    var table = PeerTable(maximum: 300, seed: 1, configuration: configuration)
    var wrong = 0
    for _ in 0..<300 {
      let slot = table.allocate()!
      table.rows[slot].connectionID = UInt64(slot.index) | 1 << 40
      table.begin(slot, configuration: configuration, seed: 1, now: 5)
      table.headers[slot].handle = UInt64(slot.index) + 7
      table.headers[slot].retransmissions = UInt64(slot.index) * 3
      table.headers[slot].idleTimeout = UInt64(slot.index) * 1000
      table.headers[slot].peerAckRatio = UInt16(slot.index)
      table.flows[slot].roundTrip.update(sample: .milliseconds(UInt64(slot.index) + 1), acknowledgementDelay: 0)
      table.headers[slot].lastReceived = UInt64(slot.index) * 11
    }
    for round in 0..<3 {
      for slot in Slot.all(300) { table.rest(slot) }
      // A look at one wakes nobody.
      for slot in Slot.all(300) {
        let flow = table.awakened(slot, configuration: configuration, now: 9)
        if flow.roundTrip.smoothed != .milliseconds(UInt64(slot.index) + 1) { wrong += 1 }
      }
      if table.flows.inUse != 0 { wrong += 1 }
      for slot in Slot.all(300) where table.headers[slot].handle != UInt64(slot.index) + 7 { wrong += 1 }
      for step in 0..<300 { table.wake(Slot(step * 7 % 300), configuration: configuration, now: UInt64(round)) }
      if table.flows.inUse != 300 || table.places.inUse != 300 || table.places.count != 300 { wrong += 1 }
      for slot in Slot.all(300) where table.places.slot(at: table.flows[slot].place) != slot { wrong += 1 }
      for slot in Slot.all(300) {
        if table.headers[slot].handle != UInt64(slot.index) + 7
          || table.headers[slot].retransmissions != UInt64(slot.index) * 3
          || table.headers[slot].idleTimeout != UInt64(slot.index) * 1000
          || table.headers[slot].peerAckRatio != UInt16(slot.index)
          || table.flows[slot].roundTrip.smoothed != .milliseconds(UInt64(slot.index) + 1)
          || table.headers[slot].lastReceived != UInt64(slot.index) * 11
        {
          wrong += 1
        }
      }
    }
    #expect(wrong == 0)
  }

  /// What a large window has made large is given back, and nothing of an earlier connection reaches the next; beyond the flows
  /// that are kept, new ones are made.
  @Test func flowsOfEndedConnectionsAreUsedAgain() {
    var configuration = EngineConfiguration()
    configuration.flowsKept = 2
    var table = PeerTable(maximum: 300, seed: 1, configuration: configuration)
    func begin(_ seed: UInt64) -> Slot {
      let slot = table.allocate()!
      table.rows[slot].connectionID = UInt64(slot.index) | seed << 40
      table.begin(slot, configuration: configuration, seed: seed, now: seed)
      return slot
    }
    let slots = (1...4).map { begin($0) }
    for slot in slots {
      var header = table.headers[slot]
      table.flows[slot].linger(isBrief: false, &header, now: 9)
      table.headers[slot] = header
      table.flows[slot].ending.owesClose = true
      table.flows[slot].ending.isClosedByUser = true
      table.flows[slot].ending.closeCode = 7
      table.flows[slot].ending.closeReason = "because it is over"
      table.flows[slot].ending.lingerReceived = 3
      table.flows[slot].ending.drain.begin(.idleTimeout, isSendComplete: true, now: 9)
      table.flows[slot].ending.lingerAnswerAt = 4
      table.flows[slot].owesPing = true
      table.flows[slot].awaitsPing = true
      table.flows[slot].pongs.owe(9)
      table.flows[slot].owesFirstAck = true
      table.flows[slot].pingToken = 5
      table.flows[slot].probesOwed = 2
      table.headers[slot].handle = 11
      table.flows[slot].send.offer(upTo: 1000)
    }
    // One whose window has been large.
    table.flows[slots[0]].send.open(window: 1000)
    table.flows[slots[0]].send.offer(upTo: 1_000_000)
    for number in 0..<40 {
      let segment = table.flows[slots[0]].send.nextSegment(capacity: 1000)!
      table.flows[slots[0]].send.sent(segment, packetNumber: UInt64(number), now: 10)
    }
    #expect(table.flows[slots[0]].isSmall == false)
    for slot in slots {
      table.flows[slot].send.finish()
      table.release(slot)
    }
    #expect(table.flows.inUse == 0 && table.flows.reserved == 2)
    for seed in 5...8 as ClosedRange<UInt64> {
      let slot = begin(seed)
      #expect(table.flows[slot].isQuiet == true && table.flows[slot].isSmall == true)
      #expect(table.flows[slot].ending.lingerDeadline == .never && table.flows[slot].ending.lingerReceived == 0)
      #expect(table.flows[slot].ending.lingerAnswerAt == 1 && table.flows[slot].ending.drain.isOver == false)
      #expect(table.flows[slot].ending.closeCode == 0 && table.flows[slot].ending.closeReason.isEmpty)
      #expect(table.headers[slot].handle == 0 && table.headers[slot].lastSent == seed)
      #expect(table.flows[slot].send.hasNew == false && table.flows[slot].send.finRequested == false)
    }
    #expect(table.flows.reserved == 0)
  }

  /// A later attempt of a dial takes the flow of the first: each place knows its flow's slot.
  @Test func flowsChangePlaces() {
    let configuration = EngineConfiguration()
    var table = PeerTable(maximum: 4, seed: 1, configuration: configuration)
    var slots: [Slot] = []
    for seed in 1...2 as ClosedRange<UInt64> {
      let slot = table.allocate()!
      table.rows[slot].connectionID = UInt64(slot.index) | seed << 40
      table.begin(slot, configuration: configuration, seed: seed, now: seed)
      table.headers[slot].handle = seed
      slots.append(slot)
    }
    table.exchangeFlows(slots[0], slots[1])
    #expect(table.headers[slots[0]].handle == 2 && table.headers[slots[1]].handle == 1)
    for slot in slots { #expect(table.places.slot(at: table.flows[slot].place) == slot) }
    table.release(slots[0])
    #expect(table.places.inUse == 1 && table.places.slot(at: table.flows[slots[1]].place) == slots[1])
  }

  /// Whoever takes merged datagrams is of one group with all others that do.
  @Test func messageGroups() {
    var row = PeerRow()
    row.remoteID = 7
    #expect(row.messageGroup == 7)
    row.takesMerged = true
    #expect(row.messageGroup == 0)
  }

  /// What a peer shows when it has lost the connection moves with it, and goes with its slot.
  @Test func resetTokensFollowTheirPeers() {
    var table = PeerTable(maximum: 4, seed: 1, configuration: EngineConfiguration())
    let (old, new) = (Address(ipv4: 1, port: 1), Address(ipv4: 2, port: 2))
    let token = ResetToken([UInt8](1...16).raw)
    for hasToken in [true, false] {
      let slot = table.allocate()!
      table.rows[slot].connectionID = UInt64(slot.index) | 1 << 40
      table.rows[slot].remoteID = 9
      table.rows[slot].address = old
      table.keep(hasToken ? token : nil, slot)
      table.move(slot, to: new)
      let found = (table.resetTokens.find(9, old, table.rows), table.resetTokens.find(9, new, table.rows))
      #expect(found == (nil, hasToken ? slot : nil))
      #expect(table.rows[slot].address == new && table.resetTokens[slot] == (hasToken ? token : ResetToken()))
      table.release(slot)
      #expect(table.resetTokens.count == 0 && !table.resetTokens.contains(slot))
      // The next id of the slot goes on from this one.
      #expect(
        table.rows[slot].remoteID == UInt64(slot.index) | 1 << 40 && table.slot(of: UInt64(slot.index) | 1 << 40) == nil
      )
    }
  }

  @Test func onlyASlotInUseIsGivenBack() async {
    await #expect(processExitsWith: .failure) {
      var table = PeerTable(maximum: 4, seed: 1, configuration: EngineConfiguration())
      table.release(table.allocate()!)
    }
  }

  /// Of a connection at rest, and of one with a flow.
  @Test func readingAheadChangesNothing() {
    let configuration = EngineConfiguration()
    var table = PeerTable(maximum: 4, seed: 1, configuration: configuration)
    let slot = table.allocate()!
    table.rows[slot].connectionID = 1 << 40
    let first = table.readAhead(slot)
    let again = table.readAhead(slot)
    table.begin(slot, configuration: configuration, seed: 1, now: 1)
    let (flowing, flowingAgain) = (table.readAhead(slot), table.readAhead(slot))
    #expect(first == again && flowing == flowingAgain && flowing != first)
    table.release(slot)
  }

  /// Own addresses are counted by who is heard at them, and only the side that was dialled answers from its own.
  @Test func ownAddressesAreCounted() {
    var table = PeerTable(maximum: 4, seed: 1, configuration: EngineConfiguration())
    let slot = table.allocate()!
    var address = Address(ipv4: 1, port: 2)
    address.local = 7
    table.place(slot, at: address)
    let placed = [table.isHeard(at: 7), table.isHeard(at: 8)]
    #expect(placed == [true, false])
    table.hear(slot, at: 8)
    let moved = [table.isHeard(at: 7), table.isHeard(at: 8)]
    #expect(moved == [false, true])
    var row = table.rows[slot]
    #expect(row.destination.local == 0 && row.destination == address)
    row.isIncoming = true
    #expect(row.destination.local == 8)
    table.place(slot, at: .none)
    let isHeard = table.isHeard(at: 8)
    #expect(!isHeard)
  }
}

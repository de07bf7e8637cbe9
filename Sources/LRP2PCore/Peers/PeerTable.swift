// SPDX-License-Identifier: MIT
/// All peers of an engine, in flat columns by slot.
package struct PeerTable: ~Copyable {
  package var rows: GrowingColumn<Slot, PeerRow>
  /// First `scratchRows` rows for keys that a batch needs for a moment, then a sealing and an opening row a slot.
  package var keys: KeyTable
  /// Of connections over which something moves; an established one without is at rest.
  package var flows: Slots<Slot, Flow>
  /// The flows' own numbers.
  package private(set) var places = Places()
  package var headers: GrowingColumn<Slot, ConnectionHeader>
  /// Who the peers are: for users only, so no datagram touches it.
  package var remoteKeys: GrowingColumn<Slot, PublicKey>
  package var handshakes: Slots<Slot, HandshakeRow>
  /// Connections with the original peer.
  package var originals: Slots<Slot, OriginalPeer>
  package var initiators: InitiatorTable
  /// Half-open handshakes of others by what all attempts of one dial have in common.
  package var attempts: InitiatorTable
  /// What peers have told for the case that they lose the connection.
  package private(set) var resetTokens: ResetTokens
  /// Half-open handshakes of others, by whether the address has shown that it receives.
  package internal(set) var unproved: HalfOpenList
  package internal(set) var proved: HalfOpenList
  /// What a connection begins from.
  private let beginning: RestingRow
  private var freeSlots = Queue<UInt32>(minimumCapacity: 16, filler: 0)
  private let maximum: Int
  /// Of each of this side's addresses: how many peers are heard there.
  private var heard = Column(repeating: UInt32(0), count: 256)
  package private(set) var inUse = 0

  /// - Parameter memory: for keys.
  package init(
    maximum: Int, seed: UInt64, configuration: EngineConfiguration, memory: any SecretMemory = OrdinaryMemory()
  ) {
    self.maximum = maximum
    beginning = RestingRow(beginning: configuration)
    let count = min(16, maximum)
    rows = GrowingColumn(repeating: PeerRow(), count: count)
    keys = GrowingColumn(repeating: TrafficKey(), count: Self.scratchRows + 2 * count, memory: memory)
    flows = Slots(count: count, reserve: configuration.flowsKept)
    headers = GrowingColumn(repeating: ConnectionHeader(), count: count)
    remoteKeys = GrowingColumn(repeating: PublicKey(), count: count)
    handshakes = Slots(count: count)
    originals = Slots(count: count)
    initiators = InitiatorTable(seed: seed)
    attempts = InitiatorTable(seed: ~seed)
    resetTokens = ResetTokens(slots: count, seed: seed)
    unproved = HalfOpenList(seed: ~seed)
    proved = HalfOpenList(seed: seed)
    for slot in 0..<count { freeSlots.append(UInt32(slot)) }
  }

  package var slots: Int { rows.count }

  /// Slots that nothing has but handshakes that may give way.
  package var room: Int { maximum - inUse + halfOpenCount }
  package var isFull: Bool { inUse == maximum }

  /// Changes when a column gets memory.
  package var blockCount: Int {
    rows.blockCount &+ keys.blockCount &+ flows.blockCount &+ headers.blockCount &+ remoteKeys.blockCount
      &+ handshakes.blockCount &+ originals.blockCount &+ resetTokens.blockCount
  }

  package func forEachBlock(_ body: (UnsafeRawBufferPointer) -> Void) {
    unsafe rows.forEachBlock(body)
    unsafe keys.forEachBlock(body)
    unsafe flows.forEachBlock(body)
    unsafe headers.forEachBlock(body)
    unsafe remoteKeys.forEachBlock(body)
    unsafe handshakes.forEachBlock(body)
    unsafe originals.forEachBlock(body)
    unsafe resetTokens.forEachBlock(body)
  }

  /// Rows that growth adds in one go, so that nobody waits for it.
  private static var mostAtOnce: Int { 1024 }

  package static var scratchRows: Int { 16 }
  @inline(__always) package static func sealingRow(_ slot: Slot) -> KeyRow { KeyRow(scratchRows + 2 * slot.index) }
  @inline(__always) package static func openingRow(_ slot: Slot) -> KeyRow { KeyRow(scratchRows + 2 * slot.index + 1) }

  /// The slot that `id` names, if it is in use under this very id.
  @inline(__always)
  package func slot(of id: UInt64) -> Slot? {
    let slot = Peer.slot(of: id)
    guard slot.index < rows.count, rows[slot].connectionID == id, rows[slot].phase != .free else { return nil }
    return slot
  }

  /// Reads what a datagram of the peer needs: its hot row, both keys, its header with what it is woken from, and its flow if it has one.
  @inline(__always)
  package func readAhead(_ slot: Slot) -> UInt64 {
    let keys = keys.readAhead(Self.openingRow(slot)) &+ keys.readAhead(Self.sealingRow(slot))
    return rows.readAhead(slot) &+ keys &+ headers.readAhead(slot) &+ flows.readAhead(slot)
  }

  /// Takes a free slot; `nil` when there is none and the table may not grow.
  package mutating func allocate() -> Slot? {
    if freeSlots.isEmpty {
      guard rows.count < maximum else { return nil }
      let count = rows.count
      let grown = min(count + min(count, Self.mostAtOnce), maximum)
      rows.grow(to: grown, filling: PeerRow())
      keys.grow(to: Self.scratchRows + 2 * grown, filling: TrafficKey())
      flows.grow(to: grown)
      headers.grow(to: grown, filling: ConnectionHeader())
      remoteKeys.grow(to: grown, filling: PublicKey())
      handshakes.grow(to: grown)
      originals.grow(to: grown)
      resetTokens.grow(to: grown)
      for slot in count..<grown { freeSlots.append(UInt32(slot)) }
    }
    inUse += 1
    return Slot(Int(freeSlots.popFirst()!))
  }

  /// A flow for the connection that begins at `slot`: in the memory of one that rests, if there is one.
  package mutating func begin(_ slot: Slot, configuration: EngineConfiguration, seed: UInt64, now: Instant) {
    headers[slot] = ConnectionHeader(configuration: configuration, now: now)
    if flows.insertRetired(at: slot) {
      headers[slot].rest = beginning
      flows[slot].begin(from: headers[slot], configuration: configuration, seed: seed)
    } else {
      flows.insert(Flow(configuration: configuration, seed: seed, now: now), at: slot)
    }
    flows[slot].place = places.take(for: slot)
  }

  /// Turns the slot's flow, over which nothing moves, into its resting row.
  package mutating func rest(_ slot: Slot) {
    // By its address, which the column checks: written as the whole that it is, the row would be copied here and there.
    unsafe flows[slot].rest(in: &headers.pointer(slot).pointee.rest)
    retireFlow(slot)
  }

  /// Keeps as much of the memory of a quiet flow as each needs, for the next that is needed.
  @inline(__always)
  private mutating func retireFlow(_ slot: Slot) {
    places.give(back: flows[slot].place)
    if !flows[slot].isSmall { flows[slot].shrink() }
    flows.retire(slot)
  }

  /// The counterpart of `rest`: in the memory of a flow that rests, if there is one.
  @inline(__always)
  package mutating func wake(_ slot: Slot, configuration: EngineConfiguration, now: Instant) {
    let seed = rows[slot].connectionID &+ now
    if !flows.insertRetired(at: slot) {
      flows.insert(Flow(configuration: configuration, seed: seed, now: now), at: slot)
    }
    unsafe flows[slot].restart(
      from: headers.pointer(slot).pointee, configuration: configuration, seed: seed)
    flows[slot].place = places.take(for: slot)
  }

  /// The flow that waking a connection would make, for a look at it.
  package func awakened(_ slot: Slot, configuration: EngineConfiguration, now: Instant) -> Flow {
    var flow = Flow(configuration: configuration, seed: 0, now: now)
    flow.restart(from: headers[slot], configuration: configuration, seed: 0)
    return flow
  }

  /// The headers and the flows of two slots change places.
  package mutating func exchangeFlows(_ a: Slot, _ b: Slot) {
    (headers[a], headers[b]) = (headers[b], headers[a])
    flows.exchange(a, b)
    for slot in [a, b] { places.move(flows[slot].place, to: slot) }
  }

  /// Gives a slot back and wipes its keys.
  package mutating func release(_ slot: Slot) {
    precondition(rows[slot].connectionID != 0, "slot not in use")
    wipeKeys(slot)
    dropHandshake(slot)
    originals.remove(at: slot)
    resetTokens.remove(slot, rows)
    if flows.contains(slot) {
      flows[slot].forgetEnd()
      retireFlow(slot)
    }
    let id = rows[slot].connectionID
    place(slot, at: .none)
    rows[slot] = PeerRow()
    rows[slot].remoteID = id
    headers[slot] = ConnectionHeader()
    remoteKeys[slot] = PublicKey()
    freeSlots.append(UInt32(slot.index))
    inUse -= 1
  }

  /// Keeps what a peer has told for the case that it loses the connection, if it has.
  package mutating func keep(_ token: ResetToken?, _ slot: Slot) {
    if let token { resetTokens.insert(slot, token, rows) }
  }

  /// A peer is at another address from here on.
  package mutating func move(_ slot: Slot, to address: Address) {
    let token = resetTokens.contains(slot) ? resetTokens[slot] : nil
    resetTokens.remove(slot, rows)
    place(slot, at: address)
    keep(token, slot)
  }

  /// The address of a peer that nothing finds by it yet, or any more.
  package mutating func place(_ slot: Slot, at address: Address) {
    hear(slot, at: address.local)
    rows[slot].address = address
  }

  /// The peer's datagrams arrive at this one of our addresses from here on.
  package mutating func hear(_ slot: Slot, at local: UInt8) {
    // Nobody asks for 0, which a free slot has, too.
    heard[Int(rows[slot].address.local)] &-= 1
    heard[Int(local)] &+= 1
    rows[slot].address.local = local
  }

  package func isHeard(at local: UInt8) -> Bool { heard[Int(local)] != 0 }

  /// The handshake is confirmed, or over.
  package mutating func dropHandshake(_ slot: Slot) {
    if rows[slot].isIncoming {
      initiators.remove(initiators.hash(rows[slot].remoteID, rows[slot].address), slot: slot)
    }
    dropHandshakeRow(slot)
  }

  /// The keys are agreed; what is left is the entry in `initiators`: to recognise message 3 by, should it come again, or every
  /// datagram, where the initiator never learns another id.
  package mutating func dropHandshakeRow(_ slot: Slot) {
    guard handshakes.contains(slot) else { return }
    unlist(slot)
    if handshakes[slot].attemptHash != 0 { attempts.remove(handshakes[slot].attemptHash, slot: slot) }
    handshakes.remove(at: slot)
    rows[slot].owesHandshake = false
  }

  private mutating func wipeKeys(_ slot: Slot) {
    wipeKey(Self.sealingRow(slot))
    wipeKey(Self.openingRow(slot))
    if flows.contains(slot) { flows[slot].previousKey.wipe() }
  }

  private mutating func wipeKey(_ row: KeyRow) {
    keys[row].bytes.wipe()
    keys[row].aead = 0
  }
}

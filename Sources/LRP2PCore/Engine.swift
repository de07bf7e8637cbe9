// SPDX-License-Identifier: MIT
/// The whole protocol for all peers of one socket: no clock, no descriptor, no entropy of its own.
///
/// Three verbs move it, in `Engine+Receive`, `Engine+Expire` and `Engine+Transmit`; what is asked of it between them
/// (offer, finish, close, pause, resume) only marks a peer ready, so it may be called from any callback. A call that
/// cannot be taken is answered by a value.
/// Not thread-safe: it belongs to its reactor's thread.
public struct Engine: ~Copyable {
  /// The time of the current turn, on the reactor's monotonic clock, less the time that the engine was suspended (`suspend`).
  public internal(set) var now: Instant
  var counters = EngineStatistics()

  let configuration: EngineConfiguration
  package let suite: any CipherSuite
  /// Whose code seals and opens the datagrams: "libipsec-mb" or "libsodium".
  public var aeadProvider: String { suite.aeadProvider }
  /// The static key and what else belongs to no peer.
  var secrets: EngineSecrets
  /// Copies of keys may be left on the stack: who calls the verbs knows how to overwrite what is below its frame.
  package var hasHandledSecrets: Bool {
    get { secrets.wereHandled }
    set { secrets.wereHandled = newValue }
  }
  /// Who this side is.
  public let publicKey: PublicKey

  let protocolNames: ProtocolNames
  /// How own ids are drawn, and which foreign ones belong here.
  let ids: ConnectionIDs
  package var peers: PeerTable
  var pool: ReceivePool
  var writes: WritePool
  var messages: MessageTable
  var schedule: Schedule
  var inbound = Inbound()
  var outbound = Outbound()
  var listener: Listener
  package internal(set) var limits: ConnectionLimits
  var dialler = Dialler()
  var sweeps = Sweeps()
  /// For handshake payloads.
  var scratch = Arena(byteCount: Datagram.maximumLength)

  /// - Parameters:
  ///   - seed: hashes the table of foreign ids; nobody outside may know it.
  ///   - boot: the same for all engines of a host until its clock begins anew, and another then.
  ///   - keys: the same for an engine that takes this one's place; without them they follow from the secret key alone.
  ///   - ids: how the kernel has been told to steer.
  ///   - memory: for keys.
  package init(
    configuration: EngineConfiguration, secretKey: SecretKey, suite: any CipherSuite, seed: UInt64, now: Instant,
    boot: UInt64 = 0, keys: StatelessKeys? = nil, ids: ConnectionIDs = ConnectionIDs(),
    memory: any SecretMemory = OrdinaryMemory()
  ) {
    var keys = keys ?? StatelessKeys(identity: secretKey, suite: suite)
    defer { keys.wipe() }
    var ids = ids
    ids.mark(with: keys.tag)
    self.now = now
    self.ids = ids
    self.configuration = configuration
    protocolNames = ProtocolNames(configuration.applicationProtocols)
    self.suite = suite
    secrets = EngineSecrets(staticKey: secretKey, boot: boot, resetKey: keys.resets, suite: suite, memory: memory)
    publicKey = suite.publicKey(of: secretKey)
    limits = ConnectionLimits(configuration, seed: seed)
    listener = Listener(configuration)
    peers = PeerTable(
      maximum: configuration.maximumPeers, seed: seed, configuration: configuration, memory: memory)
    pool = ReceivePool(
      cellBytes: max(configuration.maximumDatagram, 1400), maximumBytes: configuration.receivePoolBytes,
      peerBytes: configuration.receivePeerBytes, kept: configuration.storedPayloadBytes)
    writes = WritePool(maximumBytes: configuration.writePoolBytes, peerBytes: configuration.writePeerBytes)
    messages = MessageTable(configuration)
    schedule = Schedule(slots: peers.slots, now: now)
  }

  /// Overwrites all keys; the engine is of no use afterwards. What keys stand in does the same when it goes, and the engine with it.
  package mutating func wipe() {
    secrets.wipe()
    inbound.scratchKeys.wipe(&peers.keys, suite)
    for slot in Slot.all(peers.slots) where peers.rows[slot].phase != .free { release(slot) }
  }

  // MARK: What the reactor asks

  /// When `expire` has something to do next; `.never` when nothing waits.
  package var nextDeadline: Instant { schedule.outage.real(schedule.nextDeadline) }
  /// Peers that `transmit` has a look at, at most.
  package var readyCount: Int { schedule.ready.count + sweeps.left }
  /// Whether `transmit` has something to do now.
  package var hasReadyPeers: Bool {
    !isSuspended
      && (!schedule.ready.isEmpty || listener.hasAnswers || !sweeps.areOver)
  }

  /// Whether a dial is under way, of which the network may have something to say (`dialRefused`).
  @inline(__always)
  package var isDialling: Bool { dialler.attemptsUnderWay > 0 }

  /// The reactor could not send all that there was to send: its socket is full, or its share of the turn is used up.
  package var socketIsBehind: Bool {
    get { outbound.socketIsBehind }
    set { outbound.socketIsBehind = newValue }
  }

  /// Whether a connection is heard at this one of the reactor's addresses.
  package func isHeard(at local: UInt8) -> Bool { peers.isHeard(at: local) }

  // MARK: Slots

  /// The slot of a connection that its user has been told no end of.
  func known(_ peer: Peer) -> Slot? {
    guard var slot = peers.slot(of: peer.connectionID) else { return nil }
    if peers.rows[slot].phase == .superseded {
      guard let winner = peers.slot(of: peers.rows[slot].remoteID) else { return nil }
      slot = winner
    }
    switch peers.rows[slot].phase {
    case .dialling, .established, .closing, .draining: return slot
    case .free, .halfOpen, .lingering, .superseded: return nil
    }
  }

  /// The slot of one whose user may still read.
  func readable(_ peer: Peer) -> Slot? {
    guard let slot = known(peer) else { return nil }
    switch peers.rows[slot].phase {
    case .dialling: return peers.flows[slot].ending.isClosedByUser ? nil : slot
    case .closing: return nil
    default: return slot
    }
  }

  /// The slot of one whose user may still act on it in any way.
  func live(_ peer: Peer) -> Slot? {
    guard let slot = readable(peer), peers.rows[slot].phase != .draining else { return nil }
    return slot
  }

  /// The same, with a flow to act on.
  @inline(__always)
  mutating func awake(_ peer: Peer) -> Slot? {
    guard let slot = live(peer), !isResting(slot) || wakes(slot) else { return nil }
    return slot
  }

  /// Wakes a connection at rest; `false` when it is closed thereby, as `closeAll` has it.
  mutating func wakes(_ slot: Slot) -> Bool {
    wake(slot)
    return peers.rows[slot].phase != .closing
  }

  @inline(__always)
  mutating func makeReady(_ slot: Slot) { schedule.makeReady(slot, &peers) }

  @inline(__always)
  mutating func markDirty(_ slot: Slot) { schedule.markDirty(slot, &peers) }

  /// Moves a connection through the transition table; an impossible move is a fault of ours.
  mutating func move(_ slot: Slot, _ event: Phase.Event) {
    guard let next = peers.rows[slot].phase.after(event) else {
      preconditionFailure("\(event) in phase \(peers.rows[slot].phase)")
    }
    if peers.rows[slot].isIncoming {
      // From here on, and until the slot is free, it counts.
      if event == .message3 { countConnection(slot) }
      if event == .lingered { forgetConnection(slot) }
    }
    if event == .dial { dialler.attemptsUnderWay += 1 }
    if peers.rows[slot].phase == .dialling { dialler.attemptsUnderWay -= 1 }
    peers.rows[slot].phase = next
  }

  /// Takes a slot with a new connection id and a flow; where all are in use, that of a half-open handshake.
  /// - Parameter isProved: whether it is for a dial of our own, or an address that has shown that it receives.
  mutating func allocate(_ event: Phase.Event, address: Address, isProved: Bool = true) -> Slot? {
    if peers.isFull { evictHalfOpen(for: isProved) }
    guard let slot = peers.allocate() else { return nil }
    schedule.grow(toSlots: peers.slots)
    let id = ids.draw(slot: slot, random: randomWord(), after: peers.rows[slot].remoteID)
    peers.rows[slot].connectionID = id
    peers.place(slot, at: address)
    peers.begin(slot, configuration: configuration, seed: id & ~Peer.slotMask, now: now)
    move(slot, event)
    return slot
  }

  /// Frees a slot; its id is void from here on.
  mutating func free(_ slot: Slot) {
    schedule.cancel(slot, &peers)
    releaseHeld(slot)
    releaseCells(slot)
    pool.trim()
    let handle = peers.headers[slot].handle
    release(slot)
    // The first attempt of the dial, which stood for this one.
    guard handle != 0, let first = peers.slot(of: handle) else { return }
    move(first, .lingered)
    releaseCells(first)
    release(first)
  }

  /// Wipes the keys of a slot, and what the suite has made of them, and gives it back.
  private mutating func release(_ slot: Slot) {
    schedule.cancelFlow(slot, peers)
    suite.forget(PeerTable.sealingRow(slot))
    suite.forget(PeerTable.openingRow(slot))
    peers.release(slot)
  }

  /// Gives back all memory that the connection's peer has caused.
  mutating func releaseCells(_ slot: Slot) {
    releaseOutbox(slot)
    releaseIntake(slot)
    leaveGroups(slot)
    peers.flows[slot].receive.releaseAll(to: &pool)
    peers.flows[slot].releasePieces(to: &pool)
    releaseWritten(slot)
    peers.flows[slot].abandon()
  }

  mutating func randomWord() -> UInt64 { secrets.randomWords.next(suite) }

  package var cookieKeys: CookieKeys {
    get { secrets.cookieKeys }
    _modify { yield &secrets.cookieKeys }
  }

  @inline(__always)
  func peer(_ slot: Slot) -> Peer {
    let handle = peers.headers[slot].handle
    return Peer(connectionID: handle == 0 ? peers.rows[slot].connectionID : handle)
  }
}

/// The whole protocol for all peers of one socket: no clock, no descriptor, no entropy of its own.
///
/// Three verbs move it, in `Engine+Receive`, `Engine+Expire` and `Engine+Transmit`; what is asked of it between them
/// (offer, finish, close, pause, resume) only marks a peer ready, so it may be called from any callback. A call that
/// cannot be taken is answered by a value.
/// Not thread-safe: it belongs to its reactor's thread.
public struct Engine: ~Copyable {
  /// The time of the current turn, on the reactor's monotonic clock.
  public internal(set) var now: Instant
  var counters = EngineStatistics()

  let configuration: EngineConfiguration
  package let suite: any CipherSuite
  /// Whose code seals and opens the datagrams: "libipsec-mb" or "libsodium".
  public var aeadProvider: String { suite.aeadProvider }
  /// The static key and what else belongs to no peer.
  var secrets: EngineSecrets
  /// Copies of keys may be left on the stack: who calls the verbs knows how to overwrite what is below its frame.
  package var hasHandledSecrets = true
  /// Who this side is.
  public let publicKey: PublicKey

  /// How own ids are drawn, and which foreign ones belong here.
  let ids: ConnectionIDs
  package var peers: PeerTable
  var pool: ReceivePool
  /// The pool has refused a segment in this batch; and the user has been told, and not yet that there is room again.
  var poolHasRefused = false
  var keptCellHolders = KeptCellHolders()
  var isPoolFull = false
  /// Deadlines by slot, and those of established connections by the place of their flow (`Engine+Expire`).
  var wheel: TimerWheel
  var flowWheel: TimerWheel
  var userTimers = UserTimers()
  /// Peers that have something to send or to deliver.
  var ready = Queue<UInt32>(minimumCapacity: 64, filler: 0)
  /// Peers that this batch has changed: their timers and readiness are judged once, behind it.
  var touched = Queue<UInt32>(minimumCapacity: 64, filler: 0)
  /// Incoming connections by who has dialled, and from where; they count if there is a limit.
  package internal(set) var identities: ConnectionCounter
  package internal(set) var networks: ConnectionCounter
  var cookieReplies: CookieReplies
  /// Cookies of others for dials to come.
  var rememberedCookies = RememberedCookies()
  /// Pays for message 1s of original peers beyond the mark.
  var unprovedAllowance = AnswerAllowance(perSecond: 64, seconds: 1)
  /// Message 1s without a cookie that were answered at this time.
  var unprovedInTurn = 0
  var unprovedTurn: Instant = .never
  /// Datagrams that came ahead of message 3.
  var held = HeldDatagrams()
  var closeOfResting = CloseOfResting()

  // One batch's worth of work for the suite.
  var openJobs = Column(repeating: AEADJob(), count: Self.jobsPerBatch)
  var arrivals = Column(repeating: Arrival(), count: Self.jobsPerBatch)
  var openCount = 0
  var sealJobs = Column(repeating: AEADJob(), count: Self.jobsPerBatch)
  var sealCount = 0
  /// What `compose` has left to tell a flow; nil outside of `compose` … `composed`.
  var loneSend: LoneSend?
  /// Scratch rows of the key table that hold a key of another epoch for this batch, and whose the last one is.
  var scratchRowsUsed = 0
  var scratchSlot = 0
  var scratchEpoch: UInt64 = 0
  /// The reactor could not send all that there was to send: its socket is full, or its share of the turn is used up.
  package var socketIsBehind = false
  /// What `prefetch` has read: kept, so that the reading is not left out.
  var glanced: UInt64 = 0
  /// For handshake payloads.
  var scratch = Arena(byteCount: Datagram.maximumLength)

  static var jobsPerBatch: Int { 1024 }

  /// - Parameters:
  ///   - seed: hashes the table of foreign ids; nobody outside may know it.
  ///   - boot: the same for all engines of a host until its clock begins anew, and another then.
  ///   - ids: what the kernel has been told to know own ids by.
  ///   - memory: for keys.
  package init(
    configuration: EngineConfiguration, secretKey: SecretKey, suite: any CipherSuite, seed: UInt64, now: Instant,
    boot: UInt64 = 0, ids: ConnectionIDs = ConnectionIDs(), memory: any SecretMemory = OrdinaryMemory()
  ) {
    self.now = now
    self.ids = ids
    self.configuration = configuration
    self.suite = suite
    secrets = EngineSecrets(staticKey: secretKey, boot: boot, suite: suite, memory: memory)
    publicKey = suite.publicKey(of: secretKey)
    identities = ConnectionCounter(seed: seed &+ 1)
    networks = ConnectionCounter(seed: seed &+ 2)
    cookieReplies = CookieReplies(perSecond: configuration.cookieRepliesPerSecond)
    peers = PeerTable(
      maximum: configuration.maximumPeers, seed: seed, configuration: configuration, memory: memory)
    pool = ReceivePool(
      cellBytes: max(configuration.maximumDatagram, 1400), maximumBytes: configuration.receivePoolBytes,
      peerBytes: configuration.receivePeerBytes, kept: configuration.storedPayloadBytes)
    wheel = TimerWheel(slots: peers.slots, now: now)
    flowWheel = TimerWheel(slots: 0, now: now)
  }

  /// Overwrites all keys; the engine is of no use afterwards. What keys stand in does the same when it goes, and the engine with it.
  package mutating func wipe() {
    secrets.wipe()
    wipeScratchRows()
    for slot in 0..<peers.slots where peers.rows[slot].phase != .free { release(slot) }
  }

  // MARK: Commands

  /// Dials `address`. `Handler.connected` or `Handler.closed` follows; data may be offered at once.
  ///
  /// - Parameters:
  ///   - pinned: the only key to accept; without it `Handler.accepts` judges.
  ///   - versions: whether the other side may be, or has to be, the original peer.
  /// - Throws: `tooManyPeers` when connections have all of `maximumPeers` slots, `originalHasNoIdentity` for a pinned key
  ///   together with `ProtocolVersions.original`.
  public mutating func connect(
    to address: Address, pinned: PublicKey? = nil, versions: ProtocolVersions = .version1
  ) throws(EngineError) -> Peer {
    guard pinned == nil || versions != .original else { throw .originalHasNoIdentity }
    guard let slot = allocate(.dial, address: address) else { throw .tooManyPeers }
    let id = peers.rows[slot].connectionID
    peers.rows[slot].remoteID = id
    startDialling(slot, pinned: pinned, versions: versions)
    return Peer(connectionID: id)
  }

  // What these return tells whether the command was taken; only `done` has changed anything (`CommandResult`).

  /// Says that the own stream is known up to `offset` bytes: `Handler.fill` may be asked for all of it until it is
  /// acknowledged. An offset below an earlier one changes nothing; one behind the end that `finish` has set is refused with
  /// `finished`.
  @discardableResult
  public mutating func offer(_ peer: Peer, upTo offset: UInt64) -> CommandResult {
    guard let slot = awake(peer) else { return .ended }
    if peers.flows[slot].send.finRequested {
      return offset > peers.flows[slot].send.offered ? .finished : .done
    }
    peers.flows[slot].send.offer(upTo: offset)
    makeReady(slot)
    return .done
  }

  /// Has the last segment of what is offered ask for its ACK at once: `Handler.acknowledged` then comes a round trip after it has
  /// left, and not up to a quarter of one (on short paths a quarter of a millisecond) later. What has left already is acknowledged
  /// as it would be without, and what is offered before the end has left moves the end. Call it right after `offer`. The
  /// original peer cannot be asked: `refused`.
  @discardableResult
  public mutating func flush(_ peer: Peer) -> CommandResult {
    guard let slot = live(peer) else { return .ended }
    guard !peers.rows[slot].isOriginal else { return .refused }
    if !isResting(slot), peers.flows[slot].send.bytesWaiting > 0 { peers.flows[slot].isFlushed = true }
    return .done
  }

  /// Ends the own direction behind what was offered. The peer's `Handler.finished` follows when it has everything. A second
  /// time it answers `finished`.
  @discardableResult
  public mutating func finish(_ peer: Peer) -> CommandResult {
    guard let slot = awake(peer) else { return .ended }
    guard !peers.flows[slot].send.finRequested else { return .finished }
    peers.flows[slot].send.finish()
    makeReady(slot)
    return .done
  }

  /// Ends the connection now, without waiting for what is under way, and gives up what its reader has not had. `Handler.closed`
  /// follows with `local(code)`, and no other callback before it.
  ///
  /// - Parameters:
  ///   - code: for the peer's program. Those from `CloseCode.firstOwn` on are the protocol's own: `refused`.
  ///   - reason: for people, at most 1,000 bytes of UTF-8; the rest is cut off.
  @discardableResult
  public mutating func close(_ peer: Peer, code: UInt32, reason: String = "") -> CommandResult {
    guard code < CloseCode.firstOwn else { return .refused }
    return close(peer, anyCode: code, reason: reason)
  }

  /// The same for the library's own reasons.
  @discardableResult
  package mutating func close(_ peer: Peer, anyCode code: UInt32, reason: String = "") -> CommandResult {
    guard let slot = readable(peer) else { return .ended }
    close(slot, code: code, reason: reason)
    return .done
  }

  /// Stops `Handler.received` for this peer: what arrives is kept, and the window closes when it is full. Should the connection
  /// end meanwhile, what was acknowledged is kept, for `EngineConfiguration.unreadTimeout` at most, and `Handler.closed` waits
  /// until it has been handed over.
  @discardableResult
  public mutating func pause(_ peer: Peer) -> CommandResult {
    guard let slot = readable(peer), !isResting(slot) || wakes(slot) else { return .ended }
    peers.flows[slot].receive.isPaused = true
    return .done
  }

  /// Goes on after `pause`: what was kept is handed over within the turn.
  @discardableResult
  public mutating func resume(_ peer: Peer) -> CommandResult {
    guard let slot = readable(peer) else { return .ended }
    guard !isResting(slot), peers.flows[slot].receive.isPaused else { return .done }
    peers.flows[slot].receive.isPaused = false
    peers.rows[slot].isResumed = true
    makeReady(slot)
    return .done
  }

  /// Has `Handler.timerFired` called once, with `token`, at `deadline` or soon after.
  public mutating func setTimer(at deadline: Instant, token: UInt64) { userTimers.set(at: deadline, token: token) }

  /// Sends a PING; `Handler.pong` follows when the peer answers. It is not repeated when it or its answer is lost; a
  /// second one before the first has left replaces it. The original peer answers none.
  ///
  /// - Parameter token: comes back with the answer: 1 … 65,535. 0 is `refused`.
  @discardableResult
  public mutating func ping(_ peer: Peer, token: UInt16) -> CommandResult {
    guard token != 0 else { return .refused }
    guard let slot = awake(peer) else { return .ended }
    peers.flows[slot].pingToken = token
    makeReady(slot)
    return .done
  }

  /// Has a connection go on with another congestion controller; one with the original peer stays with CUBIC: `refused`.
  @discardableResult
  public mutating func setCongestion(_ peer: Peer, _ algorithm: CongestionAlgorithm) -> CommandResult {
    guard let slot = awake(peer) else { return .ended }
    guard !peers.rows[slot].isOriginal else { return .refused }
    peers.flows[slot].exchangeCongestion(algorithm, now: now)
    return .done
  }

  /// Tells a connection what an earlier one has learnt of the path to the same host: it starts at half of that rate, and if
  /// the first round trip confirms it, goes on at all of it (draft-ietf-tsvwg-careful-resume). Has an effect only before
  /// the first data has left, of the connection or behind a rest: call it right after `connect`, or from
  /// `Handler.connected`. Later it is `refused`.
  @discardableResult
  public mutating func recall(_ peer: Peer, path: RememberedPath) -> CommandResult {
    guard let slot = awake(peer) else { return .ended }
    guard !peers.flows[slot].hasStarted else { return .refused }
    peers.flows[slot].remembered = path
    return .done
  }

  // MARK: Getters

  /// What this connection has learnt of its path, for `recall` on a later one; `nil` as long as that is nothing.
  public func rememberedPath(of peer: Peer) -> RememberedPath? {
    guard let slot = known(peer) else { return nil }
    return isResting(slot) ? peers.resting[slot].learnt : peers.flows[slot].learnt
  }

  /// When `expire` has something to do next; `.never` when nothing waits.
  package var nextDeadline: Instant { min(wheel.nextDeadline, flowWheel.nextDeadline, userTimers.nextDeadline) }
  /// Peers that `transmit` has a look at, at most.
  package var readyCount: Int { ready.count + closeOfResting.slots.count }
  /// Whether `transmit` has something to do now.
  package var hasReadyPeers: Bool { !ready.isEmpty || !cookieReplies.isEmpty || !closeOfResting.slots.isEmpty }

  // MARK: Slots

  /// The slot of a connection that its user has been told no end of.
  func known(_ peer: Peer) -> Int? {
    guard var slot = peers.slot(of: peer.connectionID) else { return nil }
    if peers.rows[slot].phase == .forwarding {
      guard let winner = peers.slot(of: peers.rows[slot].remoteID) else { return nil }
      slot = winner
    }
    switch peers.rows[slot].phase {
    case .dialling, .established, .closing, .draining: return slot
    case .free, .answering, .lingering, .forwarding: return nil
    }
  }

  /// The slot of one whose user may still read.
  func readable(_ peer: Peer) -> Int? {
    guard let slot = known(peer) else { return nil }
    switch peers.rows[slot].phase {
    case .dialling: return peers.flows[slot].isClosedByUser ? nil : slot
    case .closing: return nil
    default: return slot
    }
  }

  /// The slot of one whose user may still act on it in any way.
  func live(_ peer: Peer) -> Int? {
    guard let slot = readable(peer), peers.rows[slot].phase != .draining else { return nil }
    return slot
  }

  /// The same, with a flow to act on.
  @inline(__always)
  mutating func awake(_ peer: Peer) -> Int? {
    guard let slot = live(peer), !isResting(slot) || wakes(slot) else { return nil }
    return slot
  }

  /// Wakes a connection at rest; `false` when it is closed thereby, as `closeAll` has it.
  mutating func wakes(_ slot: Int) -> Bool {
    wake(slot)
    return peers.rows[slot].phase != .closing
  }

  @inline(__always)
  mutating func makeReady(_ slot: Int) {
    guard !peers.rows[slot].isReady else { return }
    peers.rows[slot].isReady = true
    ready.append(UInt32(slot))
  }

  @inline(__always)
  mutating func touch(_ slot: Int) {
    guard !peers.rows[slot].isTouched else { return }
    peers.rows[slot].isTouched = true
    touched.append(UInt32(slot))
  }

  /// Moves a connection through the transition table; an impossible move is a fault of ours.
  mutating func move(_ slot: Int, _ event: Phase.Event) {
    guard let next = peers.rows[slot].phase.after(event) else {
      preconditionFailure("\(event) in phase \(peers.rows[slot].phase)")
    }
    if peers.rows[slot].isIncoming {
      // From here on, and until the slot is free, it counts.
      if event == .message3 { countConnection(slot) }
      if event == .lingered { forgetConnection(slot) }
    }
    peers.rows[slot].phase = next
  }

  /// Takes a slot with a new connection id and a flow; where all are in use, that of a half-open handshake.
  /// - Parameter isProved: whether it is for a dial of our own, or an address that has shown that it receives.
  mutating func allocate(_ event: Phase.Event, address: Address, isProved: Bool = true) -> Int? {
    if peers.isFull { evictHalfOpen(for: isProved) }
    guard let slot = peers.allocate() else { return nil }
    if peers.slots > wheel.slots { wheel.grow(to: peers.slots) }
    let id = ids.draw(slot: slot, random: randomWord())
    peers.rows[slot].connectionID = id
    peers.rows[slot].address = address
    peers.begin(slot, configuration: configuration, seed: id & ~0xFF_FFFF, now: now)
    move(slot, event)
    return slot
  }

  /// Frees a slot; its id is void from here on.
  mutating func free(_ slot: Int) {
    wheel.cancel(slot)
    releaseHeld(slot)
    releaseCells(slot)
    pool.trim()
    let handle = peers.flows[slot].handle
    release(slot)
    // The first attempt of the dial, which stood for this one.
    guard handle != 0, let first = peers.slot(of: handle) else { return }
    move(first, .lingered)
    releaseCells(first)
    release(first)
  }

  /// Wipes the keys of a slot, and what the suite has made of them, and gives it back.
  private mutating func release(_ slot: Int) {
    cancelFlowDeadline(slot)
    suite.forget(PeerTable.sealingRow(slot))
    suite.forget(PeerTable.openingRow(slot))
    peers.release(slot)
  }

  /// Gives back all memory that the connection's peer has caused.
  mutating func releaseCells(_ slot: Int) {
    peers.flows[slot].receive.releaseAll(to: &pool)
    peers.flows[slot].releasePieces(to: &pool)
    peers.flows[slot].abandon()
  }

  mutating func randomWord() -> UInt64 { secrets.randomWords.next(suite) }

  package var cookieKeys: CookieKeys {
    get { secrets.cookieKeys }
    _modify { yield &secrets.cookieKeys }
  }
}

/// One datagram between opening and dispatch.
struct Arrival: BitwiseCopyable {
  var connectionID: UInt64 = 0
  var slot: Int32 = 0
  /// Index of the batch's message that it came in.
  var message: Int32 = 0
  var ecn: UInt8 = 0
}

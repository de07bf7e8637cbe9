/// The whole protocol for all peers of one socket: no clock, no descriptor, no entropy of its own.
///
/// Three verbs move it, in `Engine+Receive`, `Engine+Expire` and `Engine+Transmit`; what is asked of it between them
/// (offer, finish, close, pause, resume) only marks a peer ready, so it may be called from any callback.
/// Not thread-safe: it belongs to its reactor's thread.
public struct Engine: ~Copyable {
  /// The time of the current turn, on the reactor's monotonic clock.
  public internal(set) var now: Instant
  var counters = EngineStatistics()

  let configuration: EngineConfiguration
  package let suite: any CipherSuite
  /// Whose code seals and opens the datagrams: "libipsec-mb" or "libsodium".
  public var aeadProvider: String { suite.aeadProvider }
  var secretKey: SecretKey
  /// Who this side is.
  public let publicKey: PublicKey

  /// How own ids are drawn, and which foreign ones belong here.
  let ids: ConnectionIDs
  package var peers: PeerTable
  var pool: ReceivePool
  /// The pool has refused a segment in this batch; and the user has been told, and not yet that there is room again.
  var poolHasRefused = false
  var isPoolFull = false
  /// Deadlines by slot, and those of established connections by the place of their flow (`Engine+Expire`).
  var wheel: TimerWheel
  var flowWheel: TimerWheel
  var userTimers = UserTimers()
  /// Peers that have something to send or to deliver.
  var ready = Queue<UInt32>(minimumCapacity: 64, filler: 0)
  /// Peers that this batch has changed: their timers and readiness are judged once, behind it.
  var touched = Queue<UInt32>(minimumCapacity: 64, filler: 0)
  /// Half-open incoming handshakes, oldest first; entries that are no longer half-open are skipped.
  var halfOpen = Queue<UInt64>(minimumCapacity: 16, filler: 0)
  var halfOpenCount = 0
  var halfOpenPrefixes: PrefixCounter
  /// Pays for repeats to original peers that have not proved their address.
  var repeatAllowance = AnswerAllowance(perSecond: 64, seconds: 1)
  private var randomWords = RandomWords()
  var cookieKeys = CookieKeys()
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
  ///   - ids: what the kernel has been told to know own ids by.
  package init(
    configuration: EngineConfiguration, secretKey: SecretKey, suite: any CipherSuite, seed: UInt64, now: Instant,
    ids: ConnectionIDs = ConnectionIDs()
  ) {
    self.now = now
    self.ids = ids
    self.configuration = configuration
    self.suite = suite
    self.secretKey = secretKey
    publicKey = suite.publicKey(of: secretKey)
    halfOpenPrefixes = PrefixCounter(seed: ~seed)
    cookieReplies = CookieReplies(perSecond: configuration.cookieRepliesPerSecond)
    peers = PeerTable(maximum: configuration.maximumPeers, seed: seed, configuration: configuration)
    pool = ReceivePool(
      cellBytes: max(configuration.maximumDatagram, 1400), maximumBytes: configuration.receivePoolBytes,
      peerBytes: configuration.receivePeerBytes, kept: configuration.storedPayloadBytes)
    wheel = TimerWheel(slots: peers.slots, now: now)
    flowWheel = TimerWheel(slots: 0, now: now)
  }

  /// Overwrites all keys; the engine is of no use afterwards.
  package mutating func wipe() {
    secretKey.wipe()
    cookieKeys.wipe()
    for slot in 0..<peers.slots where peers.rows[slot].phase != .free { release(slot) }
  }

  // MARK: Commands

  /// Dials `address`. `Handler.connected` or `Handler.closed` follows; data may be offered at once.
  ///
  /// - Parameters:
  ///   - pinned: the only key to accept; without it `Handler.accepts` judges.
  ///   - versions: whether the other side may be, or has to be, the original peer.
  /// - Throws: `tooManyPeers` when all of `maximumPeers` slots are in use, `originalHasNoIdentity` for a pinned key
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

  /// Says that the own stream is known up to `offset` bytes: `Handler.fill` may be asked for all of it until it is
  /// acknowledged. An offset below an earlier one changes nothing; bytes offered after `finish` are a programming
  /// error.
  public mutating func offer(_ peer: Peer, upTo offset: UInt64) {
    guard let slot = awake(peer) else { return }
    peers.flows[slot].send.offer(upTo: offset)
    makeReady(slot)
  }

  /// Has the last segment of what is offered ask for its ACK at once: `Handler.acknowledged` then comes a round trip after it has
  /// left, and not up to a quarter of one (on short paths a quarter of a millisecond) later. What has left already is acknowledged
  /// as it would be without, and what is offered before the end has left moves the end. Call it right after `offer`. The
  /// original peer cannot be asked.
  public mutating func flush(_ peer: Peer) {
    guard let slot = live(peer), !isResting(slot), !peers.rows[slot].isOriginal,
      peers.flows[slot].send.bytesWaiting > 0
    else { return }
    peers.flows[slot].isFlushed = true
  }

  /// Ends the own direction behind what was offered. The peer's `Handler.finished` follows when it has everything.
  public mutating func finish(_ peer: Peer) {
    guard let slot = awake(peer) else { return }
    peers.flows[slot].send.finish()
    makeReady(slot)
  }

  /// Ends the connection now, without waiting for what is under way. `Handler.closed` follows with `local(code)`.
  ///
  /// - Parameters:
  ///   - code: for the peer's program.
  ///   - reason: for people, at most 1,000 bytes of UTF-8; the rest is cut off.
  public mutating func close(_ peer: Peer, code: UInt32, reason: String = "") {
    guard let slot = awake(peer), !peers.flows[slot].isClosedByUser else { return }
    peers.flows[slot].isClosedByUser = true
    peers.flows[slot].closeCode = code
    peers.flows[slot].closeReason = reason
    makeReady(slot)
  }

  /// Stops `Handler.received` for this peer: what arrives is kept, and the window closes when it is full.
  public mutating func pause(_ peer: Peer) {
    guard let slot = awake(peer) else { return }
    peers.flows[slot].receive.isPaused = true
  }

  /// Goes on after `pause`: what was kept is handed over within the turn.
  public mutating func resume(_ peer: Peer) {
    guard let slot = live(peer), !isResting(slot), peers.flows[slot].receive.isPaused else { return }
    peers.flows[slot].receive.isPaused = false
    peers.rows[slot].isResumed = true
    makeReady(slot)
  }

  /// Has `Handler.timerFired` called once, with `token`, at `deadline` or soon after.
  public mutating func setTimer(at deadline: Instant, token: UInt64) { userTimers.set(at: deadline, token: token) }

  /// Sends a PING; `Handler.pong` follows when the peer answers. It is not repeated when it or its answer is lost; a
  /// second one before the first has left replaces it. The original peer answers none.
  ///
  /// - Parameter token: comes back with the answer: 1 … 65,535.
  public mutating func ping(_ peer: Peer, token: UInt16) {
    precondition(token != 0, "a PING's token is at least 1")
    guard let slot = awake(peer) else { return }
    peers.flows[slot].pingToken = token
    makeReady(slot)
  }

  /// Has a connection go on with another congestion controller; one with the original peer stays with CUBIC.
  public mutating func setCongestion(_ peer: Peer, _ algorithm: CongestionAlgorithm) {
    guard let slot = awake(peer), !peers.rows[slot].isOriginal else { return }
    peers.flows[slot].exchangeCongestion(algorithm, now: now)
  }

  /// Tells a connection what an earlier one has learnt of the path to the same host: it starts at half of that rate, and if
  /// the first round trip confirms it, goes on at all of it (draft-ietf-tsvwg-careful-resume). Has an effect only before
  /// the first data has left, of the connection or behind a rest: call it right after `connect`, or from
  /// `Handler.connected`.
  public mutating func recall(_ peer: Peer, path: RememberedPath) {
    guard let slot = awake(peer), !peers.flows[slot].hasStarted else { return }
    peers.flows[slot].remembered = path
  }

  // MARK: Getters

  /// What this connection has learnt of its path, for `recall` on a later one; `nil` as long as that is nothing.
  public func rememberedPath(of peer: Peer) -> RememberedPath? {
    guard let slot = live(peer) else { return nil }
    return isResting(slot) ? peers.resting[slot].learnt : peers.flows[slot].learnt
  }

  /// When `expire` has something to do next; `.never` when nothing waits.
  package var nextDeadline: Instant { min(wheel.nextDeadline, flowWheel.nextDeadline, userTimers.nextDeadline) }
  /// Whether `transmit` has something to do now.
  package var hasReadyPeers: Bool { !ready.isEmpty || !cookieReplies.isEmpty }

  // MARK: Slots

  /// The slot of a connection that its user may still act on.
  func live(_ peer: Peer) -> Int? {
    guard var slot = peers.slot(of: peer.connectionID) else { return nil }
    if peers.rows[slot].phase == .forwarding {
      guard let winner = peers.slot(of: peers.rows[slot].remoteID) else { return nil }
      slot = winner
    }
    switch peers.rows[slot].phase {
    case .dialling, .established: return slot
    case .free, .answering, .lingering, .forwarding: return nil
    }
  }

  /// The same, with a flow to act on.
  @inline(__always)
  mutating func awake(_ peer: Peer) -> Int? {
    guard let slot = live(peer) else { return nil }
    if isResting(slot) { wake(slot) }
    return slot
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
    if peers.rows[slot].phase == .answering {
      halfOpenCount -= 1
      halfOpenPrefixes.remove(peers.rows[slot].address)
    }
    if next == .answering {
      halfOpenCount += 1
      halfOpenPrefixes.add(peers.rows[slot].address)
    }
    peers.rows[slot].phase = next
  }

  /// Takes a slot with a new connection id and a flow.
  mutating func allocate(_ event: Phase.Event, address: Address) -> Int? {
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
    peers.flows[slot].reassembly?.releaseAll(to: &pool)
    peers.flows[slot].abandon()
  }

  mutating func randomWord() -> UInt64 { randomWords.next(suite) }
}

/// One datagram between opening and dispatch.
struct Arrival: BitwiseCopyable {
  var connectionID: UInt64 = 0
  var slot: Int32 = 0
  /// Index of the batch's message that it came in.
  var message: Int32 = 0
  var ecn: UInt8 = 0
}

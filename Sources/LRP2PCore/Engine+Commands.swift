// SPDX-License-Identifier: MIT
// What a program may ask of the engine, from any callback or between turns. It only marks peers ready: the next `transmit` does it.

extension Engine {
  /// Dials a host of one address. See `connect(to:expecting:versions:payload:timeout:)` with several.
  public mutating func connect(
    to address: Address, expecting keys: PeerKeys, versions: VersionPolicy = .version1, payload: [UInt8] = [],
    timeout: Nanoseconds? = nil
  ) throws(EngineError) -> Peer {
    try connect(to: [address], expecting: keys, versions: versions, payload: payload, timeout: timeout)
  }

  /// Dials a host. `Handler.connected` or `Handler.closed` follows; data may be offered at once.
  ///
  /// - Parameters:
  ///   - addresses: the host's, best first: eight are taken at most, both families by turns. The next one is tried when a quarter of a
  ///     second has brought nothing, or at once when one fails; the first that answers is the connection.
  ///   - keys: who may answer. Any other peer there is not talked to, and the dial ends with `CloseReason.keyRefused`.
  ///   - versions: whether the other side may be, or has to be, the original peer.
  ///   - payload: for the listener's program, which sees it together with this side's key and before it takes the connection
  ///     (`Handler.admission`): at most 512 bytes. The listener proves its key first, so nobody else can read it. The original peer is told
  ///     nothing.
  ///   - timeout: when the dial is given up, 100 ms to one hour; without it `EngineConfiguration.handshakeTimeout`.
  /// - Throws: `tooManyPeers` when connections have all of `maximumPeers` slots, `originalHasNoIdentity` for named keys
  ///   together with `VersionPolicy.original`, `payloadTooLong`, `noAddress`.
  public mutating func connect(
    to addresses: [Address], expecting keys: PeerKeys, versions: VersionPolicy = .version1, payload: [UInt8] = [],
    timeout: Nanoseconds? = nil
  ) throws(EngineError) -> Peer {
    guard !keys.namesKeys || versions != .original else { throw .originalHasNoIdentity }
    guard payload.count <= HandshakeParameters.longestPayload else { throw .payloadTooLong }
    let targets = DialTarget.list(addresses)
    guard let first = targets.first(where: { $0.end == nil }) ?? targets.first else { throw .noAddress }
    guard let slot = allocate(.dial, address: first.address) else { throw .tooManyPeers }
    let id = peers.rows[slot].connectionID
    peers.rows[slot].remoteID = id
    startDialling(slot, targets, expecting: keys, versions: versions)
    peers.handshakes[slot].timeout = timeout.map { min(max($0, .milliseconds(100)), .seconds(3600)) }
    peers.handshakes[slot].payload = ProgramBytes(payload)
    return Peer(connectionID: id)
  }

  // What these return tells whether the command was taken; only `done` has changed anything (`CommandResult`).

  /// Says that the own stream is known up to `offset` bytes: `Handler.fill` may be asked for all of it until it is
  /// acknowledged. An offset below an earlier one changes nothing; one after the end that `finish` has set is refused with
  /// `finished`, and one after bytes of `write` that are not acknowledged with `refused`.
  @discardableResult
  public mutating func offer(_ peer: Peer, upTo offset: UInt64) -> CommandResult {
    guard let slot = awake(peer) else { return .ended }
    if peers.flows[slot].send.finRequested {
      return offset > peers.flows[slot].send.offered ? .finished : .done
    }
    guard mayOffer(slot, upTo: offset) else { return .refused }
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
    guard speaksVersion1(slot) else { return .refused }
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
  ///   - peer: whose connection it is.
  ///   - code: for the peer's program; one of the protocol's own (`CloseCode.isReserved`) is `refused`.
  ///   - reason: for people, at most 1,000 bytes of UTF-8; the rest is cut off.
  @discardableResult
  public mutating func close(_ peer: Peer, code: CloseCode, reason: String = "") -> CommandResult {
    guard !code.isReserved else { return .refused }
    return close(peer, anyCode: code, reason: reason)
  }

  /// The same for the library's own reasons.
  @discardableResult
  package mutating func close(_ peer: Peer, anyCode code: CloseCode, reason: String = "") -> CommandResult {
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

  /// Has `Handler.timerFired` called once, with `token`, at `deadline` or soon after: `engine.now + .seconds(5)`, for example.
  ///
  /// - Parameters:
  ///   - deadline: on the clock of `now`.
  ///   - token: any number; several timers may have the same.
  /// - Returns: what cancels it. A timer that has fired need not be cancelled.
  @discardableResult
  public mutating func setTimer(at deadline: Instant, token: UInt64) -> UserTimer {
    schedule.setTimer(at: deadline, token: token)
  }

  /// Cancels a timer: `Handler.timerFired` is not called for it, not even if it is due already.
  ///
  /// - Returns: `ended` if it has fired, or was cancelled before.
  @discardableResult
  public mutating func cancelTimer(_ timer: UserTimer) -> CommandResult {
    schedule.cancelTimer(timer) ? .done : .ended
  }

  /// Sends a PING; `Handler.pongReceived` follows when the peer answers. It is not repeated when it or its answer is lost; a
  /// second one before the first has left replaces it. The original peer answers none.
  ///
  /// - Parameters:
  ///   - peer: whose connection it is.
  ///   - token: comes back with the answer: 1 … 65,535. 0 is `refused`.
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
  public mutating func setCongestionControl(_ algorithm: CongestionAlgorithm, for peer: Peer) -> CommandResult {
    guard let slot = awake(peer) else { return .ended }
    guard speaksVersion1(slot) else { return .refused }
    peers.flows[slot].exchangeCongestion(algorithm, now: now)
    return .done
  }

  /// Tells a connection what an earlier one has learnt of the path to the same host: it starts at half of that rate, and if
  /// the first round trip confirms it, goes on at all of it (draft-ietf-tsvwg-careful-resume). Has an effect only before
  /// the first data has left, of the connection or behind a rest: call it right after `connect`, or from
  /// `Handler.connected`. Later it is `refused`.
  @discardableResult
  public mutating func useRememberedPath(_ path: RememberedPath, for peer: Peer) -> CommandResult {
    guard let slot = awake(peer) else { return .ended }
    guard !peers.flows[slot].hasStarted else { return .refused }
    peers.flows[slot].remembered = path
    return .done
  }

  /// What this connection has learnt of its path, for `useRememberedPath` on a later one; `nil` as long as that is nothing.
  public func rememberedPath(of peer: Peer) -> RememberedPath? {
    guard let slot = known(peer) else { return nil }
    return reading(slot) { $0.learnt }
  }
}

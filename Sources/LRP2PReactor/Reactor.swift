// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// One socket, the engine of all its peers, and the loop that moves datagrams between them.
///
/// A reactor belongs to one thread at a time, which calls `run` or `turn`; the handler is called on that thread, inside
/// those calls. Other threads use `remote`. A turn that moves data of connections which exist allocates nothing.
public struct Reactor: ~Copyable {
  /// The protocol: connect, offer, close. Between turns it may be used freely; inside a turn, use the one that the
  /// handler is given.
  public var engine: Engine
  /// Where the socket is bound, the port filled in.
  public let localAddress: Address
  /// Reaches this reactor from other threads.
  public let remote: ReactorRemote

  // `backend` points into `incoming`, so it goes first.
  private var backend: SelectedBackend
  private var incoming: DatagramBatch
  private var outgoing: DatagramBatch
  private var tasks: [any ReactorTask] = []
  private let receiveBatchesPerTurn: Int
  private let sendBatchesPerTurn: Int
  private var spin: AdaptiveSpin
  private var clock: TurnClock
  private var hugePages: HugePages?
  private var turns: UInt64 = 0
  private var isStopped = false
  /// The remote has called, and what it wants has not been looked at.
  private var isSignalled = false
  /// And it has set its eventfd.
  private var isEventSet = false
  /// `run`, or a loop like it, asks for the remote's calls before it waits.
  private var isLooping = false
  private var descriptors: DescriptorSet?
  private let retirement: ReactorRemote.Retirement
  private let process: ProcessMark

  /// - Parameters:
  ///   - secretKey: the static key of this side.
  ///   - suite: the cryptography, the source of randomness included.
  ///   - bind: port 0 takes any free port; `Address.any` binds all addresses of both families.
  package init(
    configuration: ReactorConfiguration, secretKey: SecretKey, suite: any CipherSuite, bind address: Address
  ) throws(ReactorError) {
    do { try configuration.validate() } catch { throw .configuration(error) }
    let sockets: PortSockets
    do { sockets = try PortSockets(bind: address, configuration: configuration) } catch { throw .system(error) }
    try self.init(
      configuration: configuration, secretKey: secretKey, suite: suite, sockets: sockets, ids: ConnectionIDs())
  }

  /// - Parameter descriptor: a bound UDP socket.
  package init(
    configuration: ReactorConfiguration, secretKey: SecretKey, suite: any CipherSuite,
    adopting descriptor: consuming FileDescriptor
  ) throws(ReactorError) {
    do { try configuration.validate() } catch { throw .configuration(error) }
    let socket: UDPSocket
    do { socket = try UDPSocket(adopting: descriptor, configuration: configuration) } catch { throw .system(error) }
    try self.init(
      configuration: configuration, secretKey: secretKey, suite: suite,
      sockets: PortSockets(main: socket, answers: nil), ids: ConnectionIDs())
  }

  /// - Parameter index: which of the group it is, 0 ..< `group.count`; each can be made once.
  package init(group: ReactorGroup, index: Int, secretKey: SecretKey, suite: any CipherSuite) throws(ReactorError) {
    try self.init(
      configuration: group.configuration, secretKey: secretKey, suite: suite, sockets: group.takeSockets(index),
      ids: group.ids(index))
  }

  /// - Parameter ids: how ids are drawn where the socket shares its port.
  private init(
    configuration: ReactorConfiguration, secretKey: SecretKey, suite: any CipherSuite, sockets: consuming PortSockets,
    ids: ConnectionIDs
  ) throws(ReactorError) {
    var keys = StatelessKeys(
      identity: secretKey, host: HostWords.host, bound: sockets.main.localAddress, suite: suite)
    defer { keys.wipe() }
    if configuration.socketFilter {
      sockets.main.attach(
        filter: .filter(
          keys.tag, acceptsConnections: configuration.engine.acceptsConnections,
          acceptsOriginal: configuration.engine.acceptsOriginal))
    }
    let incoming = SelectedBackend.incomingBatch(
      configuration, messageCapacity: ReactorConfiguration.receiveMessageCapacity)
    let remote: ReactorRemote
    let backend: SelectedBackend
    do {
      remote = try ReactorRemote()
      backend = try SelectedBackend(
        configuration, sockets: sockets, signal: remote.descriptor, incoming: incoming)
    } catch {
      throw .system(error)
    }
    self.remote = remote
    process = remote.process
    retirement = ReactorRemote.Retirement(remote: remote)
    localAddress = backend.localAddress
    self.backend = backend
    self.incoming = incoming
    outgoing = DatagramBatch(
      messages: configuration.sendMessages, messageCapacity: configuration.sendMessageCapacity)
    receiveBatchesPerTurn = configuration.receiveBatchesPerTurn
    sendBatchesPerTurn = configuration.sendBatchesPerTurn
    spin = AdaptiveSpin(longest: configuration.longestSpin)
    clock = TurnClock(isUsable: TurnClock.counterIsSteady)
    hugePages = configuration.hugePages ? HugePages() : nil
    engine = Engine(
      configuration: configuration.engine, secretKey: secretKey, suite: suite, seed: Self.random(suite),
      now: currentInstant(), boot: HostWords.boot, keys: keys, ids: ids, memory: SecretPages())
  }

  private static func random(_ suite: any CipherSuite) -> UInt64 {
    var word: UInt64 = 0
    var bytes = unsafe MutableRawSpan(_unsafeStart: &word, byteCount: 8)
    suite.random(&bytes)
    return word
  }

  /// An epoll descriptor to embed the reactor in another loop: it is readable as long as a turn has datagrams, room to send or a
  /// call of the remote to handle. (Watch it for its level, not for edges: a turn may leave some for the next.) Timers do not show
  /// in it, but for one of a turn that has waited, behind which there may be nothing to do: call `turn` also when `nextTimeout`
  /// has passed. It belongs to the reactor and is closed with it.
  public var fileDescriptor: Int32 { backend.fileDescriptor }

  /// How long the next turn would wait if nothing happened, in nanoseconds; nil when it would wait for ever.
  public var nextTimeout: Nanoseconds? {
    if isSignalled { return 0 }
    let deadline = Self.nextDeadline(backend, engine, isPending: outgoing.count > 0)
    if deadline == .never { return nil }
    let now = currentInstant()
    return deadline > now ? deadline - now : 0
  }

  /// Why io_uring was asked for and epoll is used; nil otherwise.
  public var backendFallbackError: SystemError? { backend.refusal }

  /// Counters of the socket. Reading them costs a copy and a system call.
  public var statistics: ReactorStatistics {
    var statistics = ReactorStatistics()
    backend.count(into: &statistics)
    statistics.turns = turns
    statistics.spins = spin.spins
    statistics.spinsInVain = spin.inVain
    return statistics
  }

  /// Where descriptors of the user are registered, to be served by a `DescriptorHandler`. The same object each time; the first
  /// call makes it.
  ///
  /// - Throws: when there are no descriptors left for it (EMFILE, ENFILE); `SystemError.forked`.
  public mutating func descriptorSet() throws(SystemError) -> DescriptorSet {
    try process.check()
    if let descriptors { return descriptors }
    let made = try DescriptorSet()
    try backend.add(made)
    descriptors = made
    return made
  }

  /// Turns until `remote.stop()` is called, and then sends what is ready, as `flush` does.
  ///
  /// - Throws: when the socket, epoll or io_uring is broken. What concerns single peers is never thrown.
  public mutating func run<H: Handler>(_ handler: inout H) throws(SystemError) {
    // Also when it is called again meanwhile.
    defer { isStopped = false }
    do throws(SystemError) {
      while !isStopped { try loopTurn(&handler) }
    } catch {
      endLoop()
      throw error
    }
    endLoop()
    try flush(&handler)
  }

  /// A turn of a loop that waits nowhere else. Other threads make a system call only while it waits. `endLoop` has to follow.
  package mutating func loopTurn<H: Handler>(_ handler: inout H) throws(SystemError) {
    isLooping = true
    if !remote.maySleep() { isSignalled = true }
    try turn(&handler, timeout: isSignalled ? 0 : nil)
  }

  /// From here on turns may be made by hand again.
  package mutating func endLoop() {
    isLooping = false
    remote.endLoop(isStopped: isStopped)
  }

  /// In so many turns that send, everybody who is ready now is served: each batch serves one at least.
  var flushTurns: Int { engine.readyCount / sendBatchesPerTurn + 2 }

  /// How long the next turn of a flush may wait; nil when there is none.
  func flushWait(until end: Instant) -> Nanoseconds? {
    guard outgoing.count > 0 || engine.hasReadyPeers else { return nil }
    let now = currentInstant()
    if now >= end { return nil }
    return backend.canSend(now: now) ? 0 : end - now
  }

  /// Waits for something to do, at most `timeout` nanoseconds (0: does not wait; nil: as long as it takes), and does
  /// it: received datagrams, then due timers, then registered descriptors, then submitted tasks, then what there is to send. Each has a bounded
  /// share; the rest is for the next turn, which then does not wait.
  ///
  /// - Throws: when the socket, epoll or io_uring is broken; `SystemError.forked` in a forked child, which sends nothing and takes no
  ///   datagram from its parent; EINVAL where a registered descriptor is ready and the handler is no `DescriptorHandler`, or a task was
  ///   submitted for a handler of another type. What concerns single peers is never thrown.
  public mutating func turn<H: Handler>(_ handler: inout H, timeout: Nanoseconds?) throws(SystemError) {
    let (wake, now) = try beginTurn(&handler, timeout: timeout)
    if wake.hasDescriptors, let descriptors { try descriptors.report(to: &handler, engine: &engine) }
    try endTurn(&handler, now: now)
  }

  private mutating func beginTurn<H: Handler>(_ handler: inout H, timeout: Nanoseconds?) throws(SystemError)
    -> (Wake, Instant)
  {
    try process.check()
    turns &+= 1
    var deadline = Self.nextDeadline(backend, engine, isPending: outgoing.count > 0)
    if let timeout { deadline = min(deadline, instant(after: timeout)) }
    // Heard of in a turn that has thrown.
    if isSignalled { deadline = 0 }
    // A number must not become another address while a batch that waits names it.
    if backend.localAddresses.lacksRoom, outgoing.count == 0, !engine.hasReadyPeers {
      backend.localAddresses.makeRoom { engine.isHeard(at: $0) }
    }
    let wake = try spin.wait(until: deadline, on: &backend)
    // Kept, should what follows throw.
    if wake.isSignalled { (isSignalled, isEventSet) = (true, true) }
    if isLooping { remote.stayAwake() }
    let now = clock.now()
    if wake.hasAddressChanges, let gone = backend.departed() { engine.leave(gone) }
    if backend.isHearing {
      engine.pass(to: now)
      backend.reportFaults(to: &engine)
    }
    if wake.isReadable {
      try Self.receive(
        &backend, &engine, &incoming, process, now: now, limit: receiveBatchesPerTurn, handler: &handler)
    }
    // A timer that has been set meanwhile is no earlier than now, or the next turn's, which then does not wait.
    if now >= deadline || !wake.isReadable { engine.expire(now: now, handler: &handler) } else { engine.pass(to: now) }
    return (wake, now)
  }

  private mutating func endTurn<H: Handler>(_ handler: inout H, now: Instant) throws(SystemError) {
    // Behind `expire`, so that tasks meet an engine that knows the time.
    if isSignalled { try runTasks(&handler) }
    if engine.isDialling != backend.isHearing { backend.hear(engine.isDialling) }
    try Self.transmit(&backend, &engine, &outgoing, process, now: now, limit: sendBatchesPerTurn, handler: &handler)
    if engine.hasHandledSecrets {
      engine.hasHandledSecrets = false
      wipeStack()
    }
    hugePages?.advise(engine)
    clock.read()
  }

  private mutating func runTasks<H: Handler>(_ handler: inout H) throws(SystemError) {
    // A callback may have forked: the tasks and the eventfd are the parent's.
    try process.check()
    if remote.take(&tasks, isSet: isEventSet) { isStopped = true }
    (isSignalled, isEventSet) = (false, false)
    var isMisdirected = false
    for index in tasks.indices where !tasks[index].run(&handler, &engine) { isMisdirected = true }
    tasks.removeAll(keepingCapacity: true)
    if isMisdirected { throw SystemError(code: EINVAL, operation: "run a task for a handler of another type") }
  }

  // The backend is called for batches only.

  /// How long a turn may wait for events: 0 when there is something to do now.
  private static func nextDeadline(
    _ backend: borrowing SelectedBackend, _ engine: borrowing Engine, isPending: Bool
  ) -> Instant {
    let hasWork = isPending || engine.hasReadyPeers
    if hasWork, backend.canSend(now: 0) { return 0 }
    return min(engine.nextDeadline, backend.receiveDeadline, hasWork ? backend.sendDeadline : .never)
  }

  private static func receive<H: Handler>(
    _ backend: inout SelectedBackend, _ engine: inout Engine, _ batch: inout DatagramBatch, _ process: ProcessMark,
    now: Instant, limit: Int, handler: inout H
  ) throws(SystemError) {
    for _ in 0..<limit {
      // A callback may have forked.
      try process.check()
      let hasMore = try backend.receive(into: &batch)
      if batch.count > 0 { engine.receive(&batch, now: now, handler: &handler) }
      if !hasMore { return }
    }
  }

  private static func transmit<H: Handler>(
    _ backend: inout SelectedBackend, _ engine: inout Engine, _ batch: inout DatagramBatch, _ process: ProcessMark,
    now: Instant, limit: Int, handler: inout H
  ) throws(SystemError) {
    engine.socketIsBehind = true
    guard backend.canSend(now: now) else { return }
    for _ in 0..<limit {
      // It may hold what a turn before could not send.
      if batch.count == 0 { engine.prepareTransmit(&batch, now: now, handler: &handler) }
      let isEmpty = batch.count == 0
      // Sent before those who have sent are judged: the other side waits for the datagrams, and nobody for that.
      defer { engine.finishTransmit(&handler) }
      if isEmpty { break }
      // The parent sends what a callback's child has a copy of, or something else under the same numbers.
      try process.check()
      // A callback may have dialled.
      if engine.isDialling != backend.isHearing { backend.hear(engine.isDialling) }
      let isDone = try backend.send(&batch, now: now)
      if backend.isHearing { backend.reportRefusals(to: &engine) }
      guard isDone else { return }
    }
    engine.socketIsBehind = engine.hasReadyPeers
  }
}

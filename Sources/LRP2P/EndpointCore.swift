// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// What an endpoint's users and its thread share: the queue of accepted connections, the channels that wait for the reactor's
/// thread, and how the endpoint ends.
///
/// `@unchecked Sendable`: the variables outside of `state` belong to the reactor's thread. Locks are taken in the order
/// channel, endpoint, remote, and none while code of the user runs.
final class EndpointCore: @unchecked Sendable {
  /// Ends a wait for the end of `close(lingering:)`.
  private static let closingToken: UInt64 = .max

  struct Acceptor {
    var ticket: UInt64
    var waiter: Waiter<Result<Channel, TransportError>>
  }
  struct Closing {
    /// What was asked for since the reactor's thread has last looked.
    var asked: Nanoseconds?
    /// Once it has begun.
    var deadline: Instant?
  }
  struct State {
    var thread: Thread?
    var incoming = Backlog()
    var acceptors: [Acceptor] = []
    var lastTicket: UInt64 = 0
    var scheduled: [Channel] = []
    var isDraining = false
    var figures: [Waiter<EndpointStatistics?>] = []
    var closing: Closing?
    var closers: [Waiter<Void>] = []
    /// Why the thread has ended.
    var over: TransportError?
    var hasStopped = false

    /// Why nothing new begins here.
    var refusal: TransportError? { over ?? (closing != nil ? .endpointClosed : nil) }

    /// Whether the reactor's thread has to be called; it looks at everything that is asked for until then.
    mutating func isFirstToCall() -> Bool {
      defer { isDraining = true }
      return !isDraining
    }
  }

  let configuration: EndpointConfiguration
  let budget: BufferBudget
  let admission: @Sendable (ConnectionRequest) -> Admission
  private let remote: ReactorRemote
  let state = Locked(State())

  // Reactor's thread only.
  private(set) var channels = PeerColumn<Channel>()
  private var marked: [Channel] = []

  init(
    configuration: EndpointConfiguration, remote: ReactorRemote,
    admission: @escaping @Sendable (ConnectionRequest) -> Admission
  ) {
    self.configuration = configuration
    budget = BufferBudget(total: configuration.bufferBytes)
    self.remote = remote
    self.admission = admission
  }

  // MARK: From any thread

  /// In a forked child there is no thread to answer, and locks may be held for ever. Asked before any is taken.
  var isForked: Bool { remote.process.isForked }

  /// - Throws: `SystemError.forked`.
  func assertNotForked() throws(TransportError) {
    if isForked { throw .system(.forked) }
  }

  /// Has the reactor's thread serve a channel.
  func schedule(_ channel: Channel) {
    var isOver: TransportError?
    let isFirst = state.withLock { state in
      isOver = state.over
      if state.over != nil { return false }
      state.scheduled.append(channel)
      return state.isFirstToCall()
    }
    if isFirst { submitDrain() }
    if let isOver { channel.failed(isOver) }
  }

  /// Once for all that is asked for until the reactor's thread looks, and under no lock: that thread may wake at once.
  private func submitDrain() { remote.submit { engine in self.drain(&engine) } }

  func tryAccept() -> Attempt<Result<Channel, TransportError>> {
    let attempt: Attempt<Result<Channel, TransportError>> = state.withLock { state in
      if let refusal = state.refusal { return .done(.failure(refusal)) }
      if state.acceptors.isEmpty, let channel = state.incoming.popFirst() { return .done(.success(channel)) }
      state.lastTicket += 1
      return .wait(ticket: state.lastTicket)
    }
    if case .done(.success(let channel)) = attempt { channel.accepted() }
    return attempt
  }

  func accept(ticket: UInt64, _ waiter: Waiter<Result<Channel, TransportError>>) {
    var due = DeferredActions()
    let accepted: Channel? = state.withLock { state in
      if Task.isCancelled {
        due.answer(waiter, .failure(.cancelled(accepted: 0)))
      } else if let refusal = state.refusal {
        due.answer(waiter, .failure(refusal))
      } else if state.acceptors.isEmpty, let channel = state.incoming.popFirst() {
        due.answer(waiter, .success(channel))
        return channel
      } else {
        state.acceptors.append(Acceptor(ticket: ticket, waiter: waiter))
      }
      return nil
    }
    accepted?.accepted()
    due.run()
  }

  func cancelAccept(_ ticket: UInt64) {
    var due = DeferredActions()
    state.withLock { state in
      guard let index = state.acceptors.firstIndex(where: { $0.ticket == ticket }) else { return }
      due.answer(state.acceptors.remove(at: index).waiter, .failure(.cancelled(accepted: 0)))
    }
    due.run()
  }

  /// Begins to close; later calls only shorten the lingering. Who waits to accept is told at once, `waiter` when thread and
  /// descriptors are gone.
  func close(lingering: Nanoseconds, _ waiter: Waiter<Void>?) {
    var due = DeferredActions()
    let isFirst = state.withLock { state in
      if let waiter {
        if state.hasStopped { due.answer(waiter, ()) } else { state.closers.append(waiter) }
      }
      guard state.over == nil else { return false }
      for acceptor in state.acceptors { due.answer(acceptor.waiter, .failure(.endpointClosed)) }
      state.acceptors = []
      var closing = state.closing ?? Closing()
      closing.asked = min(lingering, closing.asked ?? lingering)
      state.closing = closing
      return state.isFirstToCall()
    }
    if isFirst { submitDrain() }
    due.run()
  }

  func figures(_ waiter: Waiter<EndpointStatistics?>) {
    var due = DeferredActions()
    let isFirst = state.withLock { state in
      if state.over != nil {
        due.answer(waiter, nil)
        return false
      }
      state.figures.append(waiter)
      return state.isFirstToCall()
    }
    if isFirst { submitDrain() }
    due.run()
  }

  var isOwnThread: Bool { state.withLock { $0.thread == Thread.current } }

  // MARK: Reactor's thread

  /// Acts on what users have asked for since the last turn.
  private func drain(_ engine: inout Engine) {
    var deadline: Instant?
    let scheduled = state.withLock { state in
      state.isDraining = false
      if let asked = state.closing?.asked {
        let (end, overflow) = engine.now.addingReportingOverflow(asked)
        deadline = min(overflow ? .max : end, state.closing?.deadline ?? .max)
        state.closing = Closing(deadline: deadline)
      }
      let scheduled = state.scheduled
      state.scheduled.removeAll()
      return scheduled
    }
    for channel in scheduled { channel.serve(&engine) }
    if let deadline { begin(until: deadline, &engine) }
  }

  /// Dials for a channel, unless the endpoint is closing.
  func dial(_ dial: ChannelState.Dial, _ engine: inout Engine) throws(TransportError) -> Peer {
    if let refusal = state.withLock({ $0.refusal }) { throw refusal }
    do throws(EngineError) {
      return try engine.connect(
        to: dial.addresses, expecting: dial.keys, versions: dial.versions, payload: dial.payload, timeout: dial.timeout)
    } catch {
      switch error {
      case .tooManyPeers: throw .tooManyPeers
      case .noAddress: throw .noAddress
      case .originalHasNoIdentity: throw .originalHasNoIdentity
      case .payloadTooLong: throw .payloadTooLong
      }
    }
  }

  /// What its user has not finished is closed at once, or everything when there is no time to linger.
  private func begin(until deadline: Instant, _ engine: inout Engine) {
    let refused = state.withLock { $0.incoming.removeAll() }
    for channel in refused { channel.close(code: CloseCode.endpointClosed, reason: "") }
    let isOver = deadline <= engine.now
    closeChannels(&engine) { isOver || !$0.isFinished }
    if !isOver { engine.setTimer(at: deadline, token: Self.closingToken) }
  }

  private func closeChannels(_ engine: inout Engine, where condition: (ChannelState) -> Bool) {
    for peer in channels.peers {
      guard let channel = channels[peer] else { continue }
      var due = DeferredActions()
      let isClosed = channel.state.withLock { state in
        guard condition(state) else { return false }
        state.order(ChannelState.Close(code: CloseCode.endpointClosed, reason: ""), &due, as: .endpointClosed)
        return true
      }
      if isClosed { channel.serve(&engine) }
      due.run()
    }
  }

  /// Whether the thread may end: asked to close, and nothing left to wait for.
  private func mayStop(_ engine: borrowing Engine) -> Bool {
    guard let deadline = state.withLock({ $0.closing?.deadline }) else { return false }
    return channels.isEmpty || deadline <= engine.now
  }

  func insert(_ channel: Channel, _ peer: Peer) { channels[peer] = channel }

  func channel(of peer: Peer) -> Channel? { channels[peer] }

  func remove(_ peer: Peer) -> Channel? { channels.removeValue(for: peer) }

  func mark(_ channel: Channel) {
    if channel.isMarked { return }
    channel.isMarked = true
    marked.append(channel)
  }

  /// A connection came in: for who waits, or for the backlog.
  /// - Returns: the code of CLOSE when there is no place for it.
  func offer(_ channel: Channel) -> CloseCode? {
    var due = DeferredActions()
    var isAccepted = false
    let refusal: CloseCode? = state.withLock { state in
      if state.closing != nil { return CloseCode.endpointClosed }
      if !state.acceptors.isEmpty {
        isAccepted = true
        due.answer(state.acceptors.removeFirst().waiter, .success(channel))
      } else if state.incoming.count < configuration.backlog {
        state.incoming.append(channel)
      } else {
        return CloseCode.backlogFull
      }
      return nil
    }
    if isAccepted { channel.accepted() }
    due.run()
    return refusal
  }

  /// A connection that was lost before it was accepted, and has left nothing to read, is of no use to anyone.
  func withdraw(_ channel: Channel) {
    state.withLock { $0.incoming.remove(channel) }
  }

  /// At the end of a turn.
  private func deliver(_ reactor: inout Reactor) {
    if !marked.isEmpty {
      // A callback of the user may not mark, as it runs outside of a turn.
      for channel in marked { channel.deliver(&reactor.engine) }
      marked.removeAll(keepingCapacity: true)
    }
    let figures = state.withLock { state in
      defer { if !state.figures.isEmpty { state.figures = [] } }
      return state.figures
    }
    if figures.isEmpty { return }
    let statistics = EndpointStatistics(
      engine: reactor.engine.statistics, reactor: reactor.statistics, bufferBytesInUse: UInt64(max(budget.used, 0)))
    for waiter in figures { waiter.resume(statistics) }
  }

  // MARK: Thread

  /// Runs the reactor until the endpoint is closed.
  func run(_ reactor: consuming Reactor) {
    state.withLock { $0.thread = Thread.current }
    var handler = EndpointHandler(core: self)
    var over = TransportError.endpointClosed
    do throws(SystemError) {
      while !mayStop(reactor.engine) {
        try reactor.loopTurn(&handler)
        deliver(&reactor)
      }
      reactor.endLoop()
      closeChannels(&reactor.engine) { _ in true }
      try sendLast(&reactor, &handler)
    } catch {
      over = .system(error)
    }
    stop(reactor, over)
  }

  /// CLOSE to everyone who is left: until the socket has taken all of it, has taken nothing for a second, or ten are over.
  private func sendLast(_ reactor: inout Reactor, _ handler: inout EndpointHandler) throws(SystemError) {
    let end = reactor.engine.now + .seconds(10)
    var sent = reactor.engine.statistics.datagramsSent
    var progress = reactor.engine.now
    repeat {
      try reactor.turn(&handler, timeout: .milliseconds(10))
      if reactor.engine.statistics.datagramsSent != sent {
        sent = reactor.engine.statistics.datagramsSent
        progress = reactor.engine.now
      }
    } while reactor.engine.socketIsBehind && reactor.engine.now < min(end, progress + .seconds(1))
  }

  /// - Parameter reactor: its descriptors are closed before anyone is told.
  private func stop(_ reactor: consuming Reactor, _ over: TransportError) {
    drop(reactor)
    var due = DeferredActions()
    var left: [Channel] = []
    state.withLock { state in
      state.over = over
      for acceptor in state.acceptors { due.answer(acceptor.waiter, .failure(over)) }
      state.acceptors = []
      for waiter in state.figures { due.answer(waiter, nil) }
      state.figures = []
      left = state.scheduled + state.incoming.removeAll()
      state.scheduled = []
    }
    left += channels.peers.compactMap { channels[$0] }
    channels.removeAll()
    marked = []
    for channel in left { channel.ended(over) }
    due.run()
    let closers = state.withLock { state in
      state.hasStopped = true
      state.thread = nil
      defer { state.closers = [] }
      return state.closers
    }
    for closer in closers { closer.resume(()) }
  }

  private func drop(_ reactor: consuming Reactor) {}
}

import LRP2PCore
import LRP2PReactor

/// What an endpoint's users and its thread share: the queue of accepted connections, the channels that wait for the reactor's
/// thread, and how the endpoint ends.
///
/// `@unchecked Sendable`: the variables outside of `state` belong to the reactor's thread. Locks are taken in the order
/// channel, endpoint, remote, and none while code of the user runs.
final class EndpointCore: @unchecked Sendable {
  /// How long a finished connection whose user has let go of it may stay without progress.
  static let lingerInterval: Nanoseconds = 30_000_000_000
  /// Ends a wait for the end of `close(lingering:)`.
  private static let closingToken: UInt64 = .max

  struct Acceptor {
    var ticket: UInt64
    var waiter: Waiter<Result<Channel, TransportError>>
  }
  struct Closing {
    var lingering: Nanoseconds
    var hasBegun = false
    var deadline: Instant = 0
  }
  struct State {
    var thread: Thread?
    var incoming: [Channel] = []
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
  }

  let configuration: EndpointConfiguration
  let accepts: @Sendable (PublicKey, Address) -> Bool
  private let remote: ReactorRemote
  let state = Locked(State())

  // Reactor's thread only.
  /// By slot of the connection.
  private var channels: [Channel?] = []
  private var channelCount = 0
  private var marked: [Channel] = []

  init(
    configuration: EndpointConfiguration, remote: ReactorRemote,
    accepts: @escaping @Sendable (PublicKey, Address) -> Bool
  ) {
    self.configuration = configuration
    self.remote = remote
    self.accepts = accepts
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
    state.withLock { state in
      isOver = state.over
      if state.over != nil { return }
      state.scheduled.append(channel)
      wake(&state)
    }
    if let isOver { channel.ended(isOver) }
  }

  private func wake(_ state: inout State) {
    if state.isDraining { return }
    state.isDraining = true
    remote.submit { engine in self.drain(&engine) }
  }

  func tryAccept() -> Attempt<Result<Channel, TransportError>> {
    state.withLock { state in
      if state.acceptors.isEmpty, !state.incoming.isEmpty { return .done(.success(state.incoming.removeFirst())) }
      if let over = state.over { return .done(.failure(over)) }
      state.lastTicket += 1
      return .wait(ticket: state.lastTicket)
    }
  }

  func accept(ticket: UInt64, _ waiter: Waiter<Result<Channel, TransportError>>) {
    var due = Due()
    state.withLock { state in
      if Task.isCancelled {
        due.answer(waiter, .failure(.cancelled(accepted: 0)))
      } else if state.acceptors.isEmpty, !state.incoming.isEmpty {
        due.answer(waiter, .success(state.incoming.removeFirst()))
      } else if let over = state.over {
        due.answer(waiter, .failure(over))
      } else {
        state.acceptors.append(Acceptor(ticket: ticket, waiter: waiter))
      }
    }
    due.run()
  }

  func cancelAccept(_ ticket: UInt64) {
    var due = Due()
    state.withLock { state in
      guard let index = state.acceptors.firstIndex(where: { $0.ticket == ticket }) else { return }
      due.answer(state.acceptors.remove(at: index).waiter, .failure(.cancelled(accepted: 0)))
    }
    due.run()
  }

  /// Begins to close; later calls only shorten the lingering. `waiter` is answered when thread and descriptors are gone.
  func close(lingering: Nanoseconds, _ waiter: Waiter<Void>?) {
    var due = Due()
    state.withLock { state in
      if let waiter {
        if state.hasStopped { due.answer(waiter, ()) } else { state.closers.append(waiter) }
      }
      guard state.over == nil else { return }
      let shorter = min(lingering, state.closing?.lingering ?? lingering)
      state.closing = Closing(lingering: shorter)
      wake(&state)
    }
    due.run()
  }

  func figures(_ waiter: Waiter<EndpointStatistics?>) {
    var due = Due()
    state.withLock { state in
      if state.over != nil {
        due.answer(waiter, nil)
      } else {
        state.figures.append(waiter)
        wake(&state)
      }
    }
    due.run()
  }

  var isOwnThread: Bool { state.withLock { $0.thread == Thread.current } }

  // MARK: Reactor's thread

  /// Acts on what users have asked for since the last turn.
  private func drain(_ engine: inout Engine) {
    var closing: Closing?
    let scheduled = state.withLock { state in
      state.isDraining = false
      if let asked = state.closing, !asked.hasBegun {
        state.closing!.hasBegun = true
        let (deadline, overflow) = engine.now.addingReportingOverflow(asked.lingering)
        state.closing!.deadline = overflow ? .max : deadline
        closing = state.closing
      }
      let scheduled = state.scheduled
      state.scheduled.removeAll()
      return scheduled
    }
    for channel in scheduled { channel.serve(&engine) }
    if let closing { begin(closing, &engine) }
  }

  /// What its user has not finished is closed at once, or everything when there is no time to linger.
  private func begin(_ closing: Closing, _ engine: inout Engine) {
    let refused = state.withLock { state in
      defer { state.incoming.removeAll() }
      return state.incoming
    }
    for channel in refused { channel.close(code: Endpoint.Code.endpointClosed, reason: "") }
    closeChannels(&engine) { closing.lingering == 0 || !$0.isFinished }
    if closing.lingering > 0 { engine.setTimer(at: closing.deadline, token: Self.closingToken) }
  }

  private func closeChannels(_ engine: inout Engine, where condition: (ChannelState) -> Bool) {
    for case let channel? in channels {
      var due = Due()
      let isClosed = channel.state.withLock { state in
        guard state.over != nil || condition(state) else { return false }
        state.order(ChannelState.Close(code: Endpoint.Code.endpointClosed, reason: ""), &due, as: .endpointClosed)
        return true
      }
      if isClosed { channel.serve(&engine) }
      due.run()
    }
  }

  /// Whether the thread may end: asked to close, and nothing left to wait for.
  private func mayStop(_ engine: borrowing Engine) -> Bool {
    let closing = state.withLock { $0.closing }
    guard let closing, closing.hasBegun else { return false }
    return channelCount == 0 || closing.lingering == 0 || closing.deadline <= engine.now
  }

  func insert(_ channel: Channel, _ peer: Peer) {
    let slot = Self.slot(of: peer)
    while channels.count <= slot { channels.append(nil) }
    channels[slot] = channel
    channelCount += 1
  }

  func channel(of peer: Peer) -> Channel? {
    let slot = Self.slot(of: peer)
    guard slot < channels.count, let channel = channels[slot], channel.peer == peer else { return nil }
    return channel
  }

  /// The channel whose connection id a timer was set with.
  func channel(ofToken token: UInt64) -> Channel? {
    let slot = Int(token & 0xFF_FFFF)
    guard slot < channels.count, let channel = channels[slot], channel.peer?.connectionID == token else { return nil }
    return channel
  }

  func remove(_ peer: Peer) -> Channel? {
    guard let channel = channel(of: peer) else { return nil }
    channels[Self.slot(of: peer)] = nil
    channelCount -= 1
    return channel
  }

  /// The low 24 bits of a connection id.
  private static func slot(of peer: Peer) -> Int { Int(peer.connectionID & 0xFF_FFFF) }

  func mark(_ channel: Channel) {
    if channel.isMarked { return }
    channel.isMarked = true
    marked.append(channel)
  }

  /// A connection came in: for who waits, or for the backlog.
  /// - Returns: false when the backlog is full, or the endpoint is closing.
  func offer(_ channel: Channel) -> Bool {
    var due = Due()
    let isTaken = state.withLock { state in
      if state.closing != nil { return false }
      if !state.acceptors.isEmpty {
        due.answer(state.acceptors.removeFirst().waiter, .success(channel))
      } else if state.incoming.count < configuration.backlog {
        state.incoming.append(channel)
      } else {
        return false
      }
      return true
    }
    due.run()
    return isTaken
  }

  /// A connection that was lost before it was accepted is of no use to anyone.
  func withdraw(_ channel: Channel) {
    state.withLock { $0.incoming.removeAll { $0 === channel } }
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
    let statistics = EndpointStatistics(engine: reactor.engine.statistics, reactor: reactor.statistics)
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
        try reactor.turn(&handler, timeout: nil)
        deliver(&reactor)
      }
      // CLOSE to everyone who is left; a second is long for a socket that does not take them.
      closeChannels(&reactor.engine) { _ in true }
      let end = reactor.engine.now + 1_000_000_000
      while reactor.engine.now < end {
        try reactor.turn(&handler, timeout: 0)
        if reactor.nextTimeout != 0 { break }
      }
    } catch {
      over = .system(error)
    }
    stop(reactor, over)
  }

  /// - Parameter reactor: its descriptors are closed before anyone is told.
  private func stop(_ reactor: consuming Reactor, _ over: TransportError) {
    drop(reactor)
    var due = Due()
    var left: [Channel] = []
    state.withLock { state in
      state.over = over
      for acceptor in state.acceptors { due.answer(acceptor.waiter, .failure(over)) }
      state.acceptors = []
      for waiter in state.figures { due.answer(waiter, nil) }
      state.figures = []
      left = state.scheduled + state.incoming
      state.scheduled = []
      state.incoming = []
    }
    left += channels.compactMap { $0 }
    channels = []
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

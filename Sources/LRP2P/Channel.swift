// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// One connection as tasks, threads and the reactor share it. The reactor's thread moves bytes between it and the engine; what
/// the others ask for is noted in `state`, and the channel handed to the reactor's thread (`EndpointCore.schedule`), which acts
/// on it in `serve`.
///
/// `@unchecked Sendable`: the variables outside of `state` belong to the reactor's thread.
final class Channel: @unchecked Sendable {
  let core: EndpointCore
  let state: Locked<ChannelState>

  // Reactor's thread only.
  /// The engine's handle, once there is one.
  var peer: Peer?
  /// Stands in the list of channels to look after at the end of the turn.
  var isMarked = false
  var hasSentFinish = false
  var hasSentClose = false

  // Under the endpoint's lock.
  /// Its place among those that wait for `accept`.
  var backlogNumber: UInt64?

  init(core: EndpointCore, dial: ChannelState.Dial? = nil) {
    self.core = core
    state = Locked(
      ChannelState(
        dial: dial, readLimit: core.configuration.readBuffer, writeLimit: core.configuration.writeBuffer,
        longestPayload: core.configuration.longestPayload, budget: core.budget))
  }

  /// Changes the state, has the reactor's thread act on it if need be, and then does what is due.
  ///
  /// - Parameter releases: whether memory of borrowed writes is released here, in the call of a writer. Else the endpoint's
  ///   thread does it: whoever closes or cancels may hold a lock that a `release` takes.
  func change<Result>(releases: Bool = false, _ body: (inout ChannelState, inout DeferredActions) -> Result) -> Result {
    var due = DeferredActions()
    var isNew = false
    let result = state.withLock { state in
      let result = body(&state, &due)
      state.charge()
      if !releases { state.releases += due.takeReleases() }
      if state.needsService, !state.isScheduled {
        state.isScheduled = true
        isNew = true
      }
      return result
    }
    if isNew { core.schedule(self) }
    due.run()
    return result
  }

  // MARK: Reactor's thread

  /// Acts on what was noted.
  func serve(_ engine: inout Engine) {
    var due = DeferredActions()
    let orders = state.withLock { $0.takeOrders() }
    for release in orders.releases { due.release(release) }
    if let dial = orders.dial {
      do throws(TransportError) {
        let peer = try core.dial(dial, &engine)
        self.peer = peer
        core.insert(self, peer)
      } catch {
        state.withLock { $0.end(error, &due) }
      }
    }
    if let peer {
      if orders.offered > 0, !hasSentFinish { engine.offer(peer, upTo: orders.offered) }
      if orders.flush { engine.flush(peer) }
      if orders.finish, !hasSentFinish {
        hasSentFinish = true
        engine.finish(peer)
      }
      if orders.resume { engine.resume(peer) }
      if let close = orders.close, !hasSentClose {
        hasSentClose = true
        engine.close(peer, anyCode: close.code, reason: close.reason)
      }
      if orders.linger { engine.setTimer(at: engine.now + core.configuration.lingerInterval, token: peer.connectionID) }
    }
    for waiter in orders.figures { due.answer(waiter, peer.flatMap { engine.statistics(of: $0) }) }
    due.run()
  }

  /// At the end of a turn that has changed something: answers who waits. Once a turn and not for every datagram, so that a
  /// reader is woken for many at a time.
  func deliver(_ engine: inout Engine) {
    isMarked = false
    var due = DeferredActions()
    let needsService = state.withLock { state in
      state.answerReaders(&due)
      state.admitWriters(&due)
      state.answerFlushes(&due)
      state.charge()
      return state.needsService
    }
    if needsService { serve(&engine) }
    due.run()
  }

  /// The engine knows of the connection no more.
  func ended(_ error: TransportError) {
    // First, so that whoever learns of the end finds its memory released: `closed` does not tell of it before.
    var releases = DeferredActions()
    var answers = DeferredActions()
    state.withLock { $0.refuse(error, releases: &releases, answers: &answers) }
    releases.run()
    state.withLock { $0.end(error, &answers) }
    answers.run()
  }

  /// The connection is over, but the engine has more of it to read. Who waits for anything else is told.
  func draining(_ error: TransportError) {
    var releases = DeferredActions()
    var answers = DeferredActions()
    state.withLock { $0.refuse(error, releases: &releases, answers: &answers) }
    releases.run()
    state.withLock { $0.drain(error, &answers) }
    answers.run()
  }

  /// The endpoint's thread is gone. What this connection held it has released, or is about to.
  func failed(_ error: TransportError) {
    var due = DeferredActions()
    state.withLock { $0.end(error, &due) }
    due.run()
  }
}

/// What all sides know of a connection; always behind the channel's lock.
struct ChannelState {
  struct Dial: Sendable {
    var addresses: [Address]
    var keys: PeerKeys
    var versions: VersionPolicy
    var payload: [UInt8]
    var timeout: Nanoseconds?
  }
  struct Close {
    var code: CloseCode
    var reason: String
  }
  struct Reader {
    var ticket: UInt64
    var limit: Int
    var waiter: Waiter<Result<ReadBytes, TransportError>>
  }
  struct Writer {
    var ticket: UInt64
    var source: WriteSource
    var accepted = 0
    /// The queue's open chunk is this write's.
    var hasChunk = false
    var waiter: Waiter<Result<Void, TransportError>>
  }
  struct Flusher {
    var ticket: UInt64
    var offset: UInt64
    var waiter: Waiter<Result<Void, TransportError>>
  }
  struct Watcher {
    var ticket: UInt64
    var waiter: Waiter<Result<CloseReason, TransportError>>
  }

  /// What may wait for a read of a connection that nobody has accepted yet.
  static let unacceptedBytes = 65_536
  /// What a connection may have written and unacknowledged however much others hold.
  static let leastWritten = 16_384

  let readLimit: Int
  let writeLimit: Int
  private let longestPayload: Int
  private let budget: BufferBudget
  /// Of unacknowledged bytes, what the budget knows of.
  private var charged = 0
  private var lastTicket: UInt64 = 0

  var remoteKey = PublicKey()
  var remoteAddress = Address(high: 0, low: 0, port: 0)
  var applicationProtocol: ApplicationProtocol?
  /// What the peer has said of itself when it dialled.
  var payload: [UInt8] = []
  /// Why it is over; nil while it lives. No order goes to the engine behind it but CLOSE.
  private(set) var over: TransportError?
  /// Why it will be over as soon as what it holds is released, or is but for what is still to be read.
  private var ending: TransportError?
  /// Why it is over but for what is still to be read, once everything else is released.
  private var drained: TransportError?

  // The peer's stream.
  var inbound = ReadBuffer()
  var readers: [Reader] = []
  var isEndOfStream = false
  var isPaused = false
  /// The program has it.
  var isAccepted: Bool
  /// Nobody will read: what arrives is dropped.
  var isDetached = false

  // The own stream.
  var outbound = SendQueue()
  var writers: [Writer] = []
  var flushers: [Flusher] = []
  /// No write will follow.
  var isFinished = false

  var watchers: [Watcher] = []
  var figures: [Waiter<PeerStatistics?>] = []
  var dialler: Waiter<Result<Void, TransportError>>?
  var isConnected = false

  // Orders to the reactor's thread.
  var isScheduled = false
  var dial: Dial?
  var close: Close?
  var resumes = false
  var lingers = false
  var flushes = false
  var releases: [Release] = []
  private var offered: UInt64 = 0
  private var hasOrderedFinish = false
  /// When a detached connection was last looked at, the peer had everything.
  var isDelivered = false

  init(dial: Dial?, readLimit: Int, writeLimit: Int, longestPayload: Int, budget: BufferBudget) {
    self.dial = dial
    self.readLimit = readLimit
    self.writeLimit = writeLimit
    self.longestPayload = longestPayload
    self.budget = budget
    isAccepted = dial != nil
  }

  mutating func nextTicket() -> UInt64 {
    lastTicket += 1
    return lastTicket
  }

  // MARK: Orders

  struct Orders {
    var dial: Dial?
    var offered: UInt64 = 0
    var finish = false
    var resume = false
    var close: Close?
    var linger = false
    var flush = false
    var figures: [Waiter<PeerStatistics?>] = []
    var releases: [Release] = []
  }

  private var wantsFinish: Bool { isFinished && writers.isEmpty && !hasOrderedFinish }

  var needsService: Bool {
    if close != nil || !figures.isEmpty || !releases.isEmpty { return true }
    // Nobody dials before someone waits for it: a task that was cancelled before comes here first to cancel.
    let dials = dial != nil && dialler != nil
    return over == nil && (dials || offered != outbound.end || resumes || lingers || flushes || wantsFinish)
  }

  mutating func takeOrders() -> Orders {
    isScheduled = false
    var orders = Orders()
    swap(&orders.close, &close)
    swap(&orders.figures, &figures)
    swap(&orders.releases, &releases)
    guard over == nil else { return orders }
    swap(&orders.dial, &dial)
    swap(&orders.resume, &resumes)
    swap(&orders.linger, &lingers)
    swap(&orders.flush, &flushes)
    offered = outbound.end
    orders.offered = offered
    orders.finish = wantsFinish
    if orders.finish { hasOrderedFinish = true }
    return orders
  }

  // MARK: End

  /// It is about to be over: nothing is taken any more, and nothing held.
  mutating func refuse(_ error: TransportError, releases due: inout DeferredActions, answers: inout DeferredActions) {
    for release in releases { due.release(release) }
    releases = []
    if over == nil {
      ending = error
      failWriters(error, &answers)
    }
    outbound.releaseAll(&due)
    charge()
  }

  /// Over but for what is still to be read.
  mutating func drain(_ error: TransportError, _ due: inout DeferredActions) {
    guard over == nil else { return }
    drained = error
    answerFlushes(&due)
    answerWatchers(&due)
  }

  /// Why nothing but reading goes on.
  var knownEnd: TransportError? { over ?? drained }

  private mutating func answerWatchers(_ due: inout DeferredActions) {
    guard let end = knownEnd else { return }
    for watcher in watchers { due.answer(watcher.waiter, Self.word(end)) }
    watchers = []
  }

  /// Over, whoever ended it. What was received stays to be read unless this side closed.
  mutating func end(_ error: TransportError, _ due: inout DeferredActions) {
    guard over == nil else { return }
    over = error
    if case .closed(.local) = error { due.discard(inbound.takeAll()) }
    if error == .endpointClosed { due.discard(inbound.takeAll()) }
    if error == .closed(.finished) { isEndOfStream = true }
    answerReaders(&due)
    failWriters(error, &due)
    answerFlushes(&due)
    answerWatchers(&due)
    for waiter in figures { due.answer(waiter, nil) }
    figures = []
    if let dialler { due.answer(dialler, .failure(error)) }
    dialler = nil
  }

  static func word(_ error: TransportError) -> Result<CloseReason, TransportError> {
    if case .closed(let reason) = error { .success(reason) } else { .failure(error) }
  }

  // MARK: Reading

  /// Takes what has come.
  /// - Returns: whether the engine is to be paused: the next datagram might not fit. What it has then goes into its own pool.
  mutating func receive(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if isDetached || over != nil { return false }
    unsafe inbound.append(bytes, budget)
    guard !isPaused, !hasReadRoom else { return false }
    isPaused = true
    return true
  }

  private var readBound: Int { isAccepted ? readLimit : min(readLimit, Self.unacceptedBytes) }

  /// What others have left of the budget; strangers whom nobody has accepted get at the first half only.
  private var readBudget: Int { isAccepted ? budget.free : budget.free - budget.total / 2 }

  private var hasReadRoom: Bool {
    guard inbound.count + longestPayload <= readBound else { return false }
    // Who waits for it takes it at the end of the turn.
    var open = inbound.count
    for reader in readers {
      if reader.limit > open { return true }
      open -= reader.limit
    }
    return inbound.capacity <= readBudget
  }

  /// Has the engine go on when half of what may be held is read. An empty buffer always takes more: nobody waits for a budget
  /// that others have used up.
  mutating func resumeIfRoom() {
    guard isPaused else { return }
    let bound = min(readBound - inbound.count, readBudget - inbound.capacity)
    guard inbound.count == 0 || inbound.count <= bound else { return }
    isPaused = false
    resumes = true
  }

  /// What a read gets now; nil when it has to wait.
  mutating func take(_ limit: Int) -> Result<ReadBytes, TransportError>? {
    if inbound.count > 0 {
      let bytes = inbound.take(limit)
      resumeIfRoom()
      return .success(bytes)
    }
    if isEndOfStream { return .success(ReadBytes()) }
    return over.map { .failure($0) }
  }

  /// Whether a read would get something that the peer has sent, its end included.
  var hasSomethingToRead: Bool { inbound.count > 0 || isEndOfStream }

  mutating func answerReaders(_ due: inout DeferredActions) {
    while let reader = readers.first, let answer = take(reader.limit) {
      readers.removeFirst()
      due.answer(reader.waiter, answer)
    }
  }

  // MARK: Writing

  /// Why nothing can be written any more; nil when it can.
  var refusal: TransportError? { over ?? ending ?? (isFinished ? .finished : nil) }

  var room: Int {
    let held = outbound.count
    // What is taken now is not charged yet.
    let free = budget.free + charged - held
    return max(0, min(writeLimit - held, max(Self.leastWritten - held, (free - held) / 2)))
  }

  /// Tells the budget what is held.
  mutating func charge() {
    let held = outbound.count
    if held == charged { return }
    budget.charge(held - charged)
    charged = held
  }

  /// Takes bytes of those who wait, in their order, as far as there is room.
  mutating func admitWriters(_ due: inout DeferredActions) {
    guard over == nil else { return }
    while let writer = writers.first {
      let left = writer.source.count - writer.accepted
      if left <= room {
        if writer.hasChunk {
          outbound.extend(by: left)
          outbound.seal(&due)
        } else {
          outbound.append(writer.source, &due)
        }
        writers.removeFirst()
        due.answer(writer.waiter, .success(()))
        continue
      }
      guard room > 0 else { return }
      if !writer.hasChunk {
        outbound.open(writer.source)
        writers[0].hasChunk = true
      }
      let count = room
      outbound.extend(by: count)
      writers[0].accepted += count
    }
  }

  mutating func cancelWriter(_ ticket: UInt64, _ due: inout DeferredActions) {
    guard let index = writers.firstIndex(where: { $0.ticket == ticket }) else { return }
    let writer = writers.remove(at: index)
    drop(writer, .cancelled(accepted: writer.accepted), &due)
    admitWriters(&due)
  }

  private mutating func failWriters(_ error: TransportError, _ due: inout DeferredActions) {
    let failed = writers
    writers = []
    for writer in failed { drop(writer, error, &due) }
  }

  private mutating func drop(_ writer: Writer, _ error: TransportError, _ due: inout DeferredActions) {
    if writer.hasChunk {
      outbound.seal(&due)
    } else if let release = writer.source.release {
      due.release(release)
    } else {
      due.discard(writer.source.storage)
    }
    due.answer(writer.waiter, .failure(error))
  }

  mutating func answerFlushes(_ due: inout DeferredActions) {
    if let end = knownEnd {
      for flusher in flushers {
        let isDone = end == .closed(.finished) || flusher.offset <= outbound.start
        due.answer(flusher.waiter, isDone ? .success(()) : .failure(end))
      }
      flushers = []
      return
    }
    while let flusher = flushers.first, flusher.offset <= outbound.start {
      flushers.removeFirst()
      due.answer(flusher.waiter, .success(()))
    }
  }
}

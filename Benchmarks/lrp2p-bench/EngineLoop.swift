// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// What an `EngineLoop` asks of a socket: the part of a reactor's backend that it needs.
protocol Transport: ~Copyable {
  /// - Returns: whether datagrams may be waiting.
  mutating func waitReadable(_ timeout: Nanoseconds) throws(SystemError) -> Bool
  mutating func receive(into batch: inout DatagramBatch) throws(SystemError) -> Bool
  mutating func send(_ batch: inout DatagramBatch, now: Instant) throws(SystemError) -> Bool
  func canSend(now: Instant) -> Bool
  var sendDeadline: Instant { get }
  func count(into statistics: inout ReactorStatistics)
}

extension EpollBackend: Transport {
  mutating func waitReadable(_ timeout: Nanoseconds) throws(SystemError) -> Bool {
    try wait(until: instant(after: timeout)).isReadable
  }
}

/// A reactor's turn over any socket, with a look at what comes in before the engine has it and at what goes out.
struct EngineLoop<Socket: Transport & ~Copyable>: ~Copyable {
  var engine: Engine
  // `backend` points into `incoming`, so it goes first.
  var backend: Socket
  private var incoming: DatagramBatch
  private var outgoing: DatagramBatch
  private var hugePages = HugePages()

  private let receivesPerTurn: Int
  private static var sendsPerTurn: Int { 16 }

  init(
    _ configuration: EngineConfiguration, backend: consuming Socket, incoming: consuming DatagramBatch,
    outgoing: consuming DatagramBatch, receivesPerTurn: Int = 4
  ) throws {
    do { try configuration.validate() } catch { throw ReactorError.configuration(error) }
    engine = Engine(
      configuration: configuration, secretKey: Identity().secretKey, suite: try CipherSuites.make(.automatic),
      seed: .random(in: 1 ... .max), now: currentInstant())
    self.backend = backend
    self.incoming = incoming
    self.outgoing = outgoing
    self.receivesPerTurn = receivesPerTurn
  }

  /// - Parameters:
  ///   - sift: may take messages out of a batch that has come.
  ///   - tap: sees every batch that leaves.
  mutating func turn<H: Handler>(
    _ handler: inout H, timeout: Nanoseconds, sift: (inout DatagramBatch) -> Void = { _ in },
    tap: (inout DatagramBatch) -> Void = { _ in }
  ) throws {
    let isReadable = try backend.waitReadable(min(timeout, ownTimeout))
    let now = currentInstant()
    if isReadable {
      for _ in 0..<receivesPerTurn {
        let hasMore = try backend.receive(into: &incoming)
        sift(&incoming)
        if incoming.count > 0 { engine.receive(&incoming, now: now, handler: &handler) }
        if !hasMore { break }
      }
    }
    engine.expire(now: now, handler: &handler)
    hugePages.advise(engine)
    guard backend.canSend(now: now) else { return }
    for _ in 0..<Self.sendsPerTurn {
      if outgoing.count == 0 {
        engine.transmit(into: &outgoing, now: now, handler: &handler)
        if outgoing.count == 0 { return }
        tap(&outgoing)
      }
      guard try backend.send(&outgoing, now: now) else { return }
    }
  }

  /// A batch waits for the socket to take its rest.
  var isSending: Bool { outgoing.count > 0 }

  private var ownTimeout: Nanoseconds {
    let hasWork = outgoing.count > 0 || engine.hasReadyPeers
    if hasWork, backend.canSend(now: 0) { return 0 }
    let deadline = min(engine.nextDeadline, hasWork ? backend.sendDeadline : .never)
    let now = currentInstant()
    return deadline == .never ? .never : deadline > now ? deadline - now : 0
  }

  /// What engine and socket have counted so far.
  var counters: Measurement {
    var statistics = ReactorStatistics()
    backend.count(into: &statistics)
    return Measurement(engine.statistics, statistics)
  }
}

/// Many connections of one process to one responder.
typealias Crowd = EngineLoop<CrowdBackend>

extension EngineLoop where Socket == CrowdBackend {
  init(_ job: Job, to responder: Address) throws {
    let bytes = max(job.datagram, 2048)
    // A turn is as long as its receive calls. Where each datagram is a key agreement, a responder that has worked off
    // one turn's answers must not wait for the next ones; else a call should carry many, as no two are merged.
    let batch = job.kind == .fanout ? 64 : 16
    let incoming = DatagramBatch(messages: batch, messageCapacity: bytes)
    let backend = try CrowdBackend(to: responder, incoming: incoming)
    try self.init(
      job.crowdConfiguration(isResponder: false).engine, backend: backend, incoming: incoming,
      outgoing: DatagramBatch(messages: batch, messageCapacity: bytes), receivesPerTurn: 1)
  }

  /// Dials from address `number`.
  mutating func dial(_ number: Int) throws -> Peer {
    do { return try engine.connect(to: backend.address(number), expecting: .anyone) } catch {
      throw Failure("connect: the engine refuses (\(error))")
    }
  }
}

extension EngineLoop where Socket == EpollBackend {
  /// A loop over the same socket, batches and backend as a reactor's.
  init(_ configuration: ReactorConfiguration, signal: Int32, bind address: Address) throws {
    let incoming = DatagramBatch(
      messages: configuration.receiveMessages, messageCapacity: ReactorConfiguration.receiveMessageCapacity)
    let backend = try EpollBackend(
      socket: UDPSocket(bind: address, configuration: configuration), signal: signal, incoming: incoming,
      maximumSegments: configuration.maximumSegments)
    try self.init(
      configuration.engine, backend: backend, incoming: incoming,
      outgoing: DatagramBatch(
        messages: configuration.sendMessages, messageCapacity: configuration.sendMessageCapacity))
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// One connection: a stream of bytes each way, which arrive in order, each once.
///
/// All of it may be used from any task and thread; reads are served in their order, and so are writes, the bytes of one write
/// together. Letting go of the last reference closes the connection with `CloseCode.abandoned`, unless `finish` was
/// called: then what was written still arrives, and what the peer sends is dropped.
public final class Connection: Sendable {
  let channel: Channel
  /// Who the peer is.
  public let remoteKey: PublicKey
  /// Where it was when the connection was made; `statistics` has where it is.
  public let remoteAddress: Address
  /// What both sides speak (`EngineConfiguration.applicationProtocols`); `nil` where this side has none configured.
  public let applicationProtocol: ApplicationProtocol?
  /// What the peer's program has said of itself when it dialled (`Endpoint.connect`), up to 512 bytes; empty of a connection that this
  /// side has dialled. It is the peer's word, and no more is known of it.
  public let requestPayload: [UInt8]

  init(_ channel: Channel) {
    self.channel = channel
    (remoteKey, remoteAddress, applicationProtocol, requestPayload) = channel.state.withLock {
      ($0.remoteKey, $0.remoteAddress, $0.applicationProtocol, $0.payload)
    }
  }

  deinit { if !channel.core.isForked { channel.abandon() } }

  /// The next bytes of the peer's stream: what is there, at least one byte; an empty array is the end, when the peer has
  /// finished. Waits while nothing is there. As long as nobody reads, at most `EndpointConfiguration.readBuffer` bytes are
  /// kept, and the peer has to wait.
  ///
  /// - Parameter limit: the most bytes to return; less than 1 is taken for 1.
  /// - Throws: `cancelled` (no byte is lost), or `closed` and the like once the bytes that had come before are read.
  public func read(upTo limit: Int = 65_536) async throws(TransportError) -> [UInt8] {
    try channel.core.assertNotForked()
    if Task.isCancelled { throw .cancelled(accepted: 0) }
    switch channel.tryRead(limit) {
    case .done(let result): return try result.get().array()
    case .wait(let ticket):
      let channel = channel
      return try await suspend {
        channel.read(limit, ticket: ticket, $0)
      } onCancel: {
        channel.cancelRead(ticket)
      }.get().array()
    }
  }

  /// Appends bytes to the own stream. Returns when all of them are accepted, which is when they fit into the write buffer:
  /// not yet sent, but on their way as long as the connection lives. Waits while unacknowledged bytes fill the buffer. The array is
  /// kept, not copied (but for short ones).
  ///
  /// - Throws: `cancelled(accepted:)` with how many of the bytes will arrive, `finished`, or `closed` and the like.
  public func write(_ bytes: [UInt8]) async throws(TransportError) { try await write(WriteSource(bytes)) }

  /// The same, straight from memory of the caller, with no copy at all.
  ///
  /// - Parameters:
  ///   - bytes: must stay readable and as they are until `release` is called.
  ///   - release: called exactly once, whatever happens: when the peer has everything of it, when the connection has ended, or
  ///     when the write throws (then with the last byte of it that was accepted). On the endpoint's thread or the
  ///     caller's; it must not block.
  public func write(_ bytes: UnsafeRawBufferPointer, release: @escaping @Sendable () -> Void)
    async throws(TransportError)
  {
    try await write(unsafe WriteSource(borrowing: bytes, release: release))
  }

  private func write(_ source: WriteSource) async throws(TransportError) {
    let error: TransportError? =
      channel.core.isForked ? .system(.forked) : Task.isCancelled ? .cancelled(accepted: 0) : nil
    if let error {
      source.release?()
      throw error
    }
    switch channel.tryWrite(source) {
    case .done(let result): try result.get()
    case .wait(let ticket):
      let channel = channel
      try await suspend {
        channel.write(source, ticket: ticket, $0)
      } onCancel: {
        channel.cancelWrite(ticket)
      }.get()
    }
  }

  /// Waits until the peer's transport has everything that was accepted so far; if the last of it has not left yet, that asks the
  /// peer to say so at once. (Whether its program has read it, only the program can say.)
  public func flush() async throws(TransportError) {
    try channel.core.assertNotForked()
    let channel = channel
    let ticket = channel.nextTicket()
    try await suspend {
      channel.flush($0, ticket: ticket)
    } onCancel: {
      channel.cancelFlush(ticket)
    }.get()
  }

  /// Ends the own direction behind everything written; the peer's goes on. When both have ended and everything is acknowledged,
  /// the connection is over with `CloseReason.finished`.
  public func finish() { if !channel.core.isForked { channel.finish() } }

  /// Ends the connection now, both ways; what is under way may be lost. All who wait get `closed(.local(code))`.
  ///
  /// - Parameters:
  ///   - code: for the peer's program, which gets `CloseReason.remote`. One of the protocol's own is refused.
  ///   - reason: for people, at most 1,000 bytes of UTF-8; the rest is cut off.
  /// - Returns: `refused`, and nothing has changed, for one of the protocol's codes; else `done`.
  @discardableResult
  public func close(code: CloseCode = .none, reason: String = "") -> CommandResult {
    guard !code.isReserved else { return .refused }
    if !channel.core.isForked { channel.close(code: code, reason: reason) }
    return .done
  }

  /// Waits until the connection is over.
  ///
  /// - Returns: how it ended.
  /// - Throws: `cancelled`, or `endpointClosed` and `system` when it ended with its endpoint.
  public func closed() async throws(TransportError) -> CloseReason {
    try channel.core.assertNotForked()
    let channel = channel
    let ticket = channel.nextTicket()
    return try await suspend {
      channel.watch($0, ticket: ticket)
    } onCancel: {
      channel.cancelWatch(ticket)
    }.get()
  }

  /// Figures of the connection as it is now; nil when it is over.
  public func statistics() async -> PeerStatistics? {
    let channel = channel
    if channel.core.isForked { return nil }
    return await suspend {
      channel.figures($0)
    } onCancel: {
    }
  }
}

extension Connection {
  /// Whether the read buffer is full and the engine holds the peer back; for tests.
  package var isHoldingBack: Bool { channel.state.withLock { $0.isPaused } }
  /// Bytes that wait for a read; for tests.
  package var unreadBytes: Int { channel.state.withLock { $0.inbound.count } }
  /// Writes that wait for room; for tests.
  package var waitingWrites: Int { channel.state.withLock { $0.writers.count } }
  /// Bytes of the own stream that are held until the peer acknowledges them; for tests.
  package var unacknowledgedBytes: Int { channel.state.withLock { $0.outbound.count } }
  /// Bytes of the own stream that the peer has acknowledged; for tests.
  package var acknowledgedBytes: UInt64 { channel.state.withLock { $0.outbound.start } }
}

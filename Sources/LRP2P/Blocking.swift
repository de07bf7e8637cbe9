// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// An endpoint for programs without async: the same object, the same rules, but the calling thread waits.
///
/// The compiler refuses these calls in async code, where they would take a thread away from all tasks. On the endpoint's own thread
/// (in `admission` and `release` callbacks) they would wait for themselves: they throw `ownThread` there, and `close` does not
/// wait.
public struct BlockingEndpoint: Sendable {
  /// The endpoint that this is a view of.
  public let endpoint: Endpoint

  /// `Endpoint.accept`, blocking.
  @available(*, noasync, message: "use Endpoint.accept")
  public func accept() throws(TransportError) -> Connection {
    try endpoint.core.mayBlock()
    switch endpoint.core.tryAccept() {
    case .done(let result): return Connection(try result.get())
    case .wait(let ticket):
      return Connection(try block { endpoint.core.accept(ticket: ticket, $0) }.get())
    }
  }

  /// `Endpoint.connect`, blocking.
  @available(*, noasync, message: "use Endpoint.connect")
  public func connect(
    to address: Address, expecting keys: PeerKeys, versions: VersionPolicy = .version1, payload: [UInt8] = [],
    timeout: Duration? = nil
  ) throws(TransportError) -> Connection {
    try connect(to: [address], expecting: keys, versions: versions, payload: payload, timeout: timeout)
  }

  /// `Endpoint.connect` to a host of several addresses, blocking.
  @available(*, noasync, message: "use Endpoint.connect")
  public func connect(
    to addresses: [Address], expecting keys: PeerKeys, versions: VersionPolicy = .version1, payload: [UInt8] = [],
    timeout: Duration? = nil
  ) throws(TransportError) -> Connection {
    try endpoint.core.mayBlock()
    let channel = Channel(
      core: endpoint.core,
      dial: ChannelState.Dial(
        addresses: addresses, keys: keys, versions: versions, payload: payload, timeout: timeout.map { Nanoseconds($0) }
      ))
    try block { channel.dial($0) }.get()
    return Connection(channel)
  }

  /// `Endpoint.close`, blocking; on the endpoint's own thread it only begins to close.
  @available(*, noasync, message: "use Endpoint.close")
  public func close(lingering: Duration = .zero) {
    guard (try? endpoint.core.assertNotForked()) != nil else { return }
    if endpoint.core.isOwnThread {
      endpoint.core.close(lingering: Nanoseconds(lingering), nil)
    } else {
      block { endpoint.core.close(lingering: Nanoseconds(lingering), $0) }
    }
  }
}

/// A connection for programs without async. See `BlockingEndpoint`.
public struct BlockingConnection: Sendable {
  /// The connection that this is a view of.
  public let connection: Connection
  private var channel: Channel { connection.channel }

  init(_ connection: Connection) { self.connection = connection }

  /// `Connection.read`, blocking.
  @available(*, noasync, message: "use Connection.read")
  public func read(upTo limit: Int = 65_536) throws(TransportError) -> [UInt8] {
    try channel.core.mayBlock()
    switch channel.tryRead(limit) {
    case .done(let result): return try result.get().array()
    case .wait(let ticket): return try block { channel.read(limit, ticket: ticket, $0) }.get().array()
    }
  }

  /// `Connection.write`, blocking.
  @available(*, noasync, message: "use Connection.write")
  public func write(_ bytes: [UInt8]) throws(TransportError) { try write(WriteSource(bytes)) }

  /// `Connection.write` from memory of the caller, blocking.
  @available(*, noasync, message: "use Connection.write")
  public func write(_ bytes: UnsafeRawBufferPointer, release: @escaping @Sendable () -> Void) throws(TransportError) {
    try write(unsafe WriteSource(borrowing: bytes, release: release))
  }

  private func write(_ source: WriteSource) throws(TransportError) {
    do { try channel.core.mayBlock() } catch {
      source.release?()
      throw error
    }
    switch channel.tryWrite(source) {
    case .done(let result): try result.get()
    case .wait(let ticket): try block { channel.write(source, ticket: ticket, $0) }.get()
    }
  }

  /// `Connection.flush`, blocking.
  @available(*, noasync, message: "use Connection.flush")
  public func flush() throws(TransportError) {
    try channel.core.mayBlock()
    let ticket = channel.nextTicket()
    try block { channel.flush($0, ticket: ticket) }.get()
  }

  /// `Connection.closed`, blocking.
  @available(*, noasync, message: "use Connection.closed")
  public func closed() throws(TransportError) -> CloseReason {
    try channel.core.mayBlock()
    let ticket = channel.nextTicket()
    return try block { channel.watch($0, ticket: ticket) }.get()
  }
}

extension Endpoint {
  /// The same endpoint with calls that block.
  public var blocking: BlockingEndpoint { BlockingEndpoint(endpoint: self) }
}

extension Connection {
  /// The same connection with calls that block; `finish` and `close` never do.
  public var blocking: BlockingConnection { BlockingConnection(self) }
}

extension EndpointCore {
  /// - Throws: `ownThread`, `SystemError.forked`.
  func mayBlock() throws(TransportError) {
    try assertNotForked()
    if isOwnThread { throw .ownThread }
  }
}

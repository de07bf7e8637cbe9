// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// A socket with an identity: it accepts connections and makes them, any number at a time, on a thread of its own.
///
/// All of it may be used from any task and thread. Letting go of the last reference is `close()` without the wait: its
/// connections end, whoever holds them, the thread ends and the descriptors are closed soon after. So keep it as long as
/// its connections.
public final class Endpoint: Sendable {
  /// Where the socket is bound, the port filled in.
  public let localAddress: Address
  /// What peers know this endpoint by: what they pin.
  public let publicKey: PublicKey
  let core: EndpointCore

  /// Binds a socket and starts its thread.
  ///
  /// - Parameters:
  ///   - identity: who this side is; a new one if nobody has to know it.
  ///   - address: port 0 takes any free port, `Address.any(port:)` binds all addresses of IPv6 and IPv4.
  ///   - keys: who may connect: `.anyone`, `.keys(set)`, or `.nobody` for an endpoint that only dials.
  ///   - configuration: buffers, sockets and protocol.
  ///   - admission: judges a peer whose key is accepted, by what its program says of itself, before there is a connection. It is called on
  ///     the endpoint's thread and must not block. Without it nothing more is asked.
  /// - Throws: `configuration`, or `system`: the address is in use or not ours, no descriptors or threads are left.
  public init(
    identity: Identity = Identity(), bind address: Address, accepting keys: PeerKeys,
    configuration: EndpointConfiguration = .init(),
    admission: @escaping @Sendable (ConnectionRequest) -> Admission = { _ in .accepted }
  ) throws(TransportError) {
    try configuration.validate()
    let reactor: Reactor
    do throws(ReactorError) {
      reactor = try Reactor(
        configuration: configuration.reactor, identity: identity, bind: address, accepting: keys)
    } catch {
      throw TransportError(error)
    }
    localAddress = reactor.localAddress
    publicKey = identity.publicKey
    core = EndpointCore(configuration: configuration, remote: reactor.remote, admission: admission)
    let handover = Handover(reactor, core)
    do throws(SystemError) { try Thread.start("lrp2p") { handover.run() } } catch { throw .system(error) }
  }

  deinit { if !core.isForked { core.close(lingering: 0, nil) } }

  /// The next connection of a peer that has dialled this endpoint, in the order of their handshakes. Up to
  /// `EndpointConfiguration.backlog` wait to be accepted; their bytes are kept meanwhile.
  ///
  /// - Throws: `cancelled` (the connection stays for the next accept), `endpointClosed`, `system`.
  public func accept() async throws(TransportError) -> Connection {
    try core.assertNotForked()
    if Task.isCancelled { throw .cancelled(accepted: 0) }
    switch core.tryAccept() {
    case .done(let result): return Connection(try result.get())
    case .wait(let ticket):
      let core = core
      let result = await suspend {
        core.accept(ticket: ticket, $0)
      } onCancel: {
        core.cancelAccept(ticket)
      }
      return Connection(try result.get())
    }
  }

  /// Connects to a peer. Several connections to the same peer are possible.
  ///
  /// A listener sees this side's key and payload after it has answered. So a connection that it refuses is made here, and then ends with the
  /// listener's code and reason (`closed(.remote)`): the first answer of the peer proves that it is one.
  ///
  /// - Parameters:
  ///   - address: where it listens.
  ///   - keys: who may answer: `.key(k)` pins it, and with `.anyone` it is not known who that is until the connection's
  ///     `remoteKey` was looked at. Any other peer there is not talked to.
  ///   - versions: whether the other side may be, or has to be, the original peer.
  ///   - payload: for the listener's program (`ConnectionRequest`), which sees it together with this side's key and before it takes the
  ///     connection: at most 512 bytes. Only the listener can read it.
  ///   - timeout: when it is given up, 100 ms to one hour; without it `EngineConfiguration.handshakeTimeout`.
  /// - Throws: `closed` with `handshakeTimeout` (16 s by default), `unreachable`, `keyRefused`, `handshakeFailed`, `noCommonProtocol` or
  ///   what the peer closed with; `cancelled` (the attempt is given up), `payloadTooLong`, `tooManyPeers`, `endpointClosed`, `system`.
  public func connect(
    to address: Address, expecting keys: PeerKeys, versions: VersionPolicy = .version1, payload: [UInt8] = [],
    timeout: Duration? = nil
  ) async throws(TransportError) -> Connection {
    try await connect(to: [address], expecting: keys, versions: versions, payload: payload, timeout: timeout)
  }

  /// The same to a host of several addresses, as `Resolver` gives them: eight are taken at most, both families by turns. The next one is
  /// tried when a quarter of a second has brought nothing, or at once when one fails; the first that answers is the connection.
  ///
  /// - Throws: `noAddress` where there are none, and as the other one.
  public func connect(
    to addresses: [Address], expecting keys: PeerKeys, versions: VersionPolicy = .version1, payload: [UInt8] = [],
    timeout: Duration? = nil
  ) async throws(TransportError) -> Connection {
    try core.assertNotForked()
    let channel = Channel(
      core: core,
      dial: ChannelState.Dial(
        addresses: addresses, keys: keys, versions: versions, payload: payload, timeout: timeout.map { Nanoseconds($0) }
      ))
    let result = await suspend {
      channel.dial($0)
    } onCancel: {
      channel.cancelDial()
    }
    try result.get()
    return Connection(channel)
  }

  /// Closes: no connection is accepted any more, the connections end (their peers get CLOSE with `CloseCode.endpointClosed`), and
  /// then the thread and the descriptors are gone.
  ///
  /// - Parameter lingering: how long connections may go on whose own side has said `finish`, so that what was written before
  ///   arrives. It ends with the last of them.
  public func close(lingering: Duration = .zero) async {
    let core = core
    if core.isForked { return }
    await suspend {
      core.close(lingering: Nanoseconds(lingering), $0)
    } onCancel: {
    }
  }

  /// Counters of the socket and the protocol; nil when the endpoint is closed.
  public func statistics() async -> EndpointStatistics? {
    let core = core
    if core.isForked { return nil }
    return await suspend {
      core.figures($0)
    } onCancel: {
    }
  }
}

/// Counters of an endpoint, all since its start.
public struct EndpointStatistics: Sendable {
  /// The protocol's.
  public var engine: EngineStatistics
  /// The socket's.
  public var reactor: ReactorStatistics
  /// Of `EndpointConfiguration.bufferBytes`, what is in use now.
  public var bufferBytesInUse: UInt64
}

/// Brings a reactor to its thread.
///
/// `@unchecked Sendable`: made by one thread, emptied once by another that it starts.
private final class Handover: @unchecked Sendable {
  private var reactor: Reactor?
  private let core: EndpointCore

  init(_ reactor: consuming Reactor, _ core: EndpointCore) {
    self.reactor = consume reactor
    self.core = core
  }

  func run() {
    guard let reactor = reactor.take() else { return }
    core.run(reactor)
  }
}

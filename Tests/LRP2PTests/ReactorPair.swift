// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation

/// Where the system refuses io_uring its half runs over epoll again, which LRP2PReactorTests reports.
let backends: [ReactorBackend] = [.epoll, .ioUring]

extension ReactorConfiguration {
  init(_ backend: ReactorBackend) {
    self.init()
    self.backend = backend
  }
}

/// Two reactors on loopback, turned by one thread.
struct ReactorPair: ~Copyable {
  var client: Reactor
  var server: Reactor
  var clientHandler: StreamHandler
  var serverHandler: StreamHandler
  let serverKey: PublicKey

  init(
    configuration: ReactorConfiguration = .init(), clientSends: UInt64?, serverSends: UInt64?,
    serverIdentity: Identity = Identity(), clientProvider: AEADProvider? = nil
  ) throws(ReactorError) {
    serverKey = serverIdentity.publicKey
    // Both before either is stored: a noncopyable value is not initialised by halves.
    let server = try Reactor(
      configuration: configuration, identity: serverIdentity, bind: .any(port: 0), accepting: .anyone)
    var clientConfiguration = configuration
    if let clientProvider { clientConfiguration.aeadProvider = clientProvider }
    let client = try Reactor(
      configuration: clientConfiguration, identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    self.server = server
    self.client = client
    clientHandler = StreamHandler(bytesToSend: clientSends)
    serverHandler = StreamHandler(bytesToSend: serverSends)
  }

  var server4: Address { Address(ipv4: 0x7F00_0001, port: server.localAddress.port) }
  var server6: Address { Address(high: 0, low: 1, port: server.localAddress.port) }

  /// One turn of both; neither waits longer than a millisecond.
  mutating func turn() throws {
    try client.turn(&clientHandler, timeout: 0)
    let clientIdle = client.nextTimeout != 0
    try server.turn(&serverHandler, timeout: clientIdle ? .milliseconds(1) : 0)
  }

  /// Turns until both sides have seen every connection end, for at most `limit` of real time.
  mutating func runUntilClosed(_ connections: Int, limit: Nanoseconds = .seconds(120)) throws -> Bool {
    let end = currentInstant() + limit
    while currentInstant() < end {
      try turn()
      if clientHandler.closedCount == connections, serverHandler.closedCount == connections { return true }
    }
    return false
  }
}

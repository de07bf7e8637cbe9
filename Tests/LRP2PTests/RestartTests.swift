// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// A server that goes without a word, and another on its port.
@Suite struct RestartTests {
  /// The client's connections, and where they lead.
  private struct Clients: ~Copyable {
    var reactor: Reactor
    var handler = StreamHandler(bytesToSend: nil)
    var peers: [Peer] = []

    init(_ configuration: ReactorConfiguration) throws(ReactorError) {
      var configuration = configuration
      configuration.engine.accepting = .nobody
      reactor = try Reactor(configuration: configuration, identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    }

    mutating func dial(_ address: Address, _ key: PublicKey, _ count: Int) throws {
      for _ in 0..<count {
        let peer = try reactor.engine.connect(to: address, expecting: .key(key))
        reactor.engine.offer(peer, upTo: 1000)
        peers.append(peer)
      }
    }

    /// All that was sent has come back.
    var isEchoed: Bool {
      handler.peers.count == peers.count
        && handler.peers.values.allSatisfy { $0.received == 1000 && $0.acknowledged == 1000 }
    }
  }

  private static func loopback(_ port: UInt16) -> Address { Address(ipv4: 0x7F00_0001, port: port) }

  /// A server of one reactor, until `isDone`.
  /// - Returns: its port, and whether it was done.
  private func serve(
    _ clients: inout Clients, _ configuration: ReactorConfiguration, _ identity: Identity, port: UInt16 = 0,
    turns: Int = 100_000, begin: (inout Clients, UInt16) throws -> Void,
    until isDone: (borrowing Clients, borrowing Reactor) -> Bool
  ) throws -> (UInt16, Bool) {
    var server = try Reactor(
      configuration: configuration, identity: identity, bind: .any(port: port), accepting: .anyone)
    var handler = StreamHandler(bytesToSend: nil)
    try begin(&clients, server.localAddress.port)
    for _ in 0..<turns where !isDone(clients, server) {
      try clients.reactor.turn(&clients.handler, timeout: 0)
      try server.turn(&handler, timeout: .milliseconds(1) / 10)
    }
    return (server.localAddress.port, isDone(clients, server))
  }

  @Test(arguments: backends, [true, false]) func whoStillSendsIsTold(backend: ReactorBackend, filter: Bool) throws {
    var configuration = ReactorConfiguration(backend)
    configuration.socketFilter = filter
    let identity = Identity()
    var clients = try Clients(configuration)
    let (port, isOpen) = try serve(&clients, configuration, identity) { clients, port in
      try clients.dial(Self.loopback(port), identity.publicKey, 3)
    } until: { clients, _ in
      clients.isEchoed
    }
    #expect(isOpen)
    let (_, isTold) = try serve(&clients, configuration, identity, port: port) { clients, _ in
      for peer in clients.peers { clients.reactor.engine.ping(peer, token: 1) }
    } until: { clients, server in
      clients.handler.closedCount == 3 && server.engine.statistics.resetsSent >= 3
    }
    #expect(isTold && clients.handler.peers.values.allSatisfy { $0.closed == .reset })
    let statistics = clients.reactor.statistics
    #expect(statistics.socketFilter == filter && statistics.kernelDrops == 0)
    #expect(clients.reactor.engine.statistics.resetsReceived == 3)
  }

  /// Somebody else on the port, or one who is to tell nobody, has never given out these ids, or does not say so.
  @Test(arguments: [true, false]) func nobodyElseIsBelieved(isOther: Bool) throws {
    var configuration = ReactorConfiguration()
    let identity = Identity()
    var clients = try Clients(configuration)
    let (port, isOpen) = try serve(&clients, configuration, identity) { clients, port in
      try clients.dial(Self.loopback(port), identity.publicKey, 1)
    } until: { clients, _ in
      clients.isEchoed
    }
    #expect(isOpen)
    if !isOther { configuration.engine.resetsPerSecond = 0 }
    let (_, isUnknown) = try serve(&clients, configuration, isOther ? Identity() : identity, port: port) { clients, _ in
      clients.reactor.engine.ping(clients.peers[0], token: 1)
    } until: { _, server in
      server.engine.statistics.unknownConnection > 0
    }
    #expect(isUnknown && clients.handler.closedCount == 0)
  }

  /// Whichever of the reactors has had a connection, and whichever its ids lead to now.
  @Test func aGroupTellsItsPeers() throws {
    let identity = Identity()
    var clients = try Clients(ReactorConfiguration())
    let address = try serveByGroup(&clients, identity, bind: .any(port: 0)) { clients, address in
      try clients.dial(Self.loopback(address.port), identity.publicKey, 20)
    } until: {
      $0.isEchoed
    }
    _ = try serveByGroup(&clients, identity, bind: address) { clients, _ in
      for peer in clients.peers { clients.reactor.engine.ping(peer, token: 1) }
    } until: {
      $0.handler.closedCount == 20
    }
    #expect(clients.handler.peers.values.allSatisfy { $0.closed == .reset })
  }

  private func serveByGroup(
    _ clients: inout Clients, _ identity: Identity, bind: Address, begin: (inout Clients, Address) throws -> Void,
    until isDone: (borrowing Clients) -> Bool
  ) throws -> Address {
    let group = try ReactorGroup(count: 2, bind: bind, accepting: .anyone)
    var first = try Reactor(identity: identity, group: group, index: 0)
    var second = try Reactor(identity: identity, group: group, index: 1)
    var (firstHandler, secondHandler) = (StreamHandler(bytesToSend: nil), StreamHandler(bytesToSend: nil))
    try begin(&clients, group.localAddress)
    for _ in 0..<100_000 where !isDone(clients) {
      try clients.reactor.turn(&clients.handler, timeout: 0)
      try first.turn(&firstHandler, timeout: 0)
      try second.turn(&secondHandler, timeout: .milliseconds(1) / 10)
    }
    let isOver = isDone(clients)
    #expect(isOver)
    #expect(first.engine.statistics.misdirected + second.engine.statistics.misdirected == 0)
    return group.localAddress
  }
}

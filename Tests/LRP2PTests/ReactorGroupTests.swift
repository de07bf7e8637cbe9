// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// Reactors that share a port, and one that dials them, turned by one thread.
@Suite struct ReactorGroupTests {
  @Test(arguments: backends, [true, false]) func everyConnectionStaysWithItsReactor(
    backend: ReactorBackend, filter: Bool
  ) throws {
    let connections = 40
    var configuration = ReactorConfiguration(backend)
    configuration.socketFilter = filter
    let identity = Identity()
    let group = try ReactorGroup(count: 2, configuration: configuration, bind: .any(port: 0), accepting: .anyone)
    var first = try Reactor(identity: identity, group: group, index: 0)
    var second = try Reactor(identity: identity, group: group, index: 1)
    #expect(first.localAddress == group.localAddress && second.localAddress == group.localAddress)
    #expect(first.statistics.socketFilter == filter && second.statistics.socketFilter == filter)
    // All of them from one socket to one address: what is sent as one message must be of one connection.
    var client = try Reactor(
      configuration: configuration, identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    var clientHandler = StreamHandler(bytesToSend: 100_000)
    var firstHandler = StreamHandler(bytesToSend: nil)
    var secondHandler = StreamHandler(bytesToSend: nil)
    let address = Address(ipv4: 0x7F00_0001, port: group.localAddress.port)
    for _ in 0..<connections { _ = try client.engine.connect(to: address, expecting: .key(identity.publicKey)) }
    let end = currentInstant() + .seconds(60)
    while clientHandler.closedCount < connections
      || firstHandler.closedCount + secondHandler.closedCount < connections, currentInstant() < end
    {
      try client.turn(&clientHandler, timeout: 0)
      try first.turn(&firstHandler, timeout: 0)
      try second.turn(&secondHandler, timeout: client.nextTimeout == 0 ? 0 : .milliseconds(1) / 10)
    }
    #expect(clientHandler.closedCount == connections)
    #expect(clientHandler.peers.values.allSatisfy { $0.received == 100_000 && $0.closed == .finished })
    #expect(firstHandler.closedCount + secondHandler.closedCount == connections)
    // Each met some: the chance that one did not is 2^-39.
    #expect(firstHandler.closedCount > 0 && secondHandler.closedCount > 0)
    var unknown: UInt64 = 0
    for statistics in [first.engine.statistics, second.engine.statistics] {
      #expect(statistics.misdirected == 0)
      unknown += statistics.unknownConnection
    }
    #expect(unknown == 0)
    #expect(firstHandler.mismatches + secondHandler.mismatches + clientHandler.mismatches == 0)
    if filter { #expect(first.statistics.kernelDrops + second.statistics.kernelDrops == 0) }
  }

  /// An attempt with a cookie has another id, and is steered to another reactor than the one that has made the cookie.
  @Test func aCookieIsGoodForAllOfThem() throws {
    let dials = 400
    let count = 8
    var configuration = ReactorConfiguration()
    configuration.engine.halfOpenMark = 0
    let identity = Identity()
    let group = try ReactorGroup(count: count, configuration: configuration, bind: .any(port: 0), accepting: .anyone)
    var members: [Member] = []
    for index in 0..<count { members.append(Member(try Reactor(identity: identity, group: group, index: index))) }
    var client = try Reactor(identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    var clientHandler = StreamHandler(bytesToSend: nil)
    let address = Address(ipv4: 0x7F00_0001, port: group.localAddress.port)
    for _ in 0..<dials { _ = try client.engine.connect(to: address, expecting: .key(identity.publicKey)) }
    let end = currentInstant() + .seconds(20)
    while members.reduce(0, { $0 + $1.handler.peers.count }) < dials, currentInstant() < end {
      try client.turn(&clientHandler, timeout: 0)
      for member in members { try member.turn() }
    }
    let statistics = members.map(\.statistics)
    #expect(members.reduce(0) { $0 + $1.handler.peers.count } == dials)
    #expect(statistics.reduce(0) { $0 + $1.cookiesInvalid } == 0)
    // Each at its second message 1; more of them only where this machine was slower than a repeat.
    #expect(statistics.reduce(0) { $0 + $1.cookiesAccepted } >= UInt64(dials))
    #expect(statistics.allSatisfy { $0.cookiesAccepted > 0 && $0.misdirected == 0 })
  }

  /// One reactor of several, as an array cannot hold it.
  private final class Member {
    var reactor: Reactor
    var handler = StreamHandler(bytesToSend: nil)

    init(_ reactor: consuming Reactor) { self.reactor = reactor }

    var statistics: EngineStatistics { reactor.engine.statistics }

    func turn() throws { try reactor.turn(&handler, timeout: 0) }
  }

  /// Where one of a group has gone its number stands for a socket that nobody reads: what is for it is dropped, and the others keep theirs.
  @Test func whatIsForAReactorThatIsGoneComesToNoOther() throws {
    let identity = Identity()
    let group = try ReactorGroup(count: 2, bind: .any(port: 0), accepting: .anyone)
    var first = try Reactor(identity: identity, group: group, index: 0)
    do { _ = try Reactor(identity: identity, group: group, index: 1) }
    var client = try Reactor(identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    var handler = StreamHandler(bytesToSend: nil)
    var clientHandler = StreamHandler(bytesToSend: nil)
    let address = Address(ipv4: 0x7F00_0001, port: group.localAddress.port)
    for _ in 0..<40 { _ = try client.engine.connect(to: address, expecting: .key(identity.publicKey)) }
    let end = currentInstant() + .seconds(20)
    // Further attempts of a dial have other ids.
    while handler.peers.count < 20, currentInstant() < end {
      try client.turn(&clientHandler, timeout: 0)
      try first.turn(&handler, timeout: 0)
    }
    #expect(handler.peers.count >= 20 && first.engine.statistics.misdirected == 0)
  }
}

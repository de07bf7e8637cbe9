// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Limits on the connections of one identity, and of one network.
@Suite struct ConnectionLimitTests {
  typealias StreamWorld = World<StreamHandler>

  /// Dials so often, and waits.
  private static func dial(_ world: inout StreamWorld, _ count: Int) throws -> [Peer] {
    var peers: [Peer] = []
    for _ in 0..<count { peers.append(try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)) }
    _ = world.run(for: .milliseconds(200))
    return peers
  }

  @Test func anIdentityHasSoMany() throws {
    var world = LifecycleTests.world(sends: nil) {
      $0.maximumConnectionsPerIdentity = 3
      $0.reportsRefusals = false
    }
    let peers = try Self.dial(&world, 5)
    #expect(world.secondHandler.peers.count == 3 && world.second.statistics.peers == 3)
    #expect(world.second.statistics.connectionsOverIdentityLimit == 2 && world.second.statistics.isBalanced)
    #expect(world.second.limits.identities.inUse == 1)
    // Those learn of it by their timeout.
    _ = world.run(for: .seconds(20))
    #expect(world.firstHandler.peers.values.filter { $0.closed == .handshakeTimeout }.count == 2)
    // One that is over makes room once its slot is free.
    let open = try #require(peers.first { world.firstHandler.peers[$0]?.closed == nil })
    world.first.close(open, code: 0)
    _ = world.run(for: .seconds(10))
    _ = try Self.dial(&world, 2)
    #expect(world.secondHandler.peers.values.filter { $0.closed == nil }.count == 3)
    // Own dials do not count.
    _ = try world.second.connect(to: StreamWorld.firstAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(200))
    #expect(world.secondHandler.peers.values.filter { $0.closed == nil }.count == 4)
    _ = world.run(for: .seconds(20))
    for peer in world.firstHandler.peers.keys { world.first.close(peer, code: 0) }
    _ = world.run(for: .seconds(60))
    #expect(world.second.statistics.peers == 0 && world.second.limits.identities.inUse == 0)
  }

  @Test func aNetworkHasSoMany() throws {
    var world = LifecycleTests.world(sends: nil) { $0.maximumConnectionsPerPrefix = 3 }
    _ = try Self.dial(&world, 2)
    let third = try Self.dial(&world, 1)
    #expect(world.secondHandler.peers.count == 3)
    // No further one is worked on at all.
    let before = world.second.statistics
    _ = try Self.dial(&world, 2)
    #expect(world.second.statistics.connectionsOverPrefixLimit >= 2)
    #expect(world.second.statistics.handshakesStarted == before.handshakesStarted && world.second.statistics.isBalanced)
    // Those two are given up.
    _ = world.run(for: .seconds(20))
    #expect(world.secondHandler.peers.count == 3)
    // The count moves with a peer, to a network that had none.
    world.presentAddress = Address(ipv4: 0x0B00_0001, port: 1000)
    for peer in world.firstHandler.peers.keys { world.first.ping(peer, token: 1) }
    _ = world.run(for: .seconds(5))
    #expect(world.second.statistics.pathChanges == 3 && world.second.limits.networks.inUse == 1)
    world.presentAddress = StreamWorld.firstAddress
    _ = world.run(for: .seconds(20))
    world.first.close(third[0], code: 0)
    _ = world.run(for: .seconds(60))
    #expect(world.second.statistics.peers == 2 && world.second.limits.networks.inUse == 1)
    for peer in world.firstHandler.peers.keys { world.first.close(peer, code: 0) }
    _ = world.run(for: .seconds(60))
    #expect(world.second.statistics.peers == 0 && world.second.limits.networks.inUse == 0)
  }

  /// Several are half-open when the last place is taken.
  @Test func halfOpenOnesAreJudgedAgain() throws {
    var world = LifecycleTests.world(sends: nil) {
      $0.maximumConnectionsPerPrefix = 3
      $0.reportsRefusals = false
    }
    _ = try Self.dial(&world, 5)
    #expect(world.secondHandler.peers.count == 3 && world.second.statistics.peers == 3)
    #expect(world.second.statistics.connectionsOverPrefixLimit == 2 && world.second.statistics.isBalanced)
  }

  @Test func noLimitCountsNothing() throws {
    var world = LifecycleTests.world(sends: nil)
    _ = try Self.dial(&world, 20)
    #expect(world.secondHandler.peers.count == 20)
    #expect(world.second.limits.identities.inUse == 0 && world.second.limits.networks.inUse == 0)
  }
}

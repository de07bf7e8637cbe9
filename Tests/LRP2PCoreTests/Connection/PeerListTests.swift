// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Which connections there are, and the end of those to come.
@Suite struct PeerListTests {
  @Test func listsPeersAndStopsAccepting() throws {
    var world = LifecycleTests.world()
    let wasAccepting = world.second.isAccepting
    #expect(world.first.connectedPeers().isEmpty && wasAccepting)
    let peer = try world.first.connect(to: World<StreamHandler>.secondAddress, expecting: .anyone)
    #expect(world.first.connectedPeers().isEmpty)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.peers.count == 1 })
    #expect(world.first.connectedPeers() == [peer])
    #expect(world.second.connectedPeers() == Array(world.secondHandler.peers.keys))
    world.second.stopAccepting()
    let isAccepting = world.second.isAccepting
    #expect(!isAccepting)
    let late = try world.first.connect(to: World<StreamHandler>.secondAddress, expecting: .anyone)
    _ = world.run(for: .seconds(60))
    #expect(world.firstHandler.peers[late]?.closed == .handshakeTimeout)
    #expect(!world.first.connectedPeers().contains(late) && world.secondHandler.peers.count == 1)
    // It may still dial.
    _ = try world.second.connect(to: World<StreamHandler>.firstAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers.count == 3 })
  }
}

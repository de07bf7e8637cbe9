// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A program's own state of each connection, and what it is told of who the peer is.
@Suite struct PeerColumnTests {
  private func peer(_ index: UInt64, generation: UInt64) -> Peer { Peer(connectionID: generation << 24 | index) }

  @Test func valuesBelongToOneConnection() {
    var column = PeerColumn<String>()
    let (old, new, other) = (peer(5, generation: 1), peer(5, generation: 2), peer(0, generation: 1))
    #expect(column[old] == nil && column.isEmpty)
    column[old] = "a"
    column[old, default: "x"].append("b")
    column[other, default: "c"].append("d")
    #expect(column[old] == "ab" && column[other] == "cd" && column.count == 2)
    #expect(column[new] == nil && !column.contains(new) && column[new, default: "none"] == "none")
    // What finds nothing changes nothing.
    column[new] = nil
    column[new]?.append("!")
    #expect(column.removeValue(for: new) == nil && column[old] == "ab")
    // The place has another connection by now.
    column[new] = "e"
    #expect(column[old] == nil && column[new] == "e" && column.count == 2)
    column[old] = nil
    #expect(column[new] == "e" && Array(column.peers) == [other, new])
    column[new]?.append("f")
    #expect(column.removeValue(for: new) == "ef" && column.count == 1)
    column.removeAll()
    #expect(column.isEmpty && column[other] == nil && Array(column.peers) == [])
  }

  @Test func randomUseMatchesADictionary() {
    var random = SplitMix(state: 3)
    var (column, model) = (PeerColumn<Int>(), [Peer: Int]())
    for step in 0..<20_000 {
      let peer = peer(UInt64(random.below(20)), generation: UInt64(random.below(3)) + 1)
      switch random.below(4) {
      case 0:
        for held in model.keys where held.index == peer.index { model[held] = nil }
        model[peer] = step
        column[peer] = step
      case 1:
        model[peer] = nil
        column[peer] = nil
      case 2:
        model[peer]? += 1
        column[peer]? += 1
      default: #expect(column[peer] == model[peer])
      }
      #expect(column.count == model.count)
    }
    #expect(Set(column.peers) == Set(model.keys))
  }

  private struct Noting: ReceivingHandler {
    var infos: [PeerInfo] = []
    var peers: [Peer] = []
    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
      infos.append(info)
      peers.append(peer)
    }
    mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
  }

  @Test func connectedSaysWhoItIs() throws {
    var (first, second) = (EngineConfiguration(), EngineConfiguration())
    first.applicationProtocols = ["chat/2", "chat/1"]
    second.applicationProtocols = ["chat/1"]
    var link = Link()
    link.delay = .milliseconds(1)
    var world = World(
      seed: 1, configuration: first, second: second, link: link, firstHandler: Noting(), secondHandler: Noting())
    let peer = try world.first.connect(to: World<Noting>.secondAddress, expecting: .anyone)
    #expect(world.first.info(of: peer) == nil)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.infos.count == 1 })
    let (near, far) = (world.firstHandler.infos[0], world.secondHandler.infos[0])
    #expect(near.key == world.second.publicKey && far.key == world.first.publicKey)
    #expect(near.address == World<Noting>.secondAddress && far.address == World<Noting>.firstAddress)
    #expect(near.applicationProtocol == "chat/1" && far.applicationProtocol == "chat/1")
    #expect(near.direction == .outgoing && far.direction == .incoming && far.isIncoming)
    #expect(world.first.info(of: peer) == near)
    #expect(peer.index < 16 && world.firstHandler.peers == [peer])
    world.first.close(peer, code: 1)
    _ = world.run(for: .seconds(20))
    #expect(world.first.info(of: peer) == nil)
  }
}

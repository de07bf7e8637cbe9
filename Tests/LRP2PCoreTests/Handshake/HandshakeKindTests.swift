// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Every handshake message but the first goes under an id of its receiver's, and is told from data by a packet number that no
/// segment has.
@Suite struct HandshakeKindTests {
  typealias StreamWorld = World<StreamHandler>

  private static func id(_ datagram: [UInt8]) -> UInt64 { datagram[..<8].reduce(0) { $0 << 8 | UInt64($1) } }

  private static func header(_ id: UInt64, kind: UInt8) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: id >> (56 - 8 * $0)) } + [UInt8](repeating: 0xFF, count: 7) + [kind]
  }

  /// The first host has had message 2, and its message 3 is on the way.
  private static func withMessage3() throws -> StreamWorld {
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link, sends: nil)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .milliseconds(200)) { !$0.firstHandler.peers.isEmpty })
    return world
  }

  @Test func messages2And3GoUnderTheReceiversIDs() throws {
    let world = try Self.withMessage3()
    let peer = try LifecycleTests.only(world.firstHandler)
    let message3 = world.handshakeDatagram(ofFirst: peer)
    let slot = try #require(Slot.all(world.second.peers.slots).first { world.second.peers.rows[$0].phase == .halfOpen })
    let message2 = world.handshakeDatagram(ofSecond: slot)
    #expect(Array(message2[..<16]) == Self.header(peer.connectionID, kind: 1))
    #expect(Array(message3[..<16]) == Self.header(world.second.peers.rows[slot].connectionID, kind: 1))
    #expect(message2.count * 3 < 1200)
  }

  /// An address translator has given the initiator another port between message 1 and message 3: all arrives, and it is found where
  /// it is now.
  @Test func message3SurvivesARebinding() throws {
    let elsewhere = Address(ipv4: 0x0A00_0001, port: 4444)
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link, sends: 100_000)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(99))
    world.presentAddress = elsewhere
    #expect(
      world.run(for: .seconds(20)) {
        TransferTests.isClosed($0.firstHandler) && TransferTests.isClosed($0.secondHandler)
      })
    #expect(world.firstHandler.peers[peer]?.closed == .finished && world.secondHandler.moves == [elsewhere])
    #expect(world.secondHandler.peers.values.first?.received == 100_000)
  }

  /// Whoever has seen message 3 and sends it from elsewhere does not get the connection.
  @Test func aRepeatedMessage3FromElsewhereIsNotAnswered() throws {
    var world = try Self.withMessage3()
    let message3 = world.handshakeDatagram(ofFirst: try LifecycleTests.only(world.firstHandler))
    #expect(world.run(for: .milliseconds(60)) { !$0.secondHandler.peers.isEmpty })
    world.back.isDown = true
    let before = world.second.statistics
    world.inject(message3, from: Address(ipv4: 0x0A00_0099, port: 1))
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.late == before.late + 1)
    world.inject(message3, from: StreamWorld.firstAddress)
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.datagramsSent > before.datagramsSent)
  }

  /// In each phase of a connection, at both ends.
  @Test(arguments: [0, 3, 77, 255] as [UInt8]) func anUnknownKindIsDropped(kind: UInt8) throws {
    var world = try Self.withMessage3()
    let peer = try LifecycleTests.only(world.firstHandler)
    let other = Self.id(world.handshakeDatagram(ofFirst: peer))
    func inject(_ world: inout StreamWorld) {
      let before = (world.first.statistics, world.second.statistics)
      for length in [22, 100, 1100] {
        let rest = [UInt8](repeating: 9, count: length)
        world.inject(Self.header(other, kind: kind) + rest, from: StreamWorld.firstAddress)
        world.inject(
          Self.header(peer.connectionID, kind: kind) + rest, from: StreamWorld.secondAddress, toSecond: false)
      }
      _ = world.run(for: .microseconds(1))
      for (now, before) in [(world.first.statistics, before.0), (world.second.statistics, before.1)] {
        #expect(now.datagramsReceived >= before.datagramsReceived + 3 && now.isBalanced)
        #expect(now.authenticationFailures == before.authenticationFailures)
      }
    }
    inject(&world)
    #expect(world.run(for: .milliseconds(200)) { !$0.secondHandler.peers.isEmpty })
    inject(&world)
    world.first.close(peer, code: 1)
    _ = world.run(for: .milliseconds(60))
    inject(&world)
    _ = world.run(for: .seconds(30))
    #expect(world.first.statistics.peers == 0 && world.second.statistics.peers == 0)
  }

  /// Of whatever length message 3 is: parameters to come make it longer.
  @Test func aDialKnowsTheKindsOnly() throws {
    var world = LifecycleTests.world()
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    world.back.isDown = true
    _ = world.run(for: .milliseconds(5))
    let before = world.first.statistics.handshakesMalformed
    // As the original would send message 2, but this dial does not speak with it.
    let original = Array(Self.header(peer.connectionID, kind: 1)[..<8]) + [UInt8](repeating: 3, count: 96)
    world.inject(original, from: StreamWorld.secondAddress, toSecond: false)
    _ = world.run(for: .milliseconds(1))
    #expect(world.first.statistics.handshakesMalformed == before + 1)
    #expect(world.first.statistics.authenticationFailures == 0)
  }
}

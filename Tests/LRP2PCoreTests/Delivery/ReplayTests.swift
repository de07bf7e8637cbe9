// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// How far behind the newest a packet number may lie and be taken all the same.
@Suite struct ReplayTests {
  typealias StreamWorld = World<StreamHandler>

  /// What the first host seals under a packet number of the test's choice.
  private static func inject(
    _ world: inout StreamWorld, _ plaintext: [UInt8], _ packetNumber: UInt64, _ dialled: Peer, _ accepted: Peer
  ) {
    let key = world.first.peers.keys[PeerTable.sealingRow(dialled.slot)]
    world.inject(
      StreamWorld.sealed(plaintext, id: accepted.connectionID, packetNumber: packetNumber, key: key),
      from: StreamWorld.firstAddress)
  }

  /// Wherever the newest stands in its word of the bitmap.
  @Test(arguments: [0, 1, 32, 63] as [UInt64]) func behindARestTheNewest256(place: UInt64) throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    let ping: [UInt8] = [6, 64, 0, 1, 0, 0]
    let newest = 1024 + place
    world.first.peers.rows[dialled.slot].sendPacketNumber = newest + 1
    Self.inject(&world, ping, newest, dialled, accepted)
    _ = world.run(for: .seconds(3))
    let flows = world.second.peers.flows.inUse
    #expect(flows == 0)
    let before = world.second.statistics.datagramsAccepted
    for _ in 0..<2 {
      Self.inject(&world, ping, newest - 256, dialled, accepted)
      _ = world.run(for: .milliseconds(20))
    }
    Self.inject(&world, ping, newest, dialled, accepted)
    Self.inject(&world, ping, newest - 1024, dialled, accepted)
    _ = world.run(for: .milliseconds(20))
    #expect(world.second.statistics.datagramsAccepted == before + 1)
    #expect(world.second.statistics.replays == 3, "the second time, the newest once more, and what is too old")
  }

  /// Data behind a gap of 10,000 numbers, under every other packet number: what the gap lacks left first of all.
  @Test func behindAGapTwiceAsManyAsItSpans() throws {
    var world = try LifecycleTests.openWorld { $0.restAfter = 0 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.secondHandler.bytesToSend = 0
    world.back.isDown = true
    let oldest = world.first.peers.rows[dialled.slot].sendPacketNumber
    world.first.peers.rows[dialled.slot].sendPacketNumber = oldest + 20_001
    for number in 1...10_000 as ClosedRange<UInt32> {
      let payload = StreamHandler.byte(at: UInt64(number))
      Self.inject(&world, RawSegment.data(number, [payload]), oldest + 2 * UInt64(number), dialled, accepted)
      if number % 100 == 0 { _ = world.run(for: .microseconds(1)) }
    }
    let span = world.second.peers.flows[accepted.slot].receive.packetsBehindGaps
    #expect(span == 10_001 && world.secondHandler.peers[accepted]?.received == 0)
    Self.inject(&world, RawSegment.data(0, [StreamHandler.byte(at: 0)]), oldest, dialled, accepted)
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.replays == 0 && world.secondHandler.peers[accepted]?.received == 10_001)
    #expect(world.secondHandler.mismatches == 0)
  }
}

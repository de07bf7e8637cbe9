// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Keys that change while datagrams are lost, late and forged.
@Suite struct KeyEpochTests {
  static func shortEpochs(bits: UInt64 = 8) -> EngineConfiguration {
    var configuration = EngineConfiguration()
    configuration.keyEpochBits = bits
    return configuration
  }

  /// 2 MiB each way are 1,600 datagrams: six epochs of 256.
  @Test(arguments: 1...10) func aTransferCrossesEpochs(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.03
    link.jitter = .milliseconds(10)
    link.duplication = 0.02
    try TransferTests().transfer(bytes: 2 << 20, seed: seed, link: link, configuration: Self.shortEpochs())
  }

  /// Epochs so short that whole ones are overtaken or lost.
  @Test(arguments: 1...5) func epochsAreSkipped(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.05
    link.jitter = .milliseconds(2)
    var configuration = Self.shortEpochs(bits: 6)
    configuration.initialWindow = 10
    try TransferTests().transfer(bytes: 1 << 20, seed: seed, link: link, configuration: configuration)
  }

  @Test func aDatagramOfAWipedEpochIsRefused() throws {
    var world = try LifecycleTests.openWorld {
      $0.keyEpochBits = 8
      // At rest its number would be too old already.
      $0.restAfter = 0
    }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    // A number and the key of the first epoch, kept back.
    let slot = dialled.slot
    let oldNumber = world.first.peers.rows[slot].sendPacketNumber
    let oldKey = world.first.peers.keys[PeerTable.sealingRow(slot)]
    world.first.peers.rows[slot].sendPacketNumber += 1
    world.secondHandler.bytesToSend = 0
    world.first.offer(dialled, upTo: 700_000)
    #expect(world.run(for: .seconds(5)) { $0.secondHandler.peers[accepted]?.received == 700_000 })
    #expect(world.second.peers.headers[accepted.slot].epochs.receiving >= 2)
    _ = world.run(for: .seconds(5))
    #expect(world.second.peers.flows[accepted.slot].previousKey.key.aead == 0, "old keys are wiped by the clock")

    let late = World<StreamHandler>.sealed(
      [6, 0, 0, 0, 2, 9, 1, 2, 3], id: accepted.connectionID, packetNumber: oldNumber, key: oldKey)
    let before = world.second.statistics
    world.inject(late, from: World<StreamHandler>.firstAddress)
    _ = world.run(for: .milliseconds(100))
    #expect(world.second.statistics.keyUnavailable == before.keyUnavailable + 1)
    #expect(world.second.statistics.authenticationFailures == before.authenticationFailures)
    #expect(world.secondHandler.peers[accepted]?.received == 700_000 && world.secondHandler.closedCount == 0)
  }

  @Test func aDatagramOfTheEpochBeforeIsTaken() throws {
    let suite = ClearSuite(seed: 1)
    var epochs = KeyEpochs(bits: 8)
    var previous = PreviousKey()
    var first = TrafficKey()
    first.aead = 1
    let second = TrafficKeys.next(first, suite: suite)
    let key = { (epoch: UInt64, current: TrafficKey) in
      epochs.openingKey(epoch, current: current, previous: previous.key, suite: suite)
    }
    #expect(key(1, first)?.bytes.bytes.bigEndian64(0) == second.bytes.bytes.bigEndian64(0))
    previous.replace(with: first, until: 9)
    epochs.adopt(1)
    #expect(key(0, second)?.aead == 1)
    #expect(key(5, second) != nil)
    #expect(key(6, second) == nil, "more than four ahead")
    previous.wipe()
    #expect(key(0, second) == nil && previous.deadline == .never)
  }

  /// Forged datagrams of future epochs move nothing.
  @Test func forgedFutureEpochsChangeNothing() throws {
    var world = try LifecycleTests.openWorld { $0.keyEpochBits = 8 }
    let accepted = try LifecycleTests.only(world.secondHandler)
    for epoch in 1...9 {
      var key = TrafficKey()
      key.aead = 1
      world.inject(
        World<StreamHandler>.sealed(
          [6, 0, 0, 0, 0, 0], id: accepted.connectionID, packetNumber: UInt64(epoch) << 8, key: key),
        from: World<StreamHandler>.firstAddress)
    }
    _ = world.run(for: .milliseconds(50))
    // Four epochs ahead are tried.
    #expect(world.second.statistics.authenticationFailures == 4 && world.second.statistics.keyUnavailable == 5)
    #expect(world.second.peers.headers[accepted.slot].epochs.receiving == 0)
  }

  @Test func aPingIsAnswered() throws {
    var world = try LifecycleTests.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.first.ping(dialled, token: 77)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.pongs == [77] })
  }
}

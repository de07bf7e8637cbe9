// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What a call that sends a message is answered with, and what follows.
@Suite struct MessageCallTests {
  // MARK: Answers

  @Test func tooLong() throws {
    var world = try Mail.open(second: { $0.maximumMessage = 5000 })
    let peer = try Mail.dialled(world)
    #expect(world.first.maximumMessage(of: peer) == 5000)
    #expect(world.second.maximumMessage(of: try Mail.accepted(world)) == 1 << 20)
    #expect(world.first.send(peer, Mail.text(1, 5001)) == .tooLong)
    #expect(world.first.send(peer, Mail.text(2, 5000)) == .queued)
    #expect(world.first.send(peer, []) == .queued)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.mail.count == 2 })
    #expect(Set(world.secondHandler.texts) == [Mail.text(2, 5000), []])
    Mail.expectNothingLeft(&world)
  }

  /// Longer than there is ever room for: of the connection, or of all.
  @Test func tooLongForTheOwnBounds() throws {
    for (peerBytes, poolBytes) in [(1 << 16, 1 << 20), (1 << 20, 1 << 16)] {
      var world = try Mail.open {
        $0.messagePeerBytes = peerBytes
        $0.messagePoolBytes = poolBytes
      }
      let peer = try Mail.dialled(world)
      #expect(world.first.send(peer, Mail.text(1, 1 << 16 + 1)) == .tooLong)
      #expect(world.first.send(peer, Mail.text(2, 1 << 16)) == .queued)
      #expect(world.run(for: .seconds(1)) { $0.secondHandler.mail.count == 1 })
      #expect(world.secondHandler.texts == [Mail.text(2, 1 << 16)])
      let group = world.first.makeGroup()
      #expect(
        world.first.publish(Mail.text(1, 1 << 16 + 1), to: group)
          == (poolBytes == 1 << 16 ? .full : .queued(members: 0, skipped: 0)))
    }
  }

  @Test func unsupported() throws {
    for isFirst in [false, true] {
      var world = try Mail.open(
        configure: { $0.usesMessages = !isFirst }, second: { $0.usesMessages = isFirst })
      let (dialled, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
      #expect(world.first.maximumMessage(of: dialled) == 0)
      #expect(world.first.maximumMessageWithoutFragments(of: dialled) == 0)
      #expect(world.first.send(dialled, [1]) == .unsupported && world.second.send(accepted, [1]) == .unsupported)
      let group = world.first.makeGroup()
      #expect(world.first.join(dialled, group) == .refused && world.first.memberCount(of: group) == 0)
      #expect(world.first.publish([1], to: group) == .queued(members: 0, skipped: 0))
      // The stream goes on as ever.
      world.first.offer(dialled, upTo: 100_000)
      #expect(world.run(for: .seconds(2)) { $0.secondHandler.streamReceived == 100_000 })
      Mail.expectNothingLeft(&world)
    }
  }

  /// There is no such lane in the configuration; the receiver takes all of them.
  @Test func aLaneThatThereIsNot() throws {
    let all = Array(repeating: LaneConfiguration(), count: 16)
    var world = try Mail.open(configure: { $0.lanes = all }, second: { $0.lanes = [] })
    let (dialled, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
    for lane in 0..<16 as Range<UInt8> {
      let options = MessageOptions(lane: Lane(rawValue: lane)!)
      #expect(world.first.send(dialled, [lane], options) == .queued)
      #expect(world.second.send(accepted, [lane], options) == .unsupported)
    }
    #expect(Lane(rawValue: 16) == nil && Lane(rawValue: 15)?.rawValue == 15)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.mail.count == 16 })
    #expect(world.secondHandler.mail.allSatisfy { $0.bytes == [$0.lane.rawValue] })
  }

  @Test func beforeTheHandshakeIsOver() throws {
    var world = MailWorld(
      seed: 1, configuration: EngineConfiguration(), link: Link(), firstHandler: Mailbox(), secondHandler: Mailbox())
    let peer = try world.first.connect(to: MailWorld.secondAddress, expecting: .anyone)
    #expect(world.first.send(peer, [1]) == .unsupported && world.first.maximumMessage(of: peer) == 0)
    let group = world.first.makeGroup()
    #expect(world.first.join(peer, group) == .refused)
    #expect(world.run(for: .seconds(1)) { !$0.firstHandler.peers.isEmpty })
    #expect(world.first.send(peer, [1]) == .queued && world.first.join(peer, group) == .done)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.texts == [[1]] })
  }

  @Test func ended() throws {
    var world = try Mail.open()
    let (dialled, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
    let stored = world.first.store([7, 8].raw)
    let handle = try #require(stored)
    #expect(world.first.send(dialled, handle) == .queued)
    world.first.release(handle)
    #expect(world.first.send(dialled, handle) == .ended, "a void handle")
    world.first.release(handle)
    world.first.finish(dialled)
    #expect(world.first.send(dialled, [1]) == .ended, "behind the end")
    // The other direction goes on.
    #expect(world.second.send(accepted, [2]) == .queued)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.texts == [[2]] && $0.secondHandler.texts == [[7, 8]] })
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.isFinished })
    world.first.close(dialled, code: 1)
    #expect(world.first.send(dialled, [1]) == .ended)
    _ = world.run(for: .seconds(1))
    #expect(world.first.send(dialled, [1]) == .ended && world.second.send(accepted, [1]) == .ended)
    #expect(world.first.messageBytes(of: dialled) == 0)
    Mail.expectNothingLeft(&world)
  }

  // MARK: Full

  /// What is beyond a bound is not taken, and it is told once when there is room again.
  private func fill(
    _ world: inout MailWorld, _ peer: Peer, length: Int, _ options: MessageOptions = MessageOptions()
  ) -> Int {
    var count = 0
    while world.first.send(peer, Mail.text(UInt8(truncatingIfNeeded: count), length), options) == .queued {
      count += 1
      if count > 100_000 { break }
    }
    return count
  }

  @Test func theBoundOfALane() throws {
    var world = try Mail.open { $0.lanes = [LaneConfiguration(maximumBytes: 10_000), LaneConfiguration()] }
    let peer = try Mail.dialled(world)
    world.forth.isDown = true
    #expect(fill(&world, peer, length: 1000) == 10)
    // Others have their own; and it may be asked again.
    #expect(world.first.send(peer, [1], MessageOptions(lane: 1)) == .queued)
    #expect(world.first.send(peer, [1]) == .full && world.first.messageBytes(of: peer) == 10_001)
    _ = world.run(for: .milliseconds(1))
    world.forth.isDown = false
    #expect(world.run(for: .seconds(5)) { $0.secondHandler.mail.count == 11 })
    _ = world.run(for: .seconds(1))
    #expect(world.firstHandler.writables == [peer] && world.first.messageBytes(of: peer) == 0)
    #expect(fill(&world, peer, length: 20_000) == 1, "one that is alone may be longer than the bound")
    Mail.expectNothingLeft(&world)
  }

  @Test func theBoundOfAConnection() throws {
    var world = try Mail.open {
      $0.messagePeerBytes = 1 << 16
      $0.lanes = [LaneConfiguration(maximumBytes: 50_000), LaneConfiguration(maximumBytes: 50_000)]
    }
    let peer = try Mail.dialled(world)
    world.forth.isDown = true
    #expect(fill(&world, peer, length: 10_000) == 5)
    #expect(fill(&world, peer, length: 10_000, MessageOptions(lane: 1)) == 1)
    _ = world.run(for: .milliseconds(1))
    world.forth.isDown = false
    #expect(world.run(for: .seconds(5)) { $0.secondHandler.mail.count == 6 })
    _ = world.run(for: .seconds(1))
    #expect(world.firstHandler.writables == [peer])
    Mail.expectNothingLeft(&world)
  }

  /// One connection has all of the memory: others are told when it is free, however often they have asked, and however long the
  /// message is that there was no room for.
  @Test(arguments: [1000, 90_000, 200_000]) func theBoundOfAll(length: Int) throws {
    var world = try Mail.open { $0.messagePoolBytes = 1 << 18 }
    _ = try world.first.connect(to: MailWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { $0.firstHandler.peers.count == 2 })
    _ = world.run(for: .milliseconds(500))
    let (one, other) = (world.firstHandler.peers[0], world.firstHandler.peers[1])
    world.forth.isDown = true
    #expect(fill(&world, one, length: 10_000) == 25)
    _ = world.run(for: .milliseconds(1))
    // What is left of it.
    _ = fill(&world, one, length: 60)
    for _ in 0..<1000 { #expect(world.first.send(other, Mail.text(1, length)) == .full) }
    #expect(world.first.messageBytesInUse <= 1 << 18)
    world.forth.isDown = false
    #expect(world.run(for: .seconds(20)) { $0.first.messageBytes(of: one) == 0 })
    let count = world.secondHandler.mail.count
    _ = world.run(for: .seconds(1))
    let told = world.firstHandler.writables.filter { $0 == other }.count
    #expect(told >= 1 && told < 20)
    #expect(world.first.send(other, Mail.text(9, length)) == .queued)
    #expect(world.run(for: .seconds(5)) { $0.secondHandler.mail.count == count + 1 })
    Mail.expectNothingLeft(&world)
  }

  /// Several wait for the memory of another: each is told.
  @Test func allWhoWaitAreTold() throws {
    var world = try Mail.open { $0.messagePoolBytes = 1 << 17 }
    for _ in 0..<8 { _ = try world.first.connect(to: MailWorld.secondAddress, expecting: .anyone) }
    #expect(world.run(for: .seconds(2)) { $0.firstHandler.peers.count == 9 })
    _ = world.run(for: .milliseconds(500))
    let peers = world.firstHandler.peers
    world.forth.isDown = true
    #expect(fill(&world, peers[0], length: 10_000) > 10)
    for peer in peers.dropFirst() { #expect(world.first.send(peer, Mail.text(1, 60_000)) == .full) }
    // Who is told takes half of it, so that the next has to wait again.
    for peer in peers.dropFirst() { world.firstHandler.pending[peer] = Mail.text(2, 60_000) }
    _ = world.run(for: .milliseconds(1))
    world.forth.isDown = false
    let isDone = world.run(for: .seconds(60)) { $0.firstHandler.pending.isEmpty }
    #expect(isDone, "\(world.firstHandler.pending.count) are never told")
    _ = world.run(for: .seconds(5))
    #expect(world.secondHandler.texts.filter { $0 == Mail.text(2, 60_000) }.count == 8)
    Mail.expectNothingLeft(&world)
  }

  /// Memory that the program itself has kept: whoever waits is told without anything else that happens.
  @Test func whoWaitsForAReleaseIsTold() throws {
    var world = try Mail.open { ($0.messagePoolBytes, $0.keepAlive) = (1 << 17, 0) }
    let peer = try Mail.dialled(world)
    let stored = world.first.store(Mail.text(1, 100_000).raw)
    let handle = try #require(stored)
    #expect(world.first.send(peer, Mail.text(2, 90_000)) == .full)
    world.firstHandler.pending[peer] = Mail.text(2, 90_000)
    _ = world.run(for: .seconds(5))
    #expect(world.first.peers.flows.inUse == 0 && world.firstHandler.writables.isEmpty)
    world.first.release(handle)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.texts == [Mail.text(2, 90_000)] })
    Mail.expectNothingLeft(&world)
  }

  /// Of what waits the oldest gives way, or all but the newest.
  @Test func lanesThatAreNeverFull() throws {
    var world = try Mail.open {
      $0.lanes = [
        LaneConfiguration(maximumBytes: 5000, whenFull: .dropOldest),
        LaneConfiguration(isOrdered: false, whenFull: .keepLatest),
      ]
    }
    let peer = try Mail.dialled(world)
    world.forth.isDown = true
    for number in 0..<100 as Range<UInt8> {
      for lane in 0..<2 as Range<UInt8> {
        let options = MessageOptions(lane: Lane(rawValue: lane)!, token: 1 + UInt64(number) + 1000 * UInt64(lane))
        #expect(world.first.send(peer, Mail.text(number, 1000), options) == .queued)
      }
    }
    #expect(world.first.messageBytes(of: peer) == 6000)
    world.forth.isDown = false
    #expect(world.run(for: .seconds(5)) { $0.secondHandler.mail.count == 6 })
    _ = world.run(for: .seconds(1))
    #expect(world.secondHandler.mail.filter { $0.lane == 0 }.map(\.bytes) == (95..<100).map { Mail.text($0, 1000) })
    #expect(world.secondHandler.mail.filter { $0.lane == 1 }.map(\.bytes) == [Mail.text(99, 1000)])
    let outcomes = world.firstHandler.outcomes
    #expect(
      (0..<95).allSatisfy { outcomes[1 + $0] == .dropped }
        && (95..<100).allSatisfy { outcomes[1 + $0] == .acknowledged })
    #expect((0..<99).allSatisfy { outcomes[1001 + $0] == .dropped } && outcomes[1100] == .acknowledged)
    #expect(world.first.statistics.messagesGivenUp == 194 && world.firstHandler.writables.isEmpty)
    Mail.expectNothingLeft(&world)
  }

  // MARK: Outcomes

  @Test func outcomesAreTold() throws {
    var world = try Mail.open()
    let peer = try Mail.dialled(world)
    world.first.send(peer, [1], MessageOptions(token: 11))
    world.first.send(peer, Mail.text(2, 50_000), MessageOptions(lane: 1, token: 12))
    world.first.send(peer, [3])
    world.first.send(peer, [4], MessageOptions(until: world.now, token: 14))
    world.first.send(peer, [5], MessageOptions(lane: 1, isReliable: false, token: 15))
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.outcomes.count == 4 })
    _ = world.run(for: .seconds(1))
    #expect(
      world.firstHandler.outcomes == [11: .acknowledged, 12: .acknowledged, 14: .dropped, 15: .acknowledged])
    #expect(Set(world.secondHandler.firsts) == [1, 2, 3, 5])
    #expect(world.first.statistics.messagesQueued == 5 && world.second.statistics.messagesReceived == 4)
    Mail.expectNothingLeft(&world)
  }

  /// What is known when a connection finishes is told before; of what is not nobody is told.
  @Test func outcomesBeforeTheEnd() throws {
    var world = try Mail.open()
    let (dialled, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
    for token in 1...20 as ClosedRange<UInt64> {
      world.first.send(dialled, Mail.text(1, 3000), MessageOptions(token: token))
    }
    world.first.finish(dialled)
    world.second.finish(accepted)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.closed.count == 1 && $0.secondHandler.closed.count == 1 })
    #expect(world.firstHandler.closed[dialled] == .finished && world.firstHandler.outcomes.count == 20)
    #expect(world.firstHandler.outcomes.values.allSatisfy { $0 == .acknowledged })
    #expect(world.secondHandler.mail.count == 20)
    var other = try Mail.open()
    let peer = try Mail.dialled(other)
    other.forth.isDown = true
    other.first.send(peer, [1], MessageOptions(token: 1))
    _ = other.run(for: .milliseconds(10))
    other.first.close(peer, code: 1)
    _ = other.run(for: .seconds(1))
    #expect(other.firstHandler.outcomes.isEmpty && other.firstHandler.closed.count == 1)
    Mail.expectNothingLeft(&world)
    Mail.expectNothingLeft(&other)
  }

  @Test func storedMessagesAreKeptOnce() throws {
    var world = try Mail.open()
    let peer = try Mail.dialled(world)
    let stored = world.first.store(Mail.text(3, 10_000).raw)
    let handle = try #require(stored)
    #expect(world.first.messageBytesInUse == 10_240)
    for _ in 0..<50 { #expect(world.first.send(peer, handle, MessageOptions(lane: 1)) == .queued) }
    #expect(world.first.messageBytesInUse == 10_240 && world.first.messageBytes(of: peer) == 500_000)
    #expect(world.run(for: .seconds(5)) { $0.secondHandler.mail.count == 50 })
    #expect(world.secondHandler.texts.allSatisfy { $0 == Mail.text(3, 10_000) })
    _ = world.run(for: .seconds(1))
    #expect(world.first.messageBytesInUse == 10_240 && world.first.messageBytes(of: peer) == 0)
    world.first.release(handle)
    #expect(world.first.messageBytesInUse == 0)
    Mail.expectNothingLeft(&world)
  }
}

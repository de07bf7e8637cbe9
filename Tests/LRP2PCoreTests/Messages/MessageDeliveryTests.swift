// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Which messages are sent, sent again and handed over, and in which order.
@Suite struct MessageDeliveryTests {
  private static func link(delay: Nanoseconds = .milliseconds(20)) -> Link {
    var link = Link()
    link.delay = delay
    return link
  }

  /// What is sent now leaves, and is lost.
  private func lose(_ world: inout MailWorld) {
    world.forth.isDown = true
    _ = world.run(for: .microseconds(100))
    world.forth.isDown = false
  }

  // MARK: Order

  /// One that is lost holds up those behind it in its lane, and nothing else.
  @Test func anOrderedLaneWaitsForWhatIsLost() throws {
    var world = try Mail.open(link: Self.link()) {
      $0.lanes = [LaneConfiguration(), LaneConfiguration(isOrdered: false), LaneConfiguration()]
    }
    let peer = try Mail.dialled(world)
    world.first.send(peer, Mail.text(1, 500))
    lose(&world)
    for (number, lane) in [(2, 0), (3, 1), (4, 2), (5, 0), (6, 1), (7, 2)] as [(UInt8, UInt8)] {
      world.first.send(peer, Mail.text(number, 700), MessageOptions(lane: Lane(rawValue: lane)!))
      _ = world.run(for: .milliseconds(1))
    }
    world.first.offer(peer, upTo: 50_000)
    _ = world.run(for: .milliseconds(22))
    #expect(world.secondHandler.firsts == [3, 4, 6, 7])
    #expect(
      world.run(for: .seconds(2)) { $0.secondHandler.mail.count == 7 && $0.secondHandler.streamReceived == 50_000 })
    #expect(world.secondHandler.firsts == [3, 4, 6, 7, 1, 2, 5])
    #expect(world.secondHandler.mail.allSatisfy { $0.bytes == Mail.text($0.bytes[0], $0.bytes[0] == 1 ? 500 : 700) })
    Mail.expectNothingLeft(&world)
  }

  /// The same where what is missing is a part of one, and where what waits are messages in parts.
  @Test func anOrderedLaneWaitsForAPart() throws {
    var world = try Mail.open(link: Self.link())
    let peer = try Mail.dialled(world)
    world.first.send(peer, Mail.text(1, 3000))
    lose(&world)
    for number in 2...6 as ClosedRange<UInt8> { world.first.send(peer, Mail.text(number, number % 2 == 0 ? 4000 : 10)) }
    _ = world.run(for: .milliseconds(22))
    #expect(world.secondHandler.mail.isEmpty && Mail.inUse(world.second, "messages in part") > 0)
    #expect(world.run(for: .seconds(2)) { $0.secondHandler.mail.count == 6 })
    #expect(world.secondHandler.texts == [Mail.text(1, 3000)] + (2...6).map { Mail.text($0, $0 % 2 == 0 ? 4000 : 10) })
    Mail.expectNothingLeft(&world)
  }

  /// One that is given up holds up nobody any more: in one piece, and in several of which some have arrived.
  @Test(arguments: [100, 1200, 6000], [false, true]) func anOrderedLaneGoesOnBehindWhatIsGivenUp(
    length: Int, isDated: Bool
  )
    throws
  {
    var world = try Mail.open(link: Self.link())
    let peer = try Mail.dialled(world)
    let options =
      isDated
      ? MessageOptions(until: world.now + .milliseconds(30), token: 1) : MessageOptions(isReliable: false, token: 1)
    world.first.send(peer, Mail.text(1, length), options)
    lose(&world)
    world.first.send(peer, Mail.text(2, 10))
    #expect(world.run(for: .seconds(2)) { $0.secondHandler.firsts == [2] })
    _ = world.run(for: .seconds(2))
    #expect(world.secondHandler.firsts == [2] && world.firstHandler.outcomes == [1: .lost])
    world.first.send(peer, Mail.text(3, length))
    #expect(world.run(for: .seconds(2)) { $0.secondHandler.firsts == [2, 3] })
    Mail.expectNothingLeft(&world)
  }

  // MARK: Deadlines, and what is sent once

  @Test func whatIsLateIsNeverSent() throws {
    var world = try Mail.open()
    let peer = try Mail.dialled(world)
    let before = world.first.statistics.datagramsSent
    for (token, deadline) in [(1, 0), (2, world.now), (3, world.now - 1)] as [(UInt64, Instant)] {
      for lane in [0, 1] as [Lane] {
        let options = MessageOptions(lane: lane, until: deadline, token: 10 * UInt64(lane.rawValue) + token)
        #expect(world.first.send(peer, Mail.text(1, 3000), options) == .queued)
      }
    }
    _ = world.run(for: .milliseconds(100))
    #expect(world.first.statistics.datagramsSent == before && world.secondHandler.mail.isEmpty)
    #expect(world.firstHandler.outcomes.count == 6 && world.firstHandler.outcomes.values.allSatisfy { $0 == .dropped })
    Mail.expectNothingLeft(&world)
  }

  /// It waits for the path until it is too late.
  @Test func whatBecomesLateInItsQueueIsNotSent() throws {
    var link = Self.link()
    link.rate = 1_000_000
    var world = try Mail.open(link: link)
    let peer = try Mail.dialled(world)
    // Two seconds' worth.
    for token in 1...25 as ClosedRange<UInt64> {
      world.first.send(
        peer, Mail.text(UInt8(token), 10_000), MessageOptions(until: world.now + .milliseconds(500), token: token))
    }
    world.first.send(peer, Mail.text(99, 10))
    #expect(world.run(for: .seconds(10)) { $0.firstHandler.outcomes.count == 25 && $0.secondHandler.firsts.last == 99 })
    let outcomes = world.firstHandler.outcomes
    let arrived = world.secondHandler.firsts.dropLast()
    #expect(arrived.count > 2 && arrived.count < 12 && Array(arrived) == arrived.sorted())
    for token in 1...25 as ClosedRange<UInt64> {
      #expect(outcomes[token] == .acknowledged || !arrived.contains(UInt8(token)) || outcomes[token] == .lost)
    }
    #expect(outcomes.values.filter { $0 == .dropped }.count > 10)
    // Of one only a part had left.
    #expect(outcomes.values.filter { $0 == .lost }.count <= 1)
    Mail.expectNothingLeft(&world)
  }

  /// It is lost, and by the time that this is known it is too late: neither a probe nor a retransmission carries it.
  @Test(arguments: [0, 1] as [UInt8], [100, 5000]) func whatIsLateIsNotSentAgain(lane: UInt8, length: Int) throws {
    var world = try Mail.open(link: Self.link())
    let peer = try Mail.dialled(world)
    world.first.send(
      peer, Mail.text(1, length),
      MessageOptions(lane: Lane(rawValue: lane)!, until: world.now + .milliseconds(1), token: 1))
    lose(&world)
    _ = world.run(for: .seconds(5))
    #expect(world.secondHandler.mail.isEmpty && world.firstHandler.outcomes == [1: .lost])
    #expect(world.first.messageBytes(of: peer) == 0)
    Mail.expectNothingLeft(&world)
  }

  /// One that is not reliable leaves once at most, with something behind it and without.
  @Test(arguments: [0, 1] as [UInt8], [100, 5000]) func whatIsUnreliableLeavesOnce(lane: UInt8, length: Int) throws {
    for isFollowed in [false, true] {
      var world = try Mail.open(link: Self.link())
      let peer = try Mail.dialled(world)
      world.first.send(
        peer, Mail.text(1, length), MessageOptions(lane: Lane(rawValue: lane)!, isReliable: false, token: 1))
      lose(&world)
      if isFollowed { world.first.offer(peer, upTo: 100_000) }
      _ = world.run(for: .seconds(5))
      #expect(world.secondHandler.mail.isEmpty && world.firstHandler.outcomes == [1: .lost])
      #expect(world.secondHandler.streamReceived == (isFollowed ? 100_000 : 0))
      Mail.expectNothingLeft(&world)
    }
  }

  /// The end of the stream is repeated in case it is lost; messages that leave once are not.
  @Test func theEndRepeatsNoMessages() throws {
    var world = try Mail.open(link: Self.link())
    let peer = try Mail.dialled(world)
    world.first.offer(peer, upTo: 200_000)
    _ = world.run(for: .seconds(2))
    world.first.send(peer, Mail.text(1, 900), MessageOptions(isReliable: false, token: 1))
    lose(&world)
    world.first.finish(peer)
    _ = world.run(for: .seconds(5))
    #expect(world.secondHandler.mail.isEmpty && world.secondHandler.isFinished)
    Mail.expectNothingLeft(&world)
  }

  /// On a path that has become narrower, too.
  @Test func whatIsLateIsNotSentInPieces() throws {
    var world = try Mail.open(link: Self.link())
    let peer = try Mail.dialled(world)
    world.first.offer(peer, upTo: 1_000_000)
    _ = world.run(for: .seconds(20))
    world.first.send(
      peer, Mail.text(1, 1300), MessageOptions(until: world.now + .milliseconds(5), token: 1))
    world.first.send(peer, Mail.text(2, 1300), MessageOptions(lane: 1, isReliable: false, token: 2))
    world.first.send(peer, Mail.text(3, 1300))
    lose(&world)
    world.forth.largestDatagram = 1220
    #expect(world.run(for: .seconds(60)) { $0.secondHandler.mail.count == 1 && $0.firstHandler.outcomes.count == 2 })
    _ = world.run(for: .seconds(5))
    #expect(world.secondHandler.texts == [Mail.text(3, 1300)])
    #expect(world.firstHandler.outcomes == [1: .lost, 2: .lost])
    Mail.expectNothingLeft(&world)
  }

  /// Messages in fragments that are given up are forgotten by the receiver, even where much waits in their lane.
  @Test func partsOfWhatIsGivenUpAreForgotten() throws {
    var link = Self.link(delay: .milliseconds(10))
    link.rate = 4_000_000
    link.loss = 0.05
    var world = try Mail.open(link: link) { $0.lanes = [LaneConfiguration(isOrdered: false, maximumBytes: 1 << 22)] }
    let peer = try Mail.dialled(world)
    for number in 0..<800 {
      world.first.send(peer, Mail.text(UInt8(number % 256), 5000), MessageOptions(isReliable: false))
    }
    var most = 0
    for _ in 0..<400 {
      _ = world.run(for: .milliseconds(50))
      most = max(most, Mail.inUse(world.second, "messages in part"))
    }
    #expect(world.first.messageBytes(of: peer) == 0 && most < 40, "\(most) in part")
    #expect(world.secondHandler.mail.count > 600, "\(world.secondHandler.mail.count) of 800")
    #expect(Mail.inUse(world.second, "messages in part") == 0)
    Mail.expectNothingLeft(&world)
  }

  // MARK: The newest only

  /// Of what waits only the newest leaves; what was lost is sent again unless there is a newer one.
  @Test(arguments: [100, 1150, 5000]) func onlyTheNewestIsSentAgain(length: Int) throws {
    var world = try Mail.open(link: Self.link()) {
      $0.lanes = [LaneConfiguration(isOrdered: false, whenFull: .keepLatest)]
    }
    let peer = try Mail.dialled(world)
    for number in 1...5 as ClosedRange<UInt8> {
      world.first.send(peer, Mail.text(number, length), MessageOptions(token: UInt64(number)))
      lose(&world)
    }
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.outcomes.count == 5 })
    #expect(world.secondHandler.texts == [Mail.text(5, length)])
    #expect(world.firstHandler.outcomes[5] == .acknowledged)
    #expect((1...4).allSatisfy { world.firstHandler.outcomes[$0] != .acknowledged })
    Mail.expectNothingLeft(&world)
  }

  // MARK: Ends

  /// A callback closes while others of the same segment, and early ones, wait: nothing follows, and nothing is left.
  @Test(arguments: 1...6 as ClosedRange<UInt8>) func nothingFollowsAClose(number: UInt8) throws {
    var world = try Mail.open(link: Self.link())
    let peer = try Mail.dialled(world)
    world.secondHandler.closesOn = number
    world.first.send(peer, Mail.text(1, 500))
    lose(&world)
    // Early ones, in order and not, and in parts, in one segment and in several.
    for number in 2...4 as ClosedRange<UInt8> {
      world.first.send(peer, Mail.text(number, 200), MessageOptions(lane: number == 3 ? 1 : 0))
    }
    world.first.send(peer, Mail.text(5, 2000))
    world.first.send(peer, Mail.text(6, 2000), MessageOptions(lane: 1))
    _ = world.run(for: .seconds(1))
    #expect(world.secondHandler.closed.values.first == .local(code: 5))
    #expect(world.secondHandler.firsts.last == number && world.secondHandler.violations == 0)
    #expect(world.second.statistics.poolBytesInUse == 0)
    Mail.expectNothingLeft(&world)
  }

  /// A connection that ends before its reader has had everything keeps what is unread of the stream, and nothing of messages.
  @Test func aConnectionThatDrainsKeepsNoMessages() throws {
    var world = try Mail.open(link: Self.link())
    let (dialled, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
    let group = world.second.makeGroup(lane: 1)
    #expect(world.second.join(accepted, group) == .done)
    world.second.pause(accepted)
    world.first.offer(dialled, upTo: 5000)
    _ = world.run(for: .milliseconds(200))
    world.back.isDown = true
    for number in 0..<50 as Range<UInt8> {
      world.second.send(
        accepted, Mail.text(number, 100 + 100 * Int(number)), MessageOptions(lane: number % 2 == 0 ? 0 : 1))
      world.second.publish(Mail.text(number, 100), to: group)
    }
    _ = world.run(for: .milliseconds(1))
    world.first.close(dialled, code: 3)
    _ = world.run(for: .milliseconds(100))
    #expect(world.secondHandler.drainings == 1 && world.secondHandler.closed.isEmpty)
    #expect(world.second.messageBytesInUse == 0 && world.second.memberCount(of: group) == 0)
    for name in ["messages", "message queues", "outboxes", "lanes", "memberships"] {
      #expect(Mail.inUse(world.second, name) == 0, "\(name)")
    }
    world.second.resume(accepted)
    _ = world.run(for: .seconds(1))
    #expect(world.secondHandler.streamReceived == 5000 && world.secondHandler.closed.count == 1)
    Mail.expectNothingLeft(&world)
  }
}

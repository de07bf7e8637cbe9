// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Messages and datagrams: how many of them one takes, on paths whose size changes, and behind a rest.
@Suite struct MessagePathTests {
  /// Nodes that a message takes once it has left: one, or one for each part and one for the whole.
  private func nodes(_ world: inout MailWorld, _ peer: Peer, length: Int, isOrdered: Bool) -> Int {
    #expect(world.first.send(peer, Mail.text(1, length), MessageOptions(lane: isOrdered ? 0 : 1)) == .queued)
    _ = world.run(for: .microseconds(100))
    return Mail.inUse(world.first, "message queues")
  }

  /// It is as long as one datagram carries on the path at present, whether an ACK is owed or not, and no longer by more than a head.
  @Test(arguments: [1200, 1400, 1500, 9000], [false, true]) func whatOneDatagramCarries(path: Int, isOrdered: Bool)
    throws
  {
    var link = Link()
    link.largestDatagram = path
    var world = try Mail.open(link: link) { $0.maximumDatagram = 9000 }
    let (peer, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
    // The path's size is looked for.
    world.first.offer(peer, upTo: 3_000_000)
    world.second.offer(accepted, upTo: 3_000_000)
    _ = world.run(for: .seconds(60))
    let longest = world.first.maximumMessageWithoutFragments(of: peer)
    #expect(longest > path - 200 && longest < path - 38, "\(longest) on a path of \(path)")
    world.first.ping(peer, token: 1)
    _ = world.run(for: .milliseconds(100))
    #expect(world.first.maximumMessageWithoutFragments(of: peer) == longest)
    #expect(nodes(&world, peer, length: longest, isOrdered: isOrdered) == 1)
    _ = world.run(for: .seconds(1))
    #expect(nodes(&world, peer, length: longest + 20, isOrdered: isOrdered) == 3)
    _ = world.run(for: .seconds(1))
    // The peer has just sent something, which an ACK is owed for.
    world.second.send(accepted, [1])
    _ = world.run(for: .milliseconds(6))
    #expect(world.firstHandler.mail.count == 1)
    #expect(nodes(&world, peer, length: longest, isOrdered: isOrdered) == 1)
    _ = world.run(for: .seconds(1))
    #expect(world.secondHandler.mail.count == 3)
    Mail.expectNothingLeft(&world)
  }

  @Test func aPathThatShrinksIsFollowed() throws {
    var world = try Mail.open()
    let peer = try Mail.dialled(world)
    world.first.offer(peer, upTo: 1_000_000)
    _ = world.run(for: .seconds(20))
    let before = world.first.maximumMessageWithoutFragments(of: peer)
    world.forth.largestDatagram = 1250
    world.first.offer(peer, upTo: 3_000_000)
    #expect(world.run(for: .seconds(120)) { $0.secondHandler.streamReceived == 3_000_000 })
    let after = world.first.maximumMessageWithoutFragments(of: peer)
    #expect(before > 1300 && after < 1250 && after > 1100, "\(before), then \(after)")
    #expect(nodes(&world, peer, length: after, isOrdered: true) == 1)
  }

  /// Segments that were made for a longer path go in pieces, whatever is lost on the way, and however the path changes.
  @Test(arguments: 1...12) func segmentsGoInPiecesWhereThePathShrinks(seed: UInt64) throws {
    var link = Link()
    link.rate = 5_000_000
    link.loss = seed % 3 == 0 ? 0.05 : 0
    var world = try Mail.open(seed: seed, link: link)
    let peer = try Mail.dialled(world)
    world.first.offer(peer, upTo: 500_000)
    _ = world.run(for: .seconds(20))
    for number in 0..<60 as Range<UInt8> {
      let options = MessageOptions(
        lane: number % 2 == 0 ? 0 : 1, until: number % 5 == 4 ? world.now + .milliseconds(300) : .never,
        isReliable: number % 7 != 6)
      world.first.send(peer, Mail.text(number, 300 + 150 * Int(number)), options)
    }
    // Some are under way, and lost, when the path becomes narrower; and it changes again and again.
    _ = world.run(for: .milliseconds(20))
    for round in 0..<12 {
      world.forth.largestDatagram = round % 2 == 0 ? 1220 : 1400
      world.back.largestDatagram = world.forth.largestDatagram
      _ = world.run(for: .milliseconds(seed % 2 == 0 ? 700 : 4000))
    }
    world.forth.largestDatagram = 1220
    let isDone = world.run(for: .seconds(200)) { $0.first.messageBytes(of: peer) == 0 }
    #expect(isDone)
    let reliable = (0..<60 as Range<UInt8>).filter { $0 % 5 != 4 && $0 % 7 != 6 }
    let missing = Set(reliable).subtracting(world.secondHandler.firsts)
    #expect(missing.isEmpty, "\(missing)")
    for mail in world.secondHandler.mail {
      #expect(mail.bytes == Mail.text(mail.bytes[0], 300 + 150 * Int(mail.bytes[0])))
    }
    let ordered = world.secondHandler.mail.filter { $0.lane == 0 }.map { $0.bytes[0] }
    #expect(ordered == ordered.sorted() && Set(world.secondHandler.firsts).count == world.secondHandler.mail.count)
    #expect(world.second.statistics.malformed == 0)
    Mail.expectNothingLeft(&world)
  }

  // MARK: Rest

  private func rest(_ world: inout MailWorld) {
    _ = world.run(for: .seconds(5))
    #expect(world.first.peers.flows.inUse == 0 && world.second.peers.flows.inUse == 0, "both rest")
  }

  @Test func aMessageWakesAConnectionThatRests() throws {
    var world = try Mail.open()
    let (dialled, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
    let longest = world.first.maximumMessageWithoutFragments(of: dialled)
    rest(&world)
    #expect(longest > 1000 && world.first.maximumMessageWithoutFragments(of: dialled) == longest)
    for round in 0..<5 as Range<UInt8> {
      // Numbers of lanes go on, and messages in fragments do too.
      world.first.send(dialled, Mail.text(2 * round, 100))
      world.first.send(dialled, Mail.text(2 * round + 1, 5000), MessageOptions(lane: round % 2 == 0 ? 0 : 1))
      world.second.send(accepted, [round])
      _ = world.run(for: .milliseconds(200))
      #expect(world.secondHandler.mail.count == 2 * Int(round) + 2 && world.firstHandler.mail.count == Int(round) + 1)
      rest(&world)
    }
    #expect(world.secondHandler.firsts == Array(0..<10) && world.firstHandler.firsts == Array(0..<5))
    #expect(Mail.inUse(world.first, "outboxes") == 0 && Mail.inUse(world.second, "outboxes") == 0)
    Mail.expectNothingLeft(&world)
  }

  @Test func oneThatEndsAtRestLeavesNothing() throws {
    var world = try Mail.open { ($0.keepAlive, $0.idleTimeout) = (0, .seconds(30)) }
    let dialled = try Mail.dialled(world)
    world.first.send(dialled, Mail.text(1, 3000))
    let group = world.first.makeGroup()
    #expect(world.first.join(dialled, group) == .done)
    rest(&world)
    #expect(Mail.inUse(world.first, "lanes") == 1 && Mail.inUse(world.second, "lanes") == 1)
    _ = world.run(for: .seconds(60))
    #expect(world.firstHandler.closed[dialled] == .idleTimeout && world.first.memberCount(of: group) == 0)
    Mail.expectNothingLeft(&world)
  }

  @Test func aPublishWakesMembersThatRest() throws {
    var world = try Mail.open()
    let dialled = try Mail.dialled(world)
    let group = world.first.makeGroup(lane: 1)
    #expect(world.first.join(dialled, group) == .done)
    rest(&world)
    #expect(world.first.publish([9], to: group) == .queued(members: 1, skipped: 0))
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.mail == [Mailbox.Mail(lane: 1, bytes: [9])] })
  }
}

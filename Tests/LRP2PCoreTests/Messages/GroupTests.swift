// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// One host that publishes, and others that are members of its groups.
@Suite struct GroupTests {
  /// Host 0 publishes; the others have dialled it, each over links of its own.
  private struct Star: ~Copyable {
    var network: SimulatedNetwork<Mailbox>
    /// The members, as host 0 knows them: of host 1 first.
    var members: [Peer] = []
    var group = PeerGroup(row: .max, generation: 0)

    init(members count: Int, link: Link = Link(), _ configure: (inout EngineConfiguration) -> Void = { _ in }) throws {
      network = SimulatedNetwork(seed: 5)
      var configuration = EngineConfiguration()
      configure(&configuration)
      let hub = Address(ipv4: 0x0A00_0001, port: 1)
      network.addHost(Mailbox(), at: hub, configuration: configuration)
      for host in 1...count {
        network.addHost(Mailbox(), at: Address(ipv4: 0x0A00_0100 + UInt32(host), port: 1), configuration: configuration)
        network.route(from: 0, to: host, over: network.addLink(link))
        network.route(from: host, to: 0, over: network.addLink(link))
        _ = try network.hosts[host].engine.connect(to: hub, expecting: .anyone)
        let isOpen = network.run(for: .seconds(5)) { $0.hosts[0].handler.peers.count == host }
        #expect(isOpen)
      }
      network.run(for: .milliseconds(500))
      members = network.hosts[0].handler.peers
    }

    func mail(_ host: Int) -> [[UInt8]] { network.hosts[host].handler.texts }

    /// Whether nothing passes from host 0 to another.
    mutating func setDown(_ host: Int, _ isDown: Bool) {
      let link = network.link(from: 0, to: host)!
      network[link: link].isDown = isDown
    }

    mutating func expectNothingLeft(_ location: SourceLocation = #_sourceLocation) {
      for host in 0..<network.hostCount {
        for peer in network.hosts[host].handler.peers { network.hosts[host].engine.close(peer, code: 1) }
      }
      network.run(for: .seconds(120))
      for host in 0..<network.hostCount {
        let left = network.hosts[host].engine.tables.filter { $0.inUse != 0 }.map { "\($0.inUse) \($0.name)" }
        #expect(left.isEmpty && network.hosts[host].engine.messageBytesInUse == 0, sourceLocation: location)
        #expect(network.hosts[host].handler.violations == 0, sourceLocation: location)
      }
    }
  }

  // MARK: Members

  @Test func allMembersGetIt() throws {
    var star = try Star(members: 5)
    let group = star.network.hosts[0].engine.makeGroup()
    let other = star.network.hosts[0].engine.makeGroup(lane: 1)
    for (index, member) in star.members.enumerated() {
      #expect(star.network.hosts[0].engine.join(member, group) == .done)
      if index % 2 == 0 { #expect(star.network.hosts[0].engine.join(member, other) == .done) }
    }
    // A second time changes nothing.
    #expect(star.network.hosts[0].engine.join(star.members[0], group) == .done)
    #expect(star.network.hosts[0].engine.memberCount(of: group) == 5)
    #expect(star.network.hosts[0].engine.memberCount(of: other) == 3)
    #expect(star.network.hosts[0].engine.publish([1], to: group) == .queued(members: 5, skipped: 0))
    #expect(star.network.hosts[0].engine.publish([2], to: other) == .queued(members: 3, skipped: 0))
    star.network.run(for: .seconds(1))
    for host in 1...5 {
      let expected: [[UInt8]] = host % 2 == 1 ? [[1], [2]] : [[1]]
      #expect(star.mail(host).sorted { $0[0] < $1[0] } == expected)
    }
    #expect(star.network.hosts[0].engine.leave(star.members[1], group) == .done)
    #expect(star.network.hosts[0].engine.leave(star.members[1], group) == .refused)
    #expect(star.network.hosts[0].engine.publish([3], to: group) == .queued(members: 4, skipped: 0))
    star.network.run(for: .seconds(1))
    #expect(star.mail(2) == [[1]] && star.mail(4).last == [3])
    #expect(star.network.hosts[0].engine.statistics.messagesPublished == 3)
    star.expectNothingLeft()
  }

  @Test func aGroupThatThereIsNot() throws {
    var star = try Star(members: 2)
    let group = star.network.hosts[0].engine.makeGroup()
    let noLane = star.network.hosts[0].engine.makeGroup(lane: 7)
    let (member, other) = (star.members[0], star.members[1])
    #expect(star.network.hosts[0].engine.join(member, noLane) == .refused)
    #expect(star.network.hosts[0].engine.leave(member, group) == .refused)
    #expect(star.network.hosts[0].engine.join(member, group) == .done)
    #expect(star.network.hosts[0].engine.join(other, group) == .done)
    // What was published is still sent.
    #expect(star.network.hosts[0].engine.publish(Mail.text(1, 5000), to: group) == .queued(members: 2, skipped: 0))
    star.network.hosts[0].engine.removeGroup(group)
    star.network.hosts[0].engine.removeGroup(group)
    #expect(star.network.hosts[0].engine.publish([2], to: group) == .ended)
    #expect(star.network.hosts[0].engine.join(member, group) == .refused)
    #expect(star.network.hosts[0].engine.leave(member, group) == .refused)
    #expect(star.network.hosts[0].engine.memberCount(of: group) == 0)
    let next = star.network.hosts[0].engine.makeGroup()
    #expect(next != group && star.network.hosts[0].engine.memberCount(of: next) == 0)
    star.network.run(for: .seconds(1))
    #expect(star.mail(1) == [Mail.text(1, 5000)] && star.mail(2) == [Mail.text(1, 5000)])
    // A stored message that is void.
    let stored = star.network.hosts[0].engine.store([1].raw)
    let handle = try #require(stored)
    star.network.hosts[0].engine.release(handle)
    #expect(star.network.hosts[0].engine.publish(handle, to: next) == .ended)
    star.network.hosts[0].engine.close(member, code: 1)
    #expect(star.network.hosts[0].engine.join(member, next) == .ended)
    star.network.run(for: .seconds(1))
    #expect(star.network.hosts[0].engine.join(member, next) == .ended)
    #expect(star.network.hosts[0].engine.leave(member, next) == .ended)
    star.expectNothingLeft()
  }

  /// Whatever ends it, and with messages on their way.
  @Test func whoseConnectionEndsLeavesByItself() throws {
    var star = try Star(members: 4) { $0.idleTimeout = .seconds(20) }
    let group = star.network.hosts[0].engine.makeGroup(lane: 1)
    let other = star.network.hosts[0].engine.makeGroup()
    for member in star.members {
      star.network.hosts[0].engine.join(member, group)
      star.network.hosts[0].engine.join(member, other)
    }
    star.setDown(2, true)
    for number in 0..<10 as Range<UInt8> {
      star.network.hosts[0].engine.publish(Mail.text(number, 4000), to: group)
      star.network.hosts[0].engine.publish(Mail.text(number, 40), to: other)
    }
    // By us, by the peer, and by silence.
    star.network.hosts[0].engine.close(star.members[0], code: 1)
    star.network.hosts[3].engine.close(star.network.hosts[3].handler.peers[0], code: 2)
    star.network.run(for: .seconds(1))
    #expect(star.network.hosts[0].engine.memberCount(of: group) == 2)
    star.network[link: star.network.link(from: 2, to: 0)!].isDown = true
    star.network.run(for: .seconds(60))
    #expect(star.network.hosts[0].engine.memberCount(of: group) == 1)
    #expect(star.network.hosts[0].engine.memberCount(of: other) == 1)
    #expect(star.mail(4).count == 20 && star.network.hosts[0].engine.messageBytesInUse == 0)
    #expect(star.network.hosts[0].engine.publish([1], to: group) == .queued(members: 1, skipped: 0))
    star.expectNothingLeft()
  }

  /// However many members there are.
  @Test func bytesAreKeptOnce() throws {
    var star = try Star(members: 6)
    let group = star.network.hosts[0].engine.makeGroup()
    for member in star.members { star.network.hosts[0].engine.join(member, group) }
    star.setDown(6, true)
    let message = Mail.text(1, 10_000)
    #expect(star.network.hosts[0].engine.publish(message, to: group) == .queued(members: 6, skipped: 0))
    #expect(star.network.hosts[0].engine.messageBytesInUse == 10_240)
    star.network.run(for: .milliseconds(300))
    // The last that does not have it keeps it.
    #expect((1...5).allSatisfy { star.mail($0) == [message] } && star.mail(6).isEmpty)
    #expect(star.network.hosts[0].engine.messageBytesInUse == 10_240)
    star.setDown(6, false)
    star.network.run(for: .seconds(3))
    #expect(star.mail(6) == [message] && star.network.hosts[0].engine.messageBytesInUse == 0)
    // One that nobody gets is kept by nobody.
    let empty = star.network.hosts[0].engine.makeGroup()
    #expect(star.network.hosts[0].engine.publish(message, to: empty) == .queued(members: 0, skipped: 0))
    #expect(star.network.hosts[0].engine.messageBytesInUse == 0)
    // One that the program keeps as well.
    let stored = star.network.hosts[0].engine.store(message.raw)
    let handle = try #require(stored)
    #expect(star.network.hosts[0].engine.publish(handle, to: group) == .queued(members: 6, skipped: 0))
    star.network.run(for: .seconds(1))
    #expect((1...6).allSatisfy { star.mail($0) == [message, message] })
    #expect(star.network.hosts[0].engine.messageBytesInUse == 10_240)
    star.network.hosts[0].engine.release(handle)
    #expect(star.network.hosts[0].engine.messageBytesInUse == 0)
    star.expectNothingLeft()
  }

  /// One that takes no messages as long is left out.
  @Test func tooLongForAMember() throws {
    var star = try Star(members: 1) { $0.maximumMessage = 2000 }
    let group = star.network.hosts[0].engine.makeGroup()
    star.network.hosts[0].engine.join(star.members[0], group)
    #expect(star.network.hosts[0].engine.publish(Mail.text(1, 2001), to: group) == .queued(members: 0, skipped: 1))
    star.network.hosts[0].engine.finish(star.members[0])
    #expect(star.network.hosts[0].engine.publish([1], to: group) == .queued(members: 0, skipped: 1))
    #expect(star.network.hosts[0].engine.messageBytesInUse == 0)
    star.expectNothingLeft()
  }

  // MARK: Policies

  /// A star of three, of whom the last hears nothing for a while, and a group of them.
  private static func slow(_ policy: GroupPolicy, lane: Lane, maximumBytes: Int = 10_000) throws -> (Star) {
    var star = try Star(members: 3)
    star.group = star.network.hosts[0].engine.makeGroup(lane: lane, policy: policy, maximumBytes: maximumBytes)
    for member in star.members { star.network.hosts[0].engine.join(member, star.group) }
    star.setDown(3, true)
    return star
  }

  /// Publishes so many, a while apart.
  private func publish(_ star: inout Star, _ numbers: Range<UInt8>, length: Int) -> [PublishResult] {
    var results: [PublishResult] = []
    for number in numbers {
      results.append(star.network.hosts[0].engine.publish(Mail.text(number, length), to: star.group))
      star.network.run(for: .milliseconds(12))
    }
    return results
  }

  private static let all = PublishResult.queued(members: 3, skipped: 0)

  @Test(arguments: [0, 1] as [Lane]) func keepPace(lane: Lane) throws {
    var star = try Self.slow(.keepPace, lane: lane)
    let results = publish(&star, 0..<20, length: 1000)
    #expect(results == Array(repeating: Self.all, count: 10) + Array(repeating: .full, count: 10))
    #expect(
      star.mail(1).count == 10 && star.mail(2).count == 10 && star.network.hosts[0].handler.groupWritables.isEmpty)
    star.setDown(3, false)
    star.network.run(for: .seconds(5))
    #expect(star.network.hosts[0].handler.groupWritables == [star.group])
    #expect((1...3).allSatisfy { star.mail($0).count == 10 })
    #expect(publish(&star, 20..<22, length: 1000) == [Self.all, Self.all])
    // The slow one leaves, and nobody has to wait for it.
    star.setDown(3, true)
    #expect(publish(&star, 30..<42, length: 1000).last == .full)
    star.network.hosts[0].engine.leave(star.members[2], star.group)
    star.network.run(for: .seconds(20))
    #expect(star.network.hosts[0].handler.groupWritables == [star.group, star.group])
    #expect(star.network.hosts[0].engine.publish([1], to: star.group) == .queued(members: 2, skipped: 0))
    star.expectNothingLeft()
  }

  /// The slow one gets the newest that fit its bound, and what had left; the others get all.
  @Test(arguments: [0, 1] as [Lane]) func dropOldest(lane: Lane) throws {
    var star = try Self.slow(.dropOldest, lane: lane)
    let results = publish(&star, 0..<100, length: 1000)
    let skipped = results.filter { $0 == .queued(members: 2, skipped: 1) }.count
    #expect(results.allSatisfy { $0 == Self.all || $0 == .queued(members: 2, skipped: 1) })
    #expect((1...2).allSatisfy { star.mail($0) == (0..<100).map { Mail.text($0, 1000) } })
    #expect(star.network.hosts[0].engine.messageBytes(of: star.members[2]) <= 10_000)
    star.setDown(3, false)
    star.network.run(for: .seconds(20))
    let slow = star.mail(3).map { $0[0] }
    // All of its bytes may have been under way.
    #expect(slow.count <= 10 && slow.count >= 5 && (skipped > 0 || slow.last == 99), "\(slow), \(skipped) skipped")
    #expect(slow == slow.sorted() || lane != 0)
    #expect(publish(&star, 100..<101, length: 1000) == [Self.all])
    star.network.run(for: .seconds(1))
    #expect(star.network.hosts[0].engine.messageBytesInUse == 0)
    star.expectNothingLeft()
  }

  /// Each gets the newest, late or not; one that is lost is sent again until there is a newer one, in parts too.
  @Test(arguments: [0, 1] as [Lane], [100, 3000]) func keepLatest(lane: Lane, length: Int) throws {
    var star = try Self.slow(.keepLatest, lane: lane, maximumBytes: 1 << 20)
    #expect(publish(&star, 0..<50, length: length).allSatisfy { $0 == Self.all })
    #expect((1...2).allSatisfy { star.mail($0) == (0..<50).map { Mail.text($0, length) } })
    star.setDown(3, false)
    star.network.run(for: .seconds(20))
    #expect(star.mail(3) == [Mail.text(49, length)])
    #expect(star.network.hosts[0].engine.messageBytesInUse == 0)
    star.expectNothingLeft()
  }

  @Test func close() throws {
    var star = try Self.slow(.close(77), lane: 0)
    let results = publish(&star, 0..<20, length: 1000)
    #expect(results[9] == Self.all && results[10] == .queued(members: 2, skipped: 1))
    #expect(
      results.last == .queued(members: 2, skipped: 0) && star.network.hosts[0].engine.memberCount(of: star.group) == 2)
    #expect(star.network.hosts[0].handler.closed == [star.members[2]: .local(code: 77)])
    star.setDown(3, false)
    star.network.run(for: .seconds(20))
    #expect((1...2).allSatisfy { star.mail($0).count == 20 })
    #expect(star.network.hosts[0].engine.messageBytesInUse == 0)
    star.expectNothingLeft()
  }

  /// Deadlines and single sending are the publish's.
  @Test func publishedOnceAndInTime() throws {
    var star = try Self.slow(.dropOldest, lane: 0)
    let (now, group) = (star.network.now, star.group)
    star.network.hosts[0].engine.publish([1], to: group, until: now)
    star.network.hosts[0].engine.publish([2], to: group, until: now + .milliseconds(50))
    star.network.hosts[0].engine.publish([3], to: group, isReliable: false)
    star.network.hosts[0].engine.publish([4], to: group)
    star.network.run(for: .milliseconds(100))
    star.setDown(3, false)
    star.network.run(for: .seconds(10))
    #expect(star.mail(1) == [[2], [3], [4]] && star.mail(2) == [[2], [3], [4]] && star.mail(3) == [[4]])
    star.expectNothingLeft()
  }

  /// The bytes that a connection may have count for what is published as well.
  @Test func theBoundOfAConnection() throws {
    var star = try Star(members: 1) { $0.messagePeerBytes = 1 << 16 }
    let member = star.members[0]
    let groups = (0..<12).map { _ in star.network.hosts[0].engine.makeGroup(maximumBytes: 1 << 20) }
    for group in groups { star.network.hosts[0].engine.join(member, group) }
    star.setDown(1, true)
    for _ in 0..<10 {
      for group in groups { star.network.hosts[0].engine.publish(Mail.text(1, 8000), to: group) }
      #expect(star.network.hosts[0].engine.messageBytes(of: member) <= 1 << 16)
    }
    star.expectNothingLeft()
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A host with several addresses: what it is asked at one of them it answers from there. The core sees numbers only.
@Suite struct OwnAddressTests {
  typealias StreamWorld = World<StreamHandler>

  private struct Sent {
    var bytes: [UInt8]
    var address: Address
    var local: UInt8 { address.local }
  }

  /// Two engines whose datagrams this test carries.
  private struct Hosts: ~Copyable {
    var world: StreamWorld
    var dialler: StreamHandler
    var listener: StreamHandler
    var now: Instant = .seconds(1)

    init(configure: (inout EngineConfiguration) -> Void = { _ in }) throws {
      world = LifecycleTests.world(link: Link(), sends: nil, configure: configure)
      (dialler, listener) = (world.firstHandler, world.secondHandler)
      _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    }

    /// Where the listener is heard, and where the dialler.
    var heard: [UInt8] { (1...255).filter { world.second.isHeard(at: $0) } }
    var diallerHeard: [UInt8] { (1...255).filter { world.first.isHeard(at: $0) } }

    /// Whether the listener has nothing to send.
    var isQuiet: Bool { !world.second.hasReadyPeers }

    mutating func fromDialler() -> [Sent] { Self.compose(&world.first, &dialler, now) }
    mutating func fromListener() -> [Sent] { Self.compose(&world.second, &listener, now) }

    mutating func toListener(_ sent: [Sent], at local: UInt8, from address: Address = StreamWorld.firstAddress) {
      Self.receive(sent, from: address, local, &world.second, &listener, now)
    }

    mutating func toDialler(_ sent: [Sent], at local: UInt8) {
      Self.receive(sent, from: StreamWorld.secondAddress, local, &world.first, &dialler, now)
    }

    /// Both have their keys; the listener is heard at `local`.
    mutating func open(at local: UInt8) throws -> (dialled: Peer, accepted: Peer) {
      toListener(fromDialler(), at: local)
      toDialler(fromListener(), at: 9)
      toListener(fromDialler(), at: local)
      toDialler(fromListener(), at: 9)
      return (try LifecycleTests.only(dialler), try LifecycleTests.only(listener))
    }

    private static func compose(_ engine: inout Engine, _ handler: inout StreamHandler, _ now: Instant) -> [Sent] {
      var batch = DatagramBatch(messages: 64, messageCapacity: 4000)
      engine.transmit(into: &batch, now: now, handler: &handler)
      return (0..<batch.count).map { index in
        let message = batch.messages[index]
        let bytes = batch.arena.bytes(message.offset, message.length)
        return Sent(bytes: (0..<message.length).map { bytes.byte($0) }, address: message.address)
      }
    }

    private static func receive(
      _ sent: [Sent], from address: Address, _ local: UInt8, _ engine: inout Engine, _ handler: inout StreamHandler,
      _ now: Instant
    ) {
      for datagram in sent {
        var batch = DatagramBatch(messages: 1, messageCapacity: 4096)
        batch.messages[0].address = address
        batch.messages[0].address.local = local
        batch.messages[0].length = datagram.bytes.count
        batch.messages[0].segmentSize = datagram.bytes.count
        batch.count = 1
        var bytes = batch.arena.mutableBytes(0, datagram.bytes.count)
        for (index, byte) in datagram.bytes.enumerated() { bytes.setByte(index, byte) }
        engine.receive(&batch, now: now, handler: &handler)
      }
    }
  }

  @Test func theHandshakeIsAnsweredFromWhereItCame() throws {
    var hosts = try Hosts()
    let message1 = hosts.fromDialler()
    #expect(message1.map(\.local) == [0])
    hosts.toListener(message1, at: 3)
    let message2 = hosts.fromListener()
    #expect(message2.map(\.local) == [3])
    #expect(hosts.heard == [3])
    // Repeated to another address, it is answered from that.
    hosts.toListener(message1, at: 4)
    let from1 = hosts.fromListener().map(\.local)
    #expect(from1 == [4])
    #expect(hosts.heard == [4])
    hosts.toDialler(message2, at: 9)
    let message3 = hosts.fromDialler()
    // Who has dialled leaves it to the routes.
    #expect(!message3.isEmpty && message3.allSatisfy { $0.local == 0 })
    #expect(hosts.diallerHeard == [9])
    hosts.toListener(message3, at: 5)
    let first = hosts.fromListener()
    #expect(!first.isEmpty && first.allSatisfy { $0.local == 5 })
  }

  @Test func theNewestDatagramTellsWhereToAnswerFrom() throws {
    var hosts = try Hosts()
    let (dialled, accepted) = try hosts.open(at: 3)
    hosts.world.first.ping(dialled, token: 1)
    let late = hosts.fromDialler()
    hosts.world.first.ping(dialled, token: 2)
    let newest = hosts.fromDialler()
    hosts.toListener(newest, at: 4)
    let from2 = hosts.fromListener().map(\.local)
    #expect(from2 == [4])
    // Overtaken by that one.
    hosts.toListener(late, at: 5)
    let from6 = hosts.fromListener()
    #expect(from6.allSatisfy { $0.local == 4 })
    // Not authentic.
    hosts.world.first.ping(dialled, token: 3)
    var forged = hosts.fromDialler()
    forged[0].bytes[forged[0].bytes.count - 1] ^= 1
    hosts.toListener(forged, at: 6)
    hosts.world.second.ping(accepted, token: 4)
    let from3 = hosts.fromListener().map(\.local)
    #expect(from3 == [4])
    #expect(hosts.listener.moves.isEmpty && hosts.world.second.statistics.pathValidations == 0)
    // The address counts as long as the connection is there.
    #expect(hosts.heard == [4])
    hosts.world.second.close(accepted, code: 0)
    let from7 = hosts.fromListener()
    #expect(from7.allSatisfy { $0.local == 4 })
    hosts.now += .seconds(60)
    hosts.world.second.expire(now: hosts.now, handler: &hosts.listener)
    #expect(hosts.heard.isEmpty)
  }

  /// Data of a run is no exception.
  @Test func bulkTellsItToo() throws {
    var hosts = try Hosts()
    let (dialled, _) = try hosts.open(at: 3)
    hosts.world.first.offer(dialled, upTo: 6000)
    let data = hosts.fromDialler()
    let bulk = try #require(data.first { $0.bytes.count >= 2 * 1400 }?.bytes)
    var batch = DatagramBatch(messages: 1, messageCapacity: 8192)
    batch.messages[0].address = StreamWorld.firstAddress
    batch.messages[0].address.local = 7
    batch.messages[0].length = bulk.count
    batch.messages[0].segmentSize = 1400
    batch.count = 1
    var bytes = batch.arena.mutableBytes(0, bulk.count)
    for (index, byte) in bulk.enumerated() { bytes.setByte(index, byte) }
    hosts.world.second.receive(&batch, now: hosts.now, handler: &hosts.listener)
    #expect(hosts.heard == [7])
    let from8 = hosts.fromListener()
    #expect(from8.allSatisfy { $0.local == 7 })
  }

  /// Each question about a path goes out where what it is about came in.
  @Test func pathsAreAskedFromWhereTheyCameIn() throws {
    var hosts = try Hosts()
    let (dialled, _) = try hosts.open(at: 3)
    let elsewhere = Address(ipv4: 0x0A00_0009, port: 9)
    hosts.now += .seconds(1)
    hosts.world.first.ping(dialled, token: 1)
    hosts.toListener(hosts.fromDialler(), at: 6, from: elsewhere)
    let asked = hosts.fromListener()
    #expect(asked.contains { $0.address == elsewhere } && asked.contains { $0.address == StreamWorld.firstAddress })
    for datagram in asked { #expect(datagram.local == (datagram.address == elsewhere ? 6 : 3)) }
    // Those for the new address alone are answered.
    hosts.toDialler(asked.filter { $0.address == elsewhere }, at: 9)
    hosts.now += .seconds(5)
    hosts.toListener(hosts.fromDialler(), at: 6, from: elsewhere)
    hosts.world.second.expire(now: hosts.now, handler: &hosts.listener)
    #expect(hosts.listener.moves == [elsewhere] && hosts.heard == [6])
  }

  @Test func strangersAreAnsweredFromWhereTheyCame() throws {
    var hosts = try Hosts { $0.halfOpenMark = 0 }
    hosts.toListener(hosts.fromDialler(), at: 8)
    let from4 = hosts.fromListener().map(\.local)
    #expect(from4 == [8])
    #expect(hosts.world.second.statistics.cookieRepliesSent == 1 && hosts.heard.isEmpty)

    var others = try Hosts()
    let (dialled, _) = try others.open(at: 3)
    others.world.network.restart(1, StreamHandler(bytesToSend: nil))
    others.world.first.ping(dialled, token: 1)
    others.toListener(others.fromDialler(), at: 5)
    let from5 = others.fromListener().map(\.local)
    #expect(from5 == [5])
    #expect(others.world.second.statistics.resetsSent == 1)
  }

  /// What is told to a program and comes back from it names no address of ours.
  @Test func theSameAddressIsEqualWhereverItIsHeard() throws {
    var there = Address(ipv4: 0x0A00_0001, port: 5)
    there.local = 3
    #expect(there == there.fromAnywhere && there.hashValue == there.fromAnywhere.hashValue)
    #expect(there.dialled.local == 0)
    var world = LifecycleTests.world(link: Link(), sends: nil)
    var handler = world.firstHandler
    _ = try world.first.connect(to: there, expecting: .anyone)
    var batch = DatagramBatch(messages: 4, messageCapacity: 4000)
    world.first.transmit(into: &batch, now: .seconds(1), handler: &handler)
    #expect(batch.messages[0].address == there && batch.messages[0].address.local == 0)
  }

  @Test func datagramsFromTwoAddressesShareNoMessage() {
    var batch = DatagramBatch(messages: 4, messageCapacity: 4000)
    var address = StreamWorld.firstAddress
    for local: UInt8 in [1, 1, 2, 2, 0] {
      address.local = local
      _ = batch.place(100, for: address, group: 1)
    }
    #expect((0..<batch.count).map { batch.messages[$0].length } == [200, 200, 100])
    #expect((0..<batch.count).map { batch.messages[$0].address.local } == [1, 2, 0])
  }

  /// What a listener on all addresses prints can be dialled on its host.
  @Test func theUnspecifiedAddressIsDialledAsLoopback() {
    #expect(Address(high: 0, low: 0, port: 7).dialled == Address(high: 0, low: 1, port: 7))
    #expect(Address(ipv4: 0, port: 7).dialled == Address(ipv4: 0x7F00_0001, port: 7))
    #expect(Address(ipv4: 1, port: 7).dialled == Address(ipv4: 1, port: 7))
  }

  // MARK: An address that is gone

  /// Who is heard there shows the peer another one, also from rest; nobody else says anything.
  @Test func whoIsHeardAtAnAddressThatIsGoneSaysSo() throws {
    for isResting in [false, true] {
      var hosts = try Hosts()
      _ = try hosts.open(at: 3)
      hosts.now += isResting ? .seconds(5) : .milliseconds(300)
      hosts.world.second.expire(now: hosts.now, handler: &hosts.listener)
      _ = hosts.fromListener()
      #expect(hosts.world.second.peers.flows.inUse == (isResting ? 0 : 1))
      var gone = LocalSet()
      gone.insert(4)
      hosts.world.second.leave(gone)
      let others = hosts.fromListener()
      #expect(others.isEmpty && hosts.isQuiet)
      gone.insert(3)
      hosts.world.second.leave(gone)
      #expect(hosts.isQuiet == false)
      let ping = hosts.fromListener()
      #expect(ping.map(\.local) == [3] && ping.map(\.address) == [StreamWorld.firstAddress])
      #expect(hosts.isQuiet == true)
      // Who has dialled, too.
      gone = LocalSet()
      gone.insert(9)
      hosts.world.first.leave(gone)
      let dialled = hosts.fromDialler()
      #expect(dialled.map(\.local) == [0])
    }
  }

  @Test func setsOfNumbersHoldEachOfThem() {
    var set = LocalSet()
    #expect(set.isEmpty)
    for local in UInt8.min...UInt8.max {
      #expect(!set.contains(local))
      set.insert(local)
      #expect(set.contains(local) && !set.isEmpty)
    }
    for local in UInt8.min...UInt8.max {
      set.remove(local)
      #expect(!set.contains(local))
    }
    #expect(set.isEmpty)
  }
}

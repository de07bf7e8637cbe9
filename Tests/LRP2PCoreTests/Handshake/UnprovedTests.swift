// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What leaves for addresses that have not shown that they receive is marked, and nothing else is.
@Suite struct UnprovedTests {
  typealias StreamWorld = World<StreamHandler>

  private struct Sent {
    var bytes: [UInt8]
    var address: Address
    var isUnproved: Bool
  }

  private static func compose(_ engine: inout Engine, _ handler: inout StreamHandler, now: Instant) -> [Sent] {
    var batch = DatagramBatch(messages: 64, messageCapacity: 4000)
    engine.transmit(into: &batch, now: now, handler: &handler)
    let sent = (0..<batch.count).map { index in
      let message = batch.messages[index]
      let bytes = batch.arena.bytes(message.offset, message.length)
      return Sent(
        bytes: (0..<message.length).map { bytes.byte($0) }, address: message.address, isUnproved: message.isUnproved)
    }
    #expect(batch.hasUnproved == sent.contains { $0.isUnproved })
    batch.clear()
    #expect(batch.hasUnproved == false)
    return sent
  }

  /// One message a datagram.
  private static func receive(
    _ sent: [Sent], from address: Address, _ engine: inout Engine, _ handler: inout StreamHandler, now: Instant
  ) {
    for datagram in sent {
      var batch = DatagramBatch(messages: 1, messageCapacity: 4096)
      var message = Message()
      message.address = address
      message.length = datagram.bytes.count
      message.segmentSize = datagram.bytes.count
      batch.messages[0] = message
      batch.count = 1
      var bytes = batch.arena.mutableBytes(0, datagram.bytes.count)
      for (index, byte) in datagram.bytes.enumerated() { bytes.setByte(index, byte) }
      engine.receive(&batch, now: now, handler: &handler)
    }
  }

  @Test func answersToStrangersAreMarked() throws {
    var world = LifecycleTests.world(link: Link(), sends: nil)
    let (first, second) = (StreamWorld.firstAddress, StreamWorld.secondAddress)
    var (dialler, listener) = (world.firstHandler, world.secondHandler)
    let now: Instant = .seconds(1)
    _ = try world.first.connect(to: second, expecting: .anyone)
    // Who is dialled is the user's choice.
    let message1 = Self.compose(&world.first, &dialler, now: now)
    #expect(message1.map(\.isUnproved) == [false])
    Self.receive(message1, from: first, &world.second, &listener, now: now)
    let message2 = Self.compose(&world.second, &listener, now: now)
    #expect(message2.map(\.isUnproved) == [true] && message2.map(\.address) == [first])
    // The same again.
    Self.receive(message1, from: first, &world.second, &listener, now: now)
    #expect(Self.compose(&world.second, &listener, now: now).map(\.isUnproved) == [true])
    Self.receive(message2, from: second, &world.first, &dialler, now: now)
    let message3 = Self.compose(&world.first, &dialler, now: now)
    #expect(message3.count >= 1 && message3.allSatisfy { !$0.isUnproved })
    Self.receive(message3, from: first, &world.second, &listener, now: now)
    let first3 = Self.compose(&world.second, &listener, now: now)
    #expect(first3.count >= 1 && first3.allSatisfy { !$0.isUnproved })
    Self.receive(first3, from: second, &world.first, &dialler, now: now)

    // Heard from elsewhere: the new address is asked, and the old one.
    let elsewhere = Address(ipv4: 0x0A00_0009, port: 9)
    let peer = try LifecycleTests.only(dialler)
    world.first.ping(peer, token: 1)
    let later = now + .seconds(1)
    let ping = Self.compose(&world.first, &dialler, now: later)
    #expect(ping.count == 1)
    Self.receive(ping, from: elsewhere, &world.second, &listener, now: later)
    let asked = Self.compose(&world.second, &listener, now: later)
    #expect(asked.contains { $0.address == elsewhere } && asked.contains { $0.address == first })
    for datagram in asked { #expect(datagram.isUnproved == (datagram.address == elsewhere)) }
  }

  /// Who has shown a cookie receives at its address: message 2 leaves like what proved peers are sent.
  @Test func answersBehindACookieAreNot() throws {
    var world = LifecycleTests.world(link: Link(), sends: nil) { $0.halfOpenMark = 0 }
    var (dialler, listener) = (world.firstHandler, world.secondHandler)
    let (first, second, now) = (StreamWorld.firstAddress, StreamWorld.secondAddress, Instant.seconds(1))
    _ = try world.first.connect(to: second, expecting: .anyone)
    let message1 = Self.compose(&world.first, &dialler, now: now)
    Self.receive(message1, from: first, &world.second, &listener, now: now)
    let reply = Self.compose(&world.second, &listener, now: now)
    Self.receive(reply, from: second, &world.first, &dialler, now: now)
    let again = Self.compose(&world.first, &dialler, now: now)
    Self.receive(again, from: first, &world.second, &listener, now: now)
    #expect(Self.compose(&world.second, &listener, now: now).map(\.isUnproved) == [false])
    #expect(world.second.statistics.cookiesAccepted == 1)
  }

  /// A cookie from an earlier dial may be a day old, and its host gone: where it was, the kernel may wait for an answer to ARP.
  @Test func answersBehindAnOldCookieAreMarked() throws {
    var world = LifecycleTests.world(sends: nil)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .seconds(1))
    var (dialler, listener) = (world.firstHandler, world.secondHandler)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    let now = world.now
    let message1 = Self.compose(&world.first, &dialler, now: now)
    Self.receive(message1, from: StreamWorld.firstAddress, &world.second, &listener, now: now)
    #expect(world.second.statistics.cookiesAccepted == 1)
    #expect(Self.compose(&world.second, &listener, now: now).map(\.isUnproved) == [true])
  }

  @Test func cookieRepliesAreMarked() throws {
    var world = LifecycleTests.world(link: Link(), sends: nil) { $0.halfOpenMark = 0 }
    var (dialler, listener) = (world.firstHandler, world.secondHandler)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    let message1 = Self.compose(&world.first, &dialler, now: .seconds(1))
    Self.receive(message1, from: StreamWorld.firstAddress, &world.second, &listener, now: .seconds(1))
    let replies = Self.compose(&world.second, &listener, now: .seconds(1))
    #expect(replies.map(\.isUnproved) == [true] && world.second.statistics.cookieRepliesSent == 1)
  }
}

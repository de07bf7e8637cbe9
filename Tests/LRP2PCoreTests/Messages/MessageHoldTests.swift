// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A reader of the stream that stands still does not stop messages, though both share the window.
@Suite struct MessageHoldTests {
  /// - Parameters:
  ///   - isBusy: the receiver sends messages itself, so that its ACKs travel with them.
  ///   - isSmall: there is no room for all of the stream.
  ///   - pausesAt: so much of the stream is read before its reader stops.
  private func play(
    seed: UInt64 = 1, link: Link = Link(), isBusy: Bool, isSmall: Bool = true, pausesAt: UInt64 = 20_000,
    _ configure: (inout EngineConfiguration) -> Void
  ) throws {
    var world = try Mail.open(seed: seed, link: link, configure: configure)
    let (dialled, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
    world.secondHandler.pausesAt = pausesAt
    let bytes: UInt64 = 4_000_000
    world.first.offer(dialled, upTo: bytes)
    var (sent, lateness) = (0, 0)
    for round in 0..<600 {
      let lane: Lane = round % 3 == 0 ? 1 : 0
      if world.first.send(
        dialled, Mail.text(UInt8(round % 256), round % 40 == 0 ? 4000 : 100), MessageOptions(lane: lane)) == .queued
      {
        sent += 1
      }
      if isBusy { world.second.send(accepted, Mail.text(1, 50)) }
      _ = world.run(for: .milliseconds(50))
      lateness = max(lateness, sent - world.secondHandler.mail.count)
    }
    // The reader has stood still for half a minute.
    let stopped = world.secondHandler.streamReceived
    #expect(stopped >= pausesAt && stopped < pausesAt + 10_000 && sent == 600)
    #expect(lateness < 60, "\(lateness) messages were under way at once")
    #expect(
      world.run(for: .seconds(5)) { $0.secondHandler.mail.count == 600 }, "\(world.secondHandler.mail.count) of 600")
    if isSmall { #expect(world.first.statistics(of: dialled)?.bytesWaiting ?? 0 > 0, "the stream waits") }
    // And goes on when it does.
    world.secondHandler.pausesAt = .max
    world.second.resume(accepted)
    #expect(world.run(for: .seconds(120)) { $0.secondHandler.streamReceived == bytes })
    world.first.finish(dialled)
    world.second.finish(accepted)
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.closed.count == 1 && $0.secondHandler.closed.count == 1 })
    #expect(world.secondHandler.closed[accepted] == .finished)
    Mail.expectNothingLeft(&world)
  }

  @Test(arguments: [false, true]) func aSmallWindow(isBusy: Bool) throws {
    try play(isBusy: isBusy) { $0.receiveWindow = 100 }
  }

  @Test(arguments: [false, true]) func aWindowThatGrows(isBusy: Bool) throws {
    try play(isBusy: isBusy, isSmall: false) { _ in }
  }

  @Test(arguments: [false, true]) func aSmallPool(isBusy: Bool) throws {
    try play(isBusy: isBusy) { ($0.receivePoolBytes, $0.maximumMessage) = (1 << 20, 1 << 13) }
  }

  @Test(arguments: 1...6, [false, true]) func aPathThatLoses(seed: UInt64, isBusy: Bool) throws {
    var link = Link()
    link.loss = 0.03
    link.jitter = .milliseconds(3)
    link.rate = 50_000_000
    try play(seed: seed, link: link, isBusy: isBusy, isSmall: seed % 2 == 0) {
      $0.receiveWindow = seed % 2 == 0 ? 200 : 0xFF_FFFF
    }
  }

  /// The reader stops when the window is full of what is under way.
  @Test(arguments: [20, 100, 300, 1000], [false, true]) func aLongPath(window: Int, isBusy: Bool) throws {
    var link = Link()
    link.delay = .milliseconds(50)
    link.rate = 100_000_000
    try play(link: link, isBusy: isBusy, pausesAt: 1_500_000) { $0.receiveWindow = window }
  }

  /// The word that the reader goes on is lost: the sender asks.
  @Test func theEndOfAHoldMayBeLost() throws {
    var world = try Mail.open { $0.receiveWindow = 100 }
    let (dialled, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
    world.secondHandler.pausesAt = 1
    world.first.offer(dialled, upTo: 1_000_000)
    _ = world.run(for: .seconds(10))
    let waiting = world.first.statistics(of: dialled)?.bytesWaiting ?? 0
    #expect(waiting > 800_000)
    world.back.isDown = true
    world.secondHandler.pausesAt = .max
    world.second.resume(accepted)
    _ = world.run(for: .milliseconds(100))
    world.back.isDown = false
    #expect(world.run(for: .seconds(120)) { $0.secondHandler.streamReceived == 1_000_000 })
  }

  /// An ACK holds the stream back, and one without the flag lets it go on; a late one says nothing.
  @Test func anACKHoldsTheStream() throws {
    var world = try Mail.open()
    let (dialled, accepted) = (try Mail.dialled(world), try Mail.accepted(world))
    world.forth.isDown = true
    world.first.offer(dialled, upTo: 10)
    world.first.send(dialled, [1], MessageOptions(lane: 1))
    _ = world.run(for: .milliseconds(1))
    let newest = UInt64(world.first.peers.rows[dialled.slot].sendPacketNumber - 1)
    let next = world.first.peers.flows[dialled.slot].send.next
    func ack(_ flags: UInt8, largest: UInt64) -> [UInt8] {
      var bytes = RawSegment.ack(next &- 1, window: 100, largest: largest)
      bytes[1] |= flags
      return bytes
    }
    world.injectSealed(ack(SegmentFlag.messages, largest: newest), fromFirst: false, peer: accepted)
    _ = world.run(for: .milliseconds(1))
    let isHeld = world.first.peers.flows[dialled.slot].send.isHeld
    #expect(isHeld)
    world.forth.isDown = false
    world.first.offer(dialled, upTo: 5000)
    world.first.send(dialled, [2], MessageOptions(lane: 1))
    _ = world.run(for: .milliseconds(8))
    #expect(world.secondHandler.texts.contains([2]) && world.secondHandler.streamReceived <= 10)
    world.injectSealed(ack(0, largest: newest - 1), fromFirst: false, peer: accepted)
    _ = world.run(for: .milliseconds(1))
    #expect(world.first.statistics(of: dialled)?.limitedBy == .receiveWindow)
  }
}

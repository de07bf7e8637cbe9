// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A peer that has completed its handshake, and then sends what no honest one does.
@Suite struct HostilePeerTests {
  typealias StreamWorld = World<StreamHandler>

  private static func open() throws -> StreamWorld {
    var world = try LifecycleTests.openWorld()
    _ = world.run(for: .milliseconds(50))
    return world
  }

  /// The handles of the one connection.
  private static func peers(_ world: borrowing StreamWorld) throws -> (dialled: Peer, accepted: Peer) {
    (try LifecycleTests.only(world.firstHandler), try LifecycleTests.only(world.secondHandler))
  }

  private static func bytes(_ number: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
  }
  private static func data(_ number: UInt32, _ payload: [UInt8]) -> [UInt8] { [6, 0] + bytes(number) + payload }
  /// Without a run.
  private static func ack(lastInOrder: UInt32, window: UInt32, largest: UInt8) -> [UInt8] {
    [9, 1] + bytes(lastInOrder) + bytes(window).dropFirst() + [largest, 0, 0]
  }

  static let boundaries: [UInt32] = [
    0, 1, 1 << 23, 1 << 24 - 1, 1 << 24, 1 << 24 + 1, 1 << 31 - 1, 1 << 31, 1 << 31 + 1, .max - 1, .max,
  ]

  // MARK: Numbers

  /// With nothing outstanding and with something; from who has dialled and who was dialled.
  @Test(arguments: [false, true], [false, true]) func anACKOfAnyNumberEndsNoProcess(outstanding: Bool, byDialler: Bool)
    throws
  {
    for distance in Self.boundaries {
      var world = try Self.open()
      let (dialled, accepted) = try Self.peers(world)
      let victim = byDialler ? accepted : dialled
      if byDialler { world.back.isDown = true } else { world.forth.isDown = true }
      if outstanding {
        if byDialler { world.second.offer(victim, upTo: 5000) } else { world.first.offer(victim, upTo: 5000) }
        _ = world.run(for: .milliseconds(10))
      }
      let (base, next) =
        byDialler
        ? (world.second.peers.flows[victim.slot].send.base, world.second.peers.flows[victim.slot].send.next)
        : (world.first.peers.flows[victim.slot].send.base, world.first.peers.flows[victim.slot].send.next)
      world.injectSealed(
        Self.ack(lastInOrder: next &+ distance, window: 100, largest: 0), fromFirst: byDialler,
        peer: byDialler ? dialled : accepted)
      _ = world.run(for: .milliseconds(10))
      let statistics = byDialler ? world.second.statistics : world.first.statistics
      // What lies up to 2^31 before the first outstanding was said before; what is outstanding may be said now.
      let cumulative = UInt64(next &+ distance &+ 1)
      let (ahead, behind) = ((cumulative &- UInt64(base)) & 0xFFFF_FFFF, (UInt64(base) &- cumulative) & 0xFFFF_FFFF)
      let isSent = ahead <= UInt64(next &- base) || behind < 1 << 31
      #expect(statistics.acksOfUnsent == (isSent ? 0 : 1), "\(distance)")
    }
  }

  /// A reader that has stopped, and data at every distance: nothing that was stored is overwritten or freed.
  @Test(arguments: boundaries) func dataOfAnyNumberLeavesWhatIsStored(distance: UInt32) throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.back.isDown = true
    world.second.pause(accepted)
    let payload = (0..<6).map { StreamHandler.byte(at: $0) }
    for number in 0..<3 as Range<UInt32> {
      let start = Int(number) * 2
      world.injectSealed(Self.data(number, Array(payload[start..<start + 2])), fromFirst: true, peer: dialled)
    }
    _ = world.run(for: .milliseconds(10))
    for origin in [0, 3] as [UInt32] {
      for near in [0, 1, 2, .max] as [UInt32] where origin &+ distance &+ near >= 3 {
        world.injectSealed(Self.data(origin &+ distance &+ near, [0xEE, 0xEE]), fromFirst: true, peer: dialled)
        // A piece of the same number.
        world.injectSealed(
          [12, 0] + Self.bytes(origin &+ distance &+ near) + [3, 4, 0, 0, 0, 128] + [UInt8](repeating: 0xEE, count: 64),
          fromFirst: true, peer: dialled)
      }
    }
    _ = world.run(for: .milliseconds(10))
    world.second.resume(accepted)
    _ = world.run(for: .milliseconds(10))
    #expect(world.secondHandler.peers[accepted]!.received >= 6)
    // What follows within the window is the hostile peer's own affair.
    let isRight = distance > 1 && distance < .max - 1
    if isRight { #expect(world.secondHandler.mismatches == 0 && world.secondHandler.peers[accepted]!.received == 6) }
    world.second.close(accepted, code: 1)
    _ = world.run(for: .seconds(2))
    #expect(world.second.statistics.poolBytesInUse == 0)
  }

  // MARK: Memory

  /// Lone segments at the edge, one a round trip: the window stays what it was, as nearly nothing has arrived.
  @Test func aWindowGrowsByWhatArrives() throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.back.isDown = true
    let before = world.second.statistics(of: accepted)!.receiveWindowPackets
    for _ in 0..<40 {
      let edge = world.second.peers.flows[accepted.slot].receive.promisedPackets
      world.injectSealed(Self.data(edge - 1, [1]), fromFirst: true, peer: dialled)
      _ = world.run(for: .milliseconds(300))
    }
    #expect(world.second.peers.flows[accepted.slot].receive.window == UInt32(before))
    #expect(world.second.statistics.poolBytesInUse < 200_000)
    world.second.close(accepted, code: 1)
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.poolBytesInUse == 0)
  }

  /// A thousand bytes, each in a segment of its own, take what a thousand payloads of 64 bytes do.
  @Test func earlyBytesCostWhatTheyHold() throws {
    var world = try Self.open()
    let (dialled, _) = try Self.peers(world)
    world.back.isDown = true
    for number in 1...1000 as ClosedRange<UInt32> {
      world.injectSealed(Self.data(number, [1]), fromFirst: true, peer: dialled)
    }
    _ = world.run(for: .milliseconds(10))
    #expect(world.second.statistics.poolBytesInUse < 1000 * 64 + 12_000)
  }

  /// Each probe is answered, and no answer tells of the first retransmission.
  @Test func whatIsNeverDescribedIsRememberedOnce() throws {
    var window = SendWindow(first: 0, window: 0)
    window.open(window: 100)
    window.offer(upTo: 1000)
    var packetNumber: UInt64 = 0
    func send(_ segment: SendWindow.Segment) {
      packetNumber += 1
      window.sent(segment, packetNumber: packetNumber, now: .seconds(packetNumber))
    }
    while let segment = window.nextSegment(capacity: 100) { send(segment) }
    for _ in 0..<1000 {
      send(window.oldestOutstanding()!)
      send(window.newestOutstanding()!)
    }
    #expect(window.resendsRemembered <= 2 * window.ring.count)
  }

  // MARK: Room

  /// A reader that has stopped and a pool that is full: after the first refusals nearly nothing is sent, nothing counts as lost,
  /// and when the reader goes on all of it arrives.
  @Test(arguments: [CongestionAlgorithm.bbr, .cubic]) func aFullPoolIsNoLoss(congestion: CongestionAlgorithm) throws {
    var link = Link()
    link.rate = 100_000_000
    link.delay = .milliseconds(5)
    var world = LifecycleTests.world(link: link, sends: 5_000_000) {
      $0.receivePoolBytes = 1 << 20
      $0.congestion = congestion
      // With them the peer would hold its stream back before the pool is full.
      $0.usesMessages = false
    }
    world.secondHandler.bytesToSend = 0
    world.secondHandler.pausesAt = 1
    let dialled = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .seconds(3))
    #expect(world.second.statistics.poolExhausted > 0)
    let window = world.first.statistics(of: dialled)!.congestionWindow
    let before = world.carried
    _ = world.run(for: .seconds(10))
    #expect(world.carried - before < 40)
    #expect(world.first.statistics(of: dialled)!.congestionWindow == window)
    #expect(world.first.peers.flows[dialled.slot].rate.lost == 0)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.second.resume(accepted)
    let isDone = world.run(for: .seconds(30)) { $0.secondHandler.peers[accepted]?.isFinished ?? false }
    #expect(isDone && world.secondHandler.peers[accepted]!.received == 5_000_000)
    #expect(world.secondHandler.mismatches == 0 && world.secondHandler.violations == 0)
  }

  /// An ACK that was overtaken by one which takes a promise back does not give it again.
  @Test func aLateACKDoesNotOpenTheWindow() throws {
    var world = try Self.open()
    let (dialled, accepted) = try Self.peers(world)
    world.back.isDown = true
    world.first.offer(dialled, upTo: 5000)
    _ = world.run(for: .milliseconds(10))
    let next = world.first.peers.flows[dialled.slot].send.next
    let newest = UInt8(world.first.peers.rows[dialled.slot].sendPacketNumber - 1)
    func edge(afterWindow window: UInt32, largest: UInt8) -> UInt32 {
      world.injectSealed(
        Self.ack(lastInOrder: next - 1, window: window, largest: largest), fromFirst: false, peer: accepted)
      _ = world.run(for: .milliseconds(1))
      return world.first.peers.flows[dialled.slot].send.edge
    }
    #expect(edge(afterWindow: 1, largest: newest) == next)
    #expect(edge(afterWindow: 100, largest: newest - 1) == next, "late")
    #expect(edge(afterWindow: 100, largest: newest) == next + 99, "the reader has gone on")
  }

  /// Rings and bitmaps that a burst has needed are given back by the first PING of a silence.
  @Test func aKeepAliveGivesBackWhatABurstTook() throws {
    var world = try LifecycleTests.openWorld {
      $0.restAfter = 0
      $0.initialReceiveWindow = 1000
    }
    let (dialled, accepted) = try Self.peers(world)
    // The first host has sent none of this.
    world.back.isDown = true
    for number in (0..<500 as Range<UInt32>).reversed() {
      world.injectSealed(Self.data(number, [1]), fromFirst: true, peer: dialled)
    }
    _ = world.run(for: .milliseconds(10))
    var isSmall = world.second.peers.flows[accepted.slot].replay.isSmall
    #expect(!isSmall)
    // What has come is echoed.
    for _ in 0..<20 {
      let next = world.second.peers.flows[accepted.slot].send.next
      world.injectSealed(Self.ack(lastInOrder: next &- 1, window: 500, largest: 0), fromFirst: true, peer: dialled)
      _ = world.run(for: .milliseconds(10))
    }
    world.forth.isDown = true
    _ = world.run(for: .seconds(20))
    #expect(world.second.statistics.poolBytesInUse == 0)
    isSmall = world.second.peers.flows[accepted.slot].replay.isSmall
    #expect(isSmall)
  }

  /// Hostile peers have all of the pool, and of the cells that are kept for what a reader waits for each has as many as it may, for
  /// segments that never become whole: one that does become whole is taken all the same.
  @Test func whatNeverBecomesWholeGivesWay() throws {
    var world = try LifecycleTests.openWorld { $0.receivePoolBytes = 1 << 16 }
    for _ in 0..<15 { _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone) }
    _ = world.run(for: .seconds(1))
    world.back.isDown = true
    let dialled = Array(world.firstHandler.peers.keys)
    let long = [UInt8](repeating: 1, count: 1000)
    func piece(_ number: UInt32, offset: UInt8) -> [UInt8] {
      [12, 0] + Self.bytes(number) + [3, 4, 0, offset, 0, 128] + [UInt8](repeating: 0xEE, count: 64)
    }
    for peer in dialled[..<8] {
      for number in 1...50 as ClosedRange<UInt32> {
        world.injectSealed(Self.data(number, long), fromFirst: true, peer: peer)
      }
      _ = world.run(for: .milliseconds(1))
    }
    // Again and again, in turn.
    for _ in 0..<20 {
      for peer in dialled[8..<15] { world.injectSealed(piece(0, offset: 0), fromFirst: true, peer: peer) }
      _ = world.run(for: .milliseconds(1))
    }
    _ = world.run(for: .milliseconds(100))
    let before = world.secondHandler.peers.values.reduce(0) { $0 + $1.received }
    world.injectSealed(piece(0, offset: 0), fromFirst: true, peer: dialled[15])
    world.injectSealed(piece(0, offset: 64), fromFirst: true, peer: dialled[15])
    _ = world.run(for: .milliseconds(1))
    #expect(before == 0 && world.secondHandler.peers.values.reduce(0) { $0 + $1.received } == 128)
    for peer in world.secondHandler.peers.keys { world.second.close(peer, code: 1) }
    _ = world.run(for: .seconds(2))
    #expect(world.second.statistics.poolBytesInUse == 0)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// When ACKs leave, and how long they are.
@Suite struct AcknowledgingTests {
  typealias StreamWorld = World<StreamHandler>

  /// The second host only listens, and nothing is owed.
  private static func openWorld(
    configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> StreamWorld {
    var world = try LifecycleTests.openWorld {
      $0.restAfter = 0
      configure(&$0)
    }
    world.secondHandler.bytesToSend = 0
    _ = world.run(for: .milliseconds(500))
    return world
  }

  /// The ACKs that the second host sends before any time passes when `act` has been done.
  private static func acksAtOnce(_ world: inout StreamWorld, _ act: (inout StreamWorld) -> Void) -> [[UInt8]] {
    world.sentAtOnce(act).filter { $0.host == 1 && $0.plaintext[17] & 1 == 1 }.map { Array($0.plaintext) }
  }

  private static func number(_ ack: [UInt8]) -> UInt32 { ack[2..<6].reduce(0) { $0 << 8 | UInt32($1) } }
  private static func window(_ ack: [UInt8]) -> UInt32 { ack[6..<9].reduce(0) { $0 << 8 | UInt32($1) } }

  // MARK: At once

  @Test func anEndIsAcknowledgedAtOnce() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.back.isDown = true
    let data = Self.acksAtOnce(&world) {
      $0.injectSealed(RawSegment.data(0, [1]), fromFirst: true, peer: dialled)
    }
    let end = Self.acksAtOnce(&world) {
      $0.injectSealed(RawSegment.data(1, flags: SegmentFlag.fin, []), fromFirst: true, peer: dialled)
    }
    #expect(data.isEmpty && end.count == 1 && Self.number(end[0]) == 1)
  }

  /// One that has overtaken what is before it.
  @Test func anEarlyEndIsAcknowledgedAtOnce() throws {
    var world = try Self.openWorld()
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.back.isDown = true
    let end = Self.acksAtOnce(&world) {
      $0.injectSealed(RawSegment.data(7, flags: SegmentFlag.fin, []), fromFirst: true, peer: dialled)
    }
    #expect(end.count == 1 && Self.number(end[0]) == .max)
  }

  /// And takes back what was promised, from the segment on that found no room.
  @Test func aRefusalIsToldAtOnce() throws {
    var world = try Self.openWorld { $0.receivePoolBytes = 1 << 16 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.back.isDown = true
    let long = [UInt8](repeating: 1, count: 1000)
    func inject(_ numbers: ClosedRange<UInt32>, _ world: inout StreamWorld) {
      for number in numbers { world.injectSealed(RawSegment.data(number, long), fromFirst: true, peer: dialled) }
    }
    inject(1...20, &world)
    _ = world.run(for: .milliseconds(100))
    let stored = Self.acksAtOnce(&world) { inject(21...21, &$0) }
    inject(22...30, &world)
    _ = world.run(for: .milliseconds(100))
    #expect(stored.isEmpty && world.second.statistics.poolExhausted == 0)
    let refused = Self.acksAtOnce(&world) { inject(31...31, &$0) }
    #expect(world.second.statistics.poolExhausted == 1)
    #expect(refused.count == 1 && Self.number(refused[0]) == .max && Self.window(refused[0]) == 31)
  }

  @Test func aWindowThatReopensIsToldAtOnce() throws {
    // With messages the peer would hold its stream back before the window is closed.
    var world = try Self.openWorld { ($0.receiveWindow, $0.usesMessages) = (100, false) }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.secondHandler.pausesAt = 1
    world.first.offer(dialled, upTo: 1 << 20)
    _ = world.run(for: .seconds(2))
    #expect(world.second.statistics(of: accepted)?.receiveWindowPackets == 0)
    world.secondHandler.pausesAt = .max
    let acks = Self.acksAtOnce(&world) { $0.second.resume(accepted) }
    #expect(acks.count == 1 && Self.window(acks[0]) == 100)
  }

  // MARK: How often

  /// However few the peer asks for: its window is still small.
  @Test func theFirst256ByEights() throws {
    var world = try Self.openWorld { $0.ackRatio = 64 }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    world.back.isDown = true
    // How many packets each ACK was for, that left while the connection was young, and later.
    var (young, later): ([Int], [Int]) = ([], [])
    var count = 0
    for number in 0..<600 as Range<UInt32> {
      let isYoung = world.second.peers.flows[accepted.slot].ack.elicitingReceived < 256
      let acks = Self.acksAtOnce(&world) {
        $0.injectSealed(RawSegment.data(number, [1]), fromFirst: true, peer: dialled)
      }
      count += 1
      guard !acks.isEmpty else { continue }
      if isYoung { young.append(count) } else { later.append(count) }
      count = 0
    }
    #expect(young.count >= 31 && young.allSatisfy { $0 <= 8 }, "\(young)")
    #expect(later.count >= 4 && later.allSatisfy { $0 == 64 }, "\(later)")
  }

  // MARK: How long

  /// Gaps that take four bytes each to tell, on a path that carries 9000: no probe would find out that an ACK is too long.
  @Test func noACKIsLongerThanEveryPathCarries() throws {
    var world = try Self.openWorld {
      $0.maximumDatagram = 9000
      ($0.receivePoolBytes, $0.receivePeerBytes) = (1 << 31, 1 << 31)
      $0.initialReceiveWindow = 0xFF_FFFF
    }
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    #expect(world.second.statistics(of: accepted)?.datagramBytes == 9000)
    world.back.isDown = true
    func inject(_ place: UInt32, _ world: inout StreamWorld) {
      world.injectSealed(RawSegment.data(place * 16_400, [1]), fromFirst: true, peer: dialled)
    }
    let sent = world.recording { world in
      // New gaps, filled ones and old ones, all to be told by one ACK.
      for place in 1...216 as ClosedRange<UInt32> where place % 12 != 0 { inject(place, &world) }
      for place in 1...18 as ClosedRange<UInt32> { inject(place * 12, &world) }
      _ = world.run(for: .seconds(1))
    }
    let lengths = sent.filter { $0.host == 1 && $0.plaintext[17] & 1 == 1 }.map(\.bytes.count)
    #expect(world.second.statistics(of: accepted)?.gaps == 216)
    #expect(lengths.max() ?? 0 > 1150 && lengths.allSatisfy { $0 <= 1200 }, "\(lengths)")
  }
}

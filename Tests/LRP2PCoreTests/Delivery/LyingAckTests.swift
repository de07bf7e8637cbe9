// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A peer whose ACKs tell of anything but the truth. They are small, and may have much sent: but no faster than a path that loses
/// everything would have it.
@Suite struct LyingAckTests {
  typealias StreamWorld = World<StreamHandler>

  private static func varint(_ value: UInt64) -> [UInt8] {
    let value = value | 0x8000_0000
    return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt64($0)) }
  }
  /// Nothing has arrived, but `largest`.
  private static func ack(window: UInt32, largest: UInt64) -> [UInt8] {
    var bytes: [UInt8] = [9, 1, 255, 255, 255, 255]
    for shift in [16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: window >> shift)) }
    bytes += varint(largest)
    return bytes + [0, 0]
  }

  /// A round trip of 40 ms, on which the first host offers much, and the second is silent but for what is injected.
  private static func open(_ congestion: CongestionAlgorithm, isMeasured: Bool) throws -> StreamWorld {
    var link = Link()
    link.delay = .milliseconds(20)
    var world = try LifecycleTests.openWorld(link: link) { $0.congestion = congestion }
    _ = world.run(for: .milliseconds(50))
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.back.isDown = true
    world.forth.isDown = true
    if !isMeasured { world.first.peers.flows[dialled.slot].roundTrip = RoundTripEstimate() }
    world.first.offer(dialled, upTo: 1 << 30)
    return world
  }

  /// Everything that has left is called lost, a thousand times in a second: what was in flight is not sent again each time.
  @Test(arguments: [CongestionAlgorithm.bbr, .cubic], [true, false])
  func whatIsCalledLostLeavesPaced(congestion: CongestionAlgorithm, isMeasured: Bool) throws {
    var world = try Self.open(congestion, isMeasured: isMeasured)
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    _ = world.run(for: .milliseconds(1))
    let before = world.first.statistics.datagramsSent
    for _ in 0..<1000 {
      let largest = world.first.peers.rows[dialled.slot].sendPacketNumber - 1
      world.injectSealed(Self.ack(window: 0xFFFF, largest: largest), fromFirst: false, peer: accepted)
      _ = world.run(for: .milliseconds(1))
    }
    let sent = world.first.statistics.datagramsSent - before
    // Eight in a round trip, when the window has become the least; and what comes before that.
    #expect(sent < 600, "\(sent)")
    #expect(world.first.statistics.acksOfUnsent == 0 && world.firstHandler.peers[dialled]?.closed == nil)
  }

  /// Everything that has left is refused, and allowed again at once, five hundred times in a second.
  @Test(arguments: [CongestionAlgorithm.bbr, .cubic], [true, false])
  func whatIsRefusedLeavesPaced(congestion: CongestionAlgorithm, isMeasured: Bool) throws {
    var world = try Self.open(congestion, isMeasured: isMeasured)
    let dialled = try LifecycleTests.only(world.firstHandler)
    let accepted = try LifecycleTests.only(world.secondHandler)
    _ = world.run(for: .milliseconds(1))
    let before = world.first.statistics.datagramsSent
    for _ in 0..<500 {
      for window in [0, 0xFFFF] as [UInt32] {
        let largest = world.first.peers.rows[dialled.slot].sendPacketNumber - 1
        world.injectSealed(Self.ack(window: window, largest: largest), fromFirst: false, peer: accepted)
        _ = world.run(for: .milliseconds(1))
      }
    }
    let sent = world.first.statistics.datagramsSent - before
    // Two windows in a round trip.
    #expect(sent < 2 * 32 * 25 + 400, "\(sent)")
    #expect(world.first.statistics.acksOfUnsent == 0 && world.firstHandler.peers[dialled]?.closed == nil)
  }
}

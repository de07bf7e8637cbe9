// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What is made of bytes by time.
@Suite struct DeliveriesTests {
  /// 1000 bytes a step of 50 ms, which is 160 kbit/s, times what `factor` says of each second.
  private static func deliveries(seconds: Int, _ factor: (Int) -> UInt64) -> Deliveries {
    var deliveries = Deliveries(step: .milliseconds(50))
    var total: UInt64 = 0
    for step in 0..<20 * seconds {
      total += 1000 * factor(step)
      deliveries.append(total)
    }
    return deliveries
  }

  @Test func aStallIsTheWorstWindow() {
    // Nothing from 12.35 to 13.85 s.
    let deliveries = Self.deliveries(seconds: 30) { (247..<277).contains($0) ? 0 : 1 }
    let worst = deliveries.worst(window: .seconds(5), in: .seconds(5)..<(.seconds(30)))
    #expect(worst?.rate == 112_000)
    // The first that holds all of it.
    #expect(worst?.at == .milliseconds(8850))
    #expect(deliveries.worst(window: .seconds(5), in: .seconds(14)..<(.seconds(30)))?.rate == 160_000)
    #expect(deliveries.mean(in: 0..<(.seconds(30))) == 152_000)
    #expect(deliveries.worst(window: .seconds(5), in: .seconds(28)..<(.seconds(90))) == nil)
  }

  @Test func recoveryIsTheFirstGoodSecond() {
    let deliveries = Self.deliveries(seconds: 30) { (200..<264).contains($0) ? 0 : 1 }
    // Of the second that begins at 13.0 s 0.8 are delivered.
    #expect(deliveries.recovery(to: 128_000, behind: .seconds(11)) == .milliseconds(2000))
    #expect(deliveries.recovery(to: 128_000, behind: .seconds(20)) == 0)
    #expect(deliveries.recovery(to: 176_000, behind: .seconds(11)) == nil)
  }

  @Test func aFloodOfWhatHasWaitedIsNoRecovery() {
    // Two seconds' worth at once, at 12 s, and 15 s later the rate.
    let deliveries = Self.deliveries(seconds: 40) { step in
      step == 240 ? 40 : (200..<540).contains(step) ? 0 : 1
    }
    let recovery = deliveries.recovery(to: 128_000, behind: .seconds(11))
    #expect(recovery == .milliseconds(27_000 - 11_000 - 200))
  }
}

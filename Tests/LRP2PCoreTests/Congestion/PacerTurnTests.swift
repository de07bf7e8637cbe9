// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Pacing by turns that are not as many as the pacer would like.
@Suite struct PacerTurnTests {
  private static let datagram = 1400

  private func send(_ pacer: inout Pacer, now: Instant, most: Int = .max) -> Int {
    var count = 0
    while count < most, pacer.allows(now: now) {
      pacer.spend(Self.datagram)
      count += 1
    }
    return count
  }

  /// A program that takes its turn every 10 or 20 ms sends at the rate all the same.
  @Test(arguments: [10, 20] as [UInt64], [6_250_000, 62_500_000] as [UInt64])
  func lateTurnsLoseNothing(milliseconds: UInt64, rate: UInt64) {
    var pacer = Pacer()
    var now: Instant = 1 << 40
    pacer.setRate(bytesPerSecond: rate, now: now)
    var sent = 0
    for turn in 0..<500 as Range<UInt64> {
      // ACKs come in between.
      pacer.setRate(bytesPerSecond: rate, now: now + turn % 7 * .milliseconds(1))
      sent += send(&pacer, now: now + .milliseconds(milliseconds))
      now += .milliseconds(milliseconds)
    }
    let ideal = Double(rate) * Double(500 * milliseconds) / 1000
    #expect(abs(Double(sent * Self.datagram) - ideal) < 0.02 * ideal + 70_000, "\(sent * Self.datagram) of \(ideal)")
  }

  /// A turn that is later than a tenth of a second has lost the rest.
  @Test func aLongStandstillIsNoCredit() {
    var pacer = Pacer()
    let now: Instant = 1 << 40
    pacer.setRate(bytesPerSecond: 1_000_000, now: now)
    _ = send(&pacer, now: now)
    let sent1 = send(&pacer, now: now + .seconds(3600))
    #expect(sent1 <= 100_000 / Self.datagram + 2)
  }

  /// Who did not wait has a burst, however long ago the last one was.
  @Test func idlenessIsNoCredit() {
    var pacer = Pacer()
    let now: Instant = 1 << 40
    pacer.setRate(bytesPerSecond: 1_000_000, now: now)
    let sent2 = send(&pacer, now: now + .milliseconds(1), most: 1)
    #expect(sent2 == 1)
    let sent3 = send(&pacer, now: now + .seconds(10))
    #expect(sent3 <= 3)
  }

  /// Two packets at a time on a slow path, which a short queue takes.
  @Test func slowPathsHaveShortBursts() {
    var pacer = Pacer()
    var now: Instant = 1 << 40
    pacer.setRate(bytesPerSecond: 2_500_000, now: now)
    _ = send(&pacer, now: now)
    for _ in 0..<1000 {
      now = pacer.nextSend(now: now)
      let sent4 = send(&pacer, now: now)
      #expect(sent4 <= 3)
    }
  }

  /// The start: so much at once, then its rate.
  @Test func theFirstBurstIsOfItsOwnSize() {
    var pacer = Pacer()
    let now: Instant = 1 << 40
    pacer.start(bytesPerSecond: 2_240_000, burst: 10 * Self.datagram, now: now)
    let sent5 = send(&pacer, now: now)
    #expect(sent5 == 10)
    #expect(pacer.nextSend(now: now) > now)
  }
}

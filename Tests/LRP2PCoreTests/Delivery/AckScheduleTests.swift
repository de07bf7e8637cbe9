// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct AckScheduleTests {
  private func receive(
    _ schedule: inout AckSchedule, _ packetNumber: UInt64, ecn: UInt8 = 0, ratio: Int = 8,
    maximumDelay: Nanoseconds = .milliseconds(25), roundTrip: Nanoseconds = 0, now: Instant = 1000
  ) {
    schedule.received(
      packetNumber: packetNumber, ecn: ecn, ratio: ratio, maximumDelay: maximumDelay, roundTrip: roundTrip,
      now: now)
  }

  @Test(arguments: [1, 2, 8, 64])
  func afterSoManyPackets(ratio: Int) {
    var schedule = AckSchedule()
    #expect(!schedule.isDue(now: .max - 1))
    for round in 0..<3 as Range<UInt64> {
      for packet in 0..<UInt64(ratio) {
        #expect(!schedule.isDue(now: 1000))
        receive(&schedule, round * 100 + packet, ratio: ratio)
      }
      #expect(schedule.isDue(now: 1000) && schedule.isUrgent)
      schedule.didSendAck(now: 0)
      #expect(!schedule.isDue(now: .max - 1) && schedule.deadline == .never)
    }
    #expect(schedule.elicitingReceived == UInt64(3 * ratio))
  }

  /// The announced delay, or a quarter of a round trip: whichever is sooner, from the first packet not yet answered.
  @Test func afterADelay() {
    var schedule = AckSchedule()
    receive(&schedule, 0, now: 1_000_000)
    #expect(schedule.deadline == 26_000_000)
    receive(&schedule, 1, now: 9_000_000)
    #expect(schedule.deadline == 26_000_000)
    #expect(!schedule.isDue(now: 25_999_999) && schedule.isDue(now: 26_000_000) && !schedule.isUrgent)
    schedule.didSendAck(now: 0)
    receive(&schedule, 2, roundTrip: .milliseconds(40), now: 30_000_000)
    #expect(schedule.deadline == 40_000_000)
    schedule.didSendAck(now: 0)
    receive(&schedule, 3, roundTrip: .seconds(40), now: 50_000_000)
    #expect(schedule.deadline == 75_000_000)
  }

  /// Not a quarter of a short round trip for what comes once in a round trip: there, the next one follows or nobody waits.
  @Test func onePacketInARoundTripWaitsLonger() {
    var schedule = AckSchedule()
    for packet in 0..<5 as Range<UInt64> {
      receive(&schedule, packet, roundTrip: .microseconds(20), now: 1_000_000 + 20_000 * packet)
      #expect(schedule.deadline == 1_250_000)
    }
    // A second one behind it: then more may be waiting for room.
    receive(&schedule, 5, roundTrip: .microseconds(20), now: 1_081_000)
    #expect(schedule.deadline == 1_086_000)
    schedule.didSendAck(now: 1_086_000)
    receive(&schedule, 6, roundTrip: .microseconds(20), now: 1_100_000)
    #expect(schedule.deadline == 1_105_000)
    schedule.didSendAck(now: 0)
    receive(&schedule, 7, maximumDelay: .microseconds(200), roundTrip: .microseconds(20), now: 2_000_000)
    #expect(schedule.deadline == 2_200_000)
    schedule.didSendAck(now: 0)
    // Several at once are never alone, though the first may be.
    schedule.received(
      4, from: 8, ecn: 0, ratio: 64, maximumDelay: .milliseconds(25), roundTrip: .microseconds(20), now: 3_000_000)
    #expect(schedule.deadline == 3_005_000)
  }

  /// With a datagram that leaves anyway, unless the last one has just left; one that is due in any case.
  @Test func itGoesAlong() {
    var schedule = AckSchedule()
    #expect(!schedule.goesAlong(now: .max - 1))
    receive(&schedule, 1, now: 1_000_000)
    #expect(schedule.goesAlong(now: 1_000_000) && !schedule.isDue(now: 1_000_000))
    schedule.didSendAck(now: 1_000_000)
    #expect(!schedule.goesAlong(now: .max - 1))
    receive(&schedule, 2, now: 1_010_000)
    #expect(!schedule.goesAlong(now: 1_099_999) && schedule.goesAlong(now: 1_100_000))
    schedule.demand()
    #expect(schedule.goesAlong(now: 1_010_000))
  }

  @Test func atOnce() {
    var schedule = AckSchedule()
    // There is nothing yet to acknowledge.
    schedule.demand()
    #expect(!schedule.isDue(now: 5))
    schedule.didSendAck(now: 0)
    receive(&schedule, 4)
    #expect(!schedule.isDue(now: 1000))
    schedule.demand()
    #expect(schedule.isDue(now: 1000))
    schedule.didSendAck(now: 0)
    // A demand needs no new packet: a window has opened again.
    schedule.demand()
    #expect(schedule.isDue(now: 0))
    schedule.didSendAck(now: 0)
    receive(&schedule, 5, ecn: 2)
    #expect(!schedule.isDue(now: 1000))
    receive(&schedule, 6, ecn: 3)
    #expect(schedule.isDue(now: 1000))
  }

  /// Two packets behind a gap, or a moment later if they do not come.
  @Test func aGapIsToldWhenItCanBeJudged() {
    var schedule = AckSchedule()
    receive(&schedule, 5, roundTrip: .milliseconds(320), now: 1_000_000)
    schedule.gapOpened(roundTrip: .milliseconds(320), now: 1_000_000)
    #expect(schedule.deadline == 11_000_000)
    receive(&schedule, 6, now: 1_100_000)
    schedule.gapOpened(roundTrip: .milliseconds(320), now: 1_100_000)
    #expect(!schedule.isDue(now: 1_100_000))
    receive(&schedule, 7, now: 1_200_000)
    #expect(schedule.isDue(now: 1_200_000))
    schedule.didSendAck(now: 0)
    receive(&schedule, 8, now: 1_300_000)
    #expect(!schedule.isDue(now: 1_300_000))
  }

  @Test func header() {
    var schedule = AckSchedule()
    let none = schedule.header(now: 77)
    #expect(!schedule.hasLargest && none.largestPacketNumber == 0 && none.delayMicroseconds == 0)
    // Packet 0 counts, and an older packet changes neither the largest nor its time.
    receive(&schedule, 0, now: 10_000)
    #expect(schedule.hasLargest && schedule.largest == 0)
    receive(&schedule, 9, ecn: 1, now: 20_000)
    receive(&schedule, 4, ecn: 2, now: 5_000_000)
    for packet in 5..<8 as Range<UInt64> { receive(&schedule, packet, ecn: 3, now: 6_000_000) }
    schedule.duplicate()
    schedule.duplicate()
    schedule.didSendAck(now: 0)
    let block = schedule.header(now: 8_021_999)
    #expect(block.largestPacketNumber == 9 && block.delayMicroseconds == 8001)
    #expect(block.ect1 == 1 && block.ect0 == 1 && block.ce == 3 && block.duplicates == 2)
    // The clock of another turn is not ahead of ours.
    #expect(schedule.header(now: 3).delayMicroseconds == 0)
  }

  /// Several packets at once are what they are one by one.
  @Test(arguments: 0..<40)
  func severalAtOnce(seed: Int) {
    var random = TestRandom(seed: seed)
    var together = AckSchedule()
    var (wrong, runs) = (0, 0)
    var now: Instant = 1000
    var next: UInt64 = 0
    for _ in 0..<600 {
      let (count, ecn, ratio) = (1 + random.below(12), UInt8(random.below(4)), 1 + random.below(20))
      next += UInt64(random.below(3))
      now += UInt64(random.below(4_000_000))
      var singly = together
      for packet in next..<next + UInt64(count) {
        receive(&singly, packet, ecn: ecn, ratio: ratio, roundTrip: .milliseconds(40), now: now)
      }
      if together.takesRuns {
        runs += 1
        together.received(
          count, from: next, ecn: ecn, ratio: ratio, maximumDelay: .milliseconds(25), roundTrip: .milliseconds(40),
          now: now)
        if !Self.areEqual(together, singly) { wrong += 1 }
      }
      together = singly
      next += UInt64(count)
      if random.happens(percent: 20) { together.didSendAck(now: now) }
      if random.happens(percent: 10) { together.gapOpened(roundTrip: .milliseconds(40), now: now) }
    }
    #expect(wrong == 0 && runs > 100)
  }

  /// To the last byte.
  private static func areEqual(_ first: AckSchedule, _ second: AckSchedule) -> Bool {
    String(describing: first) == String(describing: second)
  }

  @Test func notAtOnceWhileItIsYoung() {
    var schedule = AckSchedule()
    for packet in 0..<AckSchedule.youth {
      #expect(!schedule.takesRuns)
      receive(&schedule, packet, ratio: 1000)
    }
    #expect(schedule.takesRuns)
    schedule.gapOpened(roundTrip: 0, now: 0)
    #expect(!schedule.takesRuns)
  }
}

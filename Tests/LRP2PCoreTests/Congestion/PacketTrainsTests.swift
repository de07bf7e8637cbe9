// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct PacketTrainsTests {
  private static let segment: UInt64 = 1000

  /// As many trains, a millisecond apart, with packet numbers from 0 on.
  private static func sent(_ count: Int) -> PacketTrains {
    var trains = PacketTrains()
    for number in 0..<UInt64(count * PacketTrains.length) {
      trains.sent(packetNumber: number, now: .seconds(1) + .milliseconds(number / UInt64(PacketTrains.length)))
    }
    return trains
  }

  /// An ACK for each packet in `numbers`, which arrived so far apart.
  private static func acknowledge(
    _ trains: inout PacketTrains, _ numbers: Range<UInt64>, apart interval: Nanoseconds
  ) -> [UInt64] {
    numbers.compactMap {
      trains.acknowledged(largest: $0, arrival: .seconds(2) + $0 * interval, segment: segment)
    }
  }

  @Test func theSpacingOfArrivalsIsTheCapacity() {
    var trains = Self.sent(3)
    let found = Self.acknowledge(&trains, 0..<96, apart: .microseconds(100))
    #expect(found == [10_000_000] && trains.isOver)
    // It is said once.
    #expect(Self.acknowledge(&trains, 96..<200, apart: .microseconds(100)).isEmpty)
  }

  /// One train that was held up on its way is not the median.
  @Test func oneTrainMayBeWrong() {
    var trains = Self.sent(5)
    var found: [UInt64] = []
    for number in 0..<160 as Range<UInt64> {
      let interval: Nanoseconds = (32..<64).contains(number) ? .microseconds(900) : .microseconds(100)
      if let capacity = trains.acknowledged(
        largest: number, arrival: .seconds(number / 32) + number * interval, segment: Self.segment)
      {
        found.append(capacity)
      }
    }
    #expect(found == [10_000_000])
  }

  @Test(arguments: [1, 2]) func fewTrainsTellNothing(count: Int) {
    var trains = Self.sent(count)
    let found = Self.acknowledge(&trains, 0..<UInt64(count * PacketTrains.length), apart: .microseconds(100))
    #expect(found.isEmpty && trains.isOver)
  }

  /// What arrives all at once has not queued where it could be measured.
  @Test func arrivalsAtOnceTellNothing() {
    var trains = Self.sent(4)
    let found = Self.acknowledge(&trains, 0..<128, apart: 0)
    #expect(found.isEmpty && trains.isOver)
  }

  /// An ACK for the first and one for a packet soon after it say little.
  @Test func fewAcksOfATrainTellNothing() {
    var trains = Self.sent(3)
    var found: [UInt64] = []
    for number in [0, 5, 32, 39, 64, 95] as [UInt64] {
      if let capacity = trains.acknowledged(
        largest: number, arrival: .seconds(2) + number * .microseconds(100), segment: Self.segment)
      {
        found.append(capacity)
      }
    }
    #expect(found.isEmpty && trains.isOver)
  }

  @Test func whatLeavesBehindTheFirstAckIsNoTrain() {
    var trains = Self.sent(3)
    _ = trains.acknowledged(largest: 0, arrival: .seconds(2), segment: Self.segment)
    trains.sent(packetNumber: 96, now: .seconds(3))
    let found = Self.acknowledge(&trains, 1..<96, apart: .microseconds(100))
    #expect(!found.isEmpty && trains.isOver)
  }

  @Test func withoutAStartThereAreNone() {
    var trains = PacketTrains(isOver: true)
    trains.sent(packetNumber: 0, now: 1)
    #expect(trains.acknowledged(largest: 0, arrival: 2, segment: Self.segment) == nil)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct TailRepetitionTests {
  /// A window with so many segments in flight, and the end of the stream behind them.
  private static func window(_ count: Int) -> SendWindow {
    var send = SendWindow(first: .max - 2, window: 0)
    send.open(window: 100)
    send.offer(upTo: UInt64(count) * 100)
    send.finish()
    for number in 0..<count {
      let segment = send.nextSegment(capacity: 100)!
      send.sent(segment, packetNumber: UInt64(number), now: 1)
    }
    return send
  }

  private static func numbers(_ tail: inout TailRepetition, _ send: borrowing SendWindow) -> [UInt32] {
    var numbers: [UInt32] = []
    while numbers.count < 100, let segment = tail.next(send) { numbers.append(segment.number) }
    return numbers
  }

  /// The later half of what is in flight, then all of it.
  @Test func theLaterHalfComesFirst() {
    let send = Self.window(10)
    var tail = TailRepetition()
    tail.streamEnded(send, hasLosses: true)
    let first = UInt32.max - 2
    let expected = (4..<10).map { first &+ UInt32($0) } + (0..<10).map { first &+ UInt32($0) }
    let found = Self.numbers(&tail, send)
    #expect(found == expected)
    let mayRepeat = tail.mayRepeat(send, window: .max)
    #expect(!mayRepeat, "it is over")
  }

  @Test func theOnlySegmentIsRepeatedTwice() {
    let send = Self.window(1)
    var tail = TailRepetition()
    tail.streamEnded(send, hasLosses: true)
    let found = Self.numbers(&tail, send)
    #expect(found == [.max - 2, .max - 2])
  }

  @Test(arguments: [(false, false), (true, true)]) func nothingIsRepeatedWithoutNeed(hasLosses: Bool, isOff: Bool) {
    let send = Self.window(10)
    var tail = TailRepetition(isOff: isOff)
    tail.streamEnded(send, hasLosses: hasLosses)
    let mayRepeat = tail.mayRepeat(send, window: .max)
    let found = Self.numbers(&tail, send)
    #expect(!mayRepeat && found.isEmpty)
  }

  /// Repetitions count as in flight too.
  @Test func theWindowBoundsThem() {
    let send = Self.window(10)
    var tail = TailRepetition()
    tail.streamEnded(send, hasLosses: true)
    let window = send.bytesInFlight + 3 * UInt64(100 + SendWindow.overhead)
    var count = 0
    while tail.mayRepeat(send, window: window), tail.next(send) != nil { count += 1 }
    #expect(count == 3)
  }

  @Test func whatIsAcknowledgedIsNotRepeated() throws {
    var send = Self.window(10)
    var tail = TailRepetition()
    tail.streamEnded(send, hasLosses: true)
    let block = AckBlock(largestPacketNumber: 9, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    let last = UInt32.max - 2 &+ 9
    _ = try send.acknowledge(
      lastInOrder: last, window: 100, block: block, RawSpan(), lossDelay: .seconds(1), now: 2)
    let mayRepeat = tail.mayRepeat(send, window: .max)
    let found = Self.numbers(&tail, send)
    #expect(!mayRepeat && found.isEmpty)
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// A peer that has completed its handshake, and then sends messages as no honest one does.
@Suite struct HostileMessageTests {
  private typealias Frame = MessageFrame

  /// A connection whose first side says nothing by itself.
  private static func open(_ configure: (inout EngineConfiguration) -> Void = { _ in }) throws -> (MailWorld) {
    var world = try Mail.open(configure: configure)
    world.back.isDown = true
    return world
  }

  private static func segment(_ number: UInt32, _ frames: [UInt8]...) -> [UInt8] {
    RawSegment.data(number, flags: SegmentFlag.messages, frames.flatMap { $0 })
  }

  private func inject(_ world: inout MailWorld, _ segments: [UInt8]...) throws {
    let peer = try Mail.dialled(world)
    for segment in segments { world.injectSealed(segment, fromFirst: true, peer: peer) }
    _ = world.run(for: .milliseconds(1))
  }

  private func reason(_ world: borrowing MailWorld) -> CloseReason? { world.secondHandler.closed.values.first }

  // MARK: What is well formed

  /// Written by hand, as any implementation may do it.
  @Test func whatIsWellFormedIsTaken() throws {
    var world = try Self.open()
    try inject(
      &world,
      Self.segment(
        0, Frame.bytes(.whole, lane: 3, number: 0, [1]), Frame.bytes(.whole, lane: 3, number: 1, []),
        Frame.bytes(.whole, lane: 15, isOrdered: false, [2, 2]), Frame.bytes(.skip, lane: 3, number: 2),
        Frame.bytes(.whole, lane: 3, number: 3, [3], isLast: true)))
    #expect(world.secondHandler.texts == [[1], [], [2, 2], [3]])
    // Of no frames, and of padding.
    try inject(&world, Self.segment(1), Self.segment(2, [0x60, 1, 2, 3]))
    // The parts of one in any order, those of another between them.
    let (one, other) = (Mail.text(7, 300), Mail.text(8, 200))
    func part(_ message: [UInt8], _ range: Range<Int>, lane: UInt8, isOrdered: Bool, _ number: UInt32) -> [UInt8] {
      Frame.bytes(
        .fragment, lane: lane, isOrdered: isOrdered, number: number, offset: range.lowerBound, total: message.count,
        Array(message[range]))
    }
    try inject(
      &world,
      Self.segment(
        3, part(one, 100..<200, lane: 3, isOrdered: true, 4), part(other, 50..<200, lane: 3, isOrdered: false, 4)),
      Self.segment(4, part(one, 0..<100, lane: 3, isOrdered: true, 4)),
      Self.segment(
        5, part(other, 0..<50, lane: 3, isOrdered: false, 4), part(one, 200..<300, lane: 3, isOrdered: true, 4)))
    #expect(world.secondHandler.texts.suffix(2) == [other, one])
    #expect(world.second.statistics.malformed == 0 && world.secondHandler.closed.isEmpty)
    #expect(world.second.statistics.messagesReceived == 6 && world.second.statistics.messagesSkipped == 1)
    #expect(world.second.statistics.poolBytesInUse == 0)
    Mail.expectNothingLeft(&world)
  }

  /// Wherever the numbers of a lane stand.
  @Test func numbersOfALaneWrap() throws {
    let start = MessageFrame.numberMask - 2
    var world = try Self.open { $0.initialMessageNumber = start }
    var numbers: [UInt32] = [start]
    for _ in 0..<9 { numbers.append(MessageFrame.next(numbers.last!)) }
    // Early ones first, last first.
    for (at, number) in numbers.enumerated().dropFirst().reversed() {
      try inject(&world, Self.segment(UInt32(at), Frame.bytes(.whole, number: number, [UInt8(at)])))
    }
    #expect(world.secondHandler.mail.isEmpty)
    try inject(&world, Self.segment(0, Frame.bytes(.whole, number: numbers[0], [0])))
    #expect(world.secondHandler.firsts == Array(0..<10))
    Mail.expectNothingLeft(&world)
  }

  // MARK: What ends the connection

  static let largest = 1 << 14
  static let violations: [(String, [[UInt8]])] = {
    let far = Frame.bytes(.whole, number: 1, [1])
    let head = Frame.bytes(.fragment, number: 0, offset: 0, total: 300, Mail.text(1, 100))
    return [
      ("a length beyond the end", [segment(0, [0, 9, 1])]),
      ("a cut head", [segment(0, [0x50])]),
      ("a part beyond its message", [segment(0, Frame.bytes(.fragment, offset: 9, total: 10, [1, 2]))]),
      ("malformed behind what is well formed", [segment(0, Frame.bytes(.whole, number: 0, [1]), [0x20, 0])]),
      ("malformed, and early", [segment(9, [0x50])]),
      ("a gap in an ordered lane", [segment(0, far)]),
      (
        "a gap behind another message",
        [segment(0, Frame.bytes(.whole, number: 0, [1]), Frame.bytes(.whole, number: 2, [1]))]
      ),
      ("a skip behind a gap", [segment(0, Frame.bytes(.skip, number: 3))]),
      ("a part behind a gap", [segment(0, Frame.bytes(.fragment, number: 1, total: 9, [1]))]),
      ("farther ahead than any window", [segment(9, Frame.bytes(.whole, number: 1 << 24 + 1, [1]))]),
      ("a message beyond the largest", [segment(0, Frame.bytes(.fragment, number: 0, total: largest + 1, [1]))]),
      (
        "the same, of another lane, early",
        [
          segment(5, Frame.bytes(.fragment, lane: 9, isOrdered: false, total: .init(UInt32.max), [1]))
        ]
      ),
      ("two totals", [segment(0, head), segment(1, Frame.bytes(.fragment, number: 0, offset: 100, total: 301, [1]))]),
      (
        "two totals in one segment",
        [
          segment(
            0, Frame.bytes(.fragment, number: 0, total: 10, [1]),
            Frame.bytes(.fragment, number: 0, offset: 900, total: 1000, [1, 2]))
        ]
      ),
      ("the same part twice in one segment", [segment(0, head, head)]),
      (
        "more parts than the whole",
        [
          segment(0, head), segment(1, Frame.bytes(.fragment, number: 0, offset: 0, total: 300, Mail.text(2, 150))),
          segment(2, Frame.bytes(.fragment, number: 0, offset: 0, total: 300, Mail.text(2, 100))),
        ]
      ),
      (
        "the end of the stream",
        [RawSegment.data(0, flags: SegmentFlag.messages | SegmentFlag.fin, Frame.bytes(.whole, [1]))]
      ),
      ("the end of the stream, of no frames", [RawSegment.data(0, flags: SegmentFlag.messages | SegmentFlag.fin, [])]),
      (
        "the end of the stream, in pieces",
        [
          RawSegment.piece(
            0, flags: SegmentFlag.messages | SegmentFlag.fin, offset: 0, total: 128, [UInt8](repeating: 0, count: 64))
        ]
      ),
      (
        "behind the end of the stream",
        [
          RawSegment.data(3, flags: SegmentFlag.fin, [1]), segment(4, Frame.bytes(.whole, isOrdered: false, [1])),
        ]
      ),
    ]
  }()

  @Test(arguments: violations.indices) func whatNobodySendsIsAViolation(index: Int) throws {
    let (name, segments) = Self.violations[index]
    var world = try Self.open { $0.maximumMessage = Self.largest }
    for segment in segments { try inject(&world, segment) }
    #expect(reason(world) == .protocolViolation, "\(name)")
    #expect(world.second.statistics.isBalanced && world.secondHandler.violations == 0)
    Mail.expectNothingLeft(&world)
  }

  /// The peer is told.
  @Test func aViolationIsTold() throws {
    var world = try Mail.open()
    let (dialled, _) = (try Mail.dialled(world), try Mail.accepted(world))
    try inject(&world, Self.segment(0, [0x50]))
    _ = world.run(for: .milliseconds(20))
    guard case .remote(CloseCode.violation, _)? = world.firstHandler.closed[dialled] else {
      Issue.record("\(String(describing: world.firstHandler.closed[dialled]))")
      return
    }
  }

  // MARK: What is refused

  /// Early ones beyond what a peer may have are not acknowledged, and nothing is kept of them.
  @Test func earlyMessagesHaveABound() throws {
    var world = try Self.open { ($0.receivePoolBytes, $0.maximumMessage) = (1 << 18, 1 << 20) }
    let largest = world.first.maximumMessage(of: try Mail.dialled(world))
    #expect(largest == 1024)
    // Far ahead: what lists them would take more than there is.
    try inject(&world, Self.segment(5, Frame.bytes(.whole, number: 1 << 20, [1])))
    #expect(world.secondHandler.closed.isEmpty && world.second.statistics.poolExhausted == 1)
    #expect(world.second.statistics.poolBytesInUse == 0)
    // Many, each with its own bytes.
    for number in 1...2000 as ClosedRange<UInt32> {
      try inject(
        &world, Self.segment(number, Frame.bytes(.whole, lane: UInt8(number % 16), number: number, Mail.text(1, 900))))
    }
    #expect(world.second.statistics.poolBytesInUse <= 1 << 18 && world.second.statistics.poolExhausted > 100)
    #expect(world.secondHandler.mail.isEmpty && world.secondHandler.closed.isEmpty)
    Mail.expectNothingLeft(&world)
  }

  /// However many messages are begun, early or in order, and whatever they say of their length.
  @Test(arguments: [false, true]) func messagesInPartHaveABound(isEarly: Bool) throws {
    var world = try Self.open { $0.maximumMessage = 1 << 20 }
    var number: UInt32 = isEarly ? 1 : 0
    var most = 0
    for round in 0..<4000 as Range<UInt32> where world.secondHandler.closed.isEmpty {
      let total = round % 4 == 0 ? 1 << 20 : 2 + Int(round)
      try inject(
        &world,
        Self.segment(number, Frame.bytes(.fragment, lane: 2, isOrdered: false, number: round, total: total, [1])))
      number += 1
      most = max(most, Mail.inUse(world.second, "messages in part"))
      #expect(world.second.statistics.poolBytesInUse <= 128 << 20)
    }
    #expect(most <= 256, "\(most) in part")
    Mail.expectNothingLeft(&world)
  }

  /// Memory that messages in parts have taken is given back to all, whatever lengths come one after another.
  @Test func lengthsInTurnTakeNoMoreMemory() throws {
    var world = try Self.open { ($0.receivePoolBytes, $0.receivePeerBytes) = (8 << 20, 4 << 20) }
    var number: UInt32 = 0
    var message: UInt32 = 0
    var most = 0
    let lengths = [70, 100, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12_000, 16_000]
    for length in lengths {
      // Many at a time, of which all but one are given up.
      let first = message
      for _ in 0..<200 {
        try inject(
          &world,
          Self.segment(number, Frame.bytes(.fragment, lane: 1, isOrdered: false, number: message, total: length, [1])))
        (number, message) = (number + 1, message + 1)
      }
      for skipped in first + 1..<message {
        try inject(&world, Self.segment(number, Frame.bytes(.skip, lane: 1, isOrdered: false, number: skipped)))
        number += 1
      }
      most = max(most, world.second.incomingBytesHeld)
    }
    #expect(world.secondHandler.closed.isEmpty && Mail.inUse(world.second, "messages in part") == lengths.count)
    #expect(most <= 5 << 20, "\(most) bytes are held")
    Mail.expectNothingLeft(&world)
  }

  /// Parts and skips of what has come, in any order, again and again.
  @Test func whatHasComeDoesNotComeAgain() throws {
    var world = try Self.open()
    let text = Mail.text(4, 20)
    func part(_ number: UInt32, _ range: Range<Int>) -> [UInt8] {
      Frame.bytes(.fragment, number: number, offset: range.lowerBound, total: 20, Array(text[range]))
    }
    try inject(
      &world, Self.segment(0, part(0, 0..<20)), Self.segment(1, part(0, 0..<10)),
      Self.segment(2, Frame.bytes(.skip, number: 0)),
      Self.segment(3, Frame.bytes(.whole, number: 0, [9])),
      // Skipped, whole, skipped again, and a part of it.
      Self.segment(4, Frame.bytes(.skip, number: 1), Frame.bytes(.whole, number: 1, [9]), part(1, 0..<10)),
      // Early, and then said not to come; said not to come, and then early.
      Self.segment(7, Frame.bytes(.whole, number: 3, [3])), Self.segment(8, Frame.bytes(.skip, number: 3)),
      Self.segment(9, Frame.bytes(.skip, number: 4)), Self.segment(10, Frame.bytes(.whole, number: 4, [4])),
      Self.segment(11, part(5, 0..<10)), Self.segment(12, Frame.bytes(.skip, number: 5)),
      Self.segment(13, part(5, 10..<20)),
      Self.segment(14, part(6, 0..<20)), Self.segment(15, Frame.bytes(.skip, number: 6)), Self.segment(16),
      Self.segment(17, Frame.bytes(.skip, number: 2)), Self.segment(18, Frame.bytes(.whole, number: 7, [7])),
      Self.segment(5), Self.segment(6))
    #expect(world.secondHandler.closed.isEmpty, "\(String(describing: reason(world)))")
    #expect(world.secondHandler.texts == [text, [3], [4], text, [7]])
    #expect(world.second.statistics.poolBytesInUse < 2000 && Mail.inUse(world.second, "messages in part") == 0)
    Mail.expectNothingLeft(&world)
  }

  // MARK: Anything

  /// Segments of random frames, well formed and not, in any order and in pieces: nothing ends but the connection, and nothing is left.
  @Test(arguments: 1...60) func anyFrames(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    var world = try Self.open {
      if seed % 3 == 0 { $0.receivePoolBytes = 1 << 17 }
      $0.maximumMessage = seed % 2 == 0 ? 1024 : 5000
      $0.receiveWindow = 256
    }
    if seed % 4 == 1 { world.second.pause(try Mail.accepted(world)) }
    if seed % 5 == 1 { world.secondHandler.closesOn = 3 }
    // An honest one for its numbers, or not.
    let isCareful = seed % 2 == 0
    var next = [UInt32](repeating: 0, count: 32)
    var order: UInt32 = 0
    for _ in 0..<400 where world.secondHandler.closed.isEmpty {
      var frames: [UInt8] = []
      for _ in 0..<random.below(5) {
        let (lane, isOrdered) = (UInt8(random.below(3)), random.below(2) == 0)
        let place = Int(lane) + (isOrdered ? 16 : 0)
        let near = isCareful ? UInt32(random.below(3)) : UInt32(truncatingIfNeeded: random.next() % 40) &- 3
        let number = (next[place] &+ near) & MessageFrame.numberMask
        let payload = Mail.text(UInt8(random.below(6)), random.below(random.below(10) == 0 ? 600 : 40))
        switch random.below(6) {
        case 0...2:
          frames += Frame.bytes(.whole, lane: lane, isOrdered: isOrdered, number: number, payload)
          if random.below(2) == 0 { next[place] = MessageFrame.next(next[place]) }
        case 3:
          frames += Frame.bytes(.skip, lane: lane, isOrdered: isOrdered, number: number)
          if random.below(2) == 0 { next[place] = MessageFrame.next(next[place]) }
        default:
          let total = isCareful ? 120 : 1 + random.below(400)
          let offset = random.below(isCareful ? 3 : 300) * (isCareful ? 40 : 1)
          let bytes = isCareful ? Mail.text(1, 40) : Mail.text(1, 1 + random.below(100))
          frames += Frame.bytes(
            .fragment, lane: lane, isOrdered: isOrdered, number: number, offset: offset, total: total, bytes)
        }
      }
      if !isCareful, random.below(30) == 0 { frames = random.untrusted(like: [frames], longest: 60) }
      // In order, early, late.
      let number = random.below(3) > 0 ? order : order &+ UInt32(random.below(20)) &- 4
      if number == order { order &+= 1 }
      let peer = try Mail.dialled(world)
      if random.below(8) == 0, frames.count > 64 {
        let head = frames.count / 2 / 64 * 64
        for range in [0..<head, head..<frames.count].shuffled(using: &random) where !range.isEmpty {
          world.injectSealed(
            RawSegment.piece(
              number, flags: SegmentFlag.messages, offset: UInt16(range.lowerBound), total: UInt16(frames.count),
              Array(frames[range])), fromFirst: true, peer: peer)
        }
      } else if random.below(10) == 0 {
        world.injectSealed(RawSegment.data(number, Array(frames.prefix(50))), fromFirst: true, peer: peer)
      } else {
        world.injectSealed(Self.segment(number, frames), fromFirst: true, peer: peer)
      }
      if random.below(4) == 0 { _ = world.run(for: .microseconds(100)) }
    }
    _ = world.run(for: .milliseconds(10))
    #expect(world.second.statistics.isBalanced)
    let inPart = Mail.inUse(world.second, "messages in part")
    #expect(inPart <= 256)
    Mail.expectNothingLeft(&world, checksStream: false)
  }
}

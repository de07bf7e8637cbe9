// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// An interval as it stands in the block.
private struct Interval {
  var start: UInt64
  var firstReceived: Bool
  var lengths: [UInt64]
}

/// An `AckRun` that a test can make.
private struct Run: Equatable {
  var first: UInt32
  var count: UInt32
  var received: Bool
  var startsInterval: Bool
}

extension Run {
  init(_ run: AckRun) {
    self.init(first: run.first, count: run.count, received: run.received, startsInterval: run.startsInterval)
  }
}

@Suite struct AckBlockTests {
  private func parse(_ bytes: [UInt8]) throws(Malformed) -> AckBlock { try AckBlock.parse(bytes.raw) }
  private func isMalformed(_ bytes: [UInt8]) -> Bool { (try? parse(bytes)) == nil }

  private func runs(_ block: AckBlock, _ bytes: [UInt8], lastInOrder: UInt32) -> [Run] {
    var reader = AckRunReader(block: block, lastInOrder: lastInOrder)
    var runs: [Run] = []
    while let run = reader.next(bytes.raw) { runs.append(Run(run)) }
    return runs
  }

  private func run(_ first: UInt32, _ count: UInt32, _ received: Bool, starts: Bool = false) -> Run {
    Run(first: first, count: count, received: received, startsInterval: starts)
  }

  private func header(
    largest: UInt64 = 0, delay: UInt64 = 0, duplicates: UInt64 = 0, ect0: UInt64 = 0, ect1: UInt64 = 0, ce: UInt64 = 0
  ) -> AckBlock {
    AckBlock(
      largestPacketNumber: largest, delayMicroseconds: delay, duplicates: duplicates, ect0: ect0, ect1: ect1, ce: ce)
  }

  /// A block with zeros before its intervals, written without regard to the limits.
  private func block(_ intervals: [Interval], count: Int? = nil) -> [UInt8] {
    written(room: 8_000) { memory in
      var at = 0
      for _ in 0..<2 { Varint.write(0, into: &memory, at: &at) }
      Varint.write(UInt64(count ?? intervals.count) << 3, into: &memory, at: &at)
      for interval in intervals {
        Varint.write(interval.start, into: &memory, at: &at)
        Varint.write(UInt64(interval.lengths.count * 2 + (interval.firstReceived ? 1 : 0)), into: &memory, at: &at)
        for length in interval.lengths { Varint.write(length, into: &memory, at: &at) }
      }
      return at
    }
  }

  private func isMalformed(start: UInt64 = 0, _ lengths: UInt64...) -> Bool {
    isMalformed(block([Interval(start: start, firstReceived: false, lengths: lengths)]))
  }

  // MARK: By hand

  private static let byHand = """
    5234 800061a8 13 03 4040 00 c000000040000000
    00 06 01 3f 4040
    80ffffff 03 01
    """

  @Test func withoutIntervals() throws {
    let input = bytes("05 01 03 02 03 04 06")
    let block = try parse(input)
    #expect(block.largestPacketNumber == 5 && block.delayMicroseconds == 1 && block.duplicates == 2)
    #expect(block.ect0 == 3 && block.ect1 == 4 && block.ce == 6)
    #expect(block.intervalCount == 0 && block.runsOffset == 7)
    #expect(runs(block, input, lastInOrder: 9) == [])
  }

  @Test func withIntervals() throws {
    let input = bytes(Self.byHand)
    let block = try parse(input)
    #expect(block.largestPacketNumber == 0x1234 && block.delayMicroseconds == 25_000 && block.duplicates == 3)
    #expect(block.ect0 == 64 && block.ect1 == 0 && block.ce == 1 << 30)
    #expect(block.intervalCount == 2 && block.runsOffset == 19)
    #expect(
      runs(block, input, lastInOrder: 99) == [
        run(100, 1, false, starts: true), run(101, 63, true), run(164, 64, false),
        run(100 + 0xFF_FFFF, 1, true, starts: true),
      ])
  }

  @Test func writtenByHand() {
    var block = header(largest: 0x1234, delay: 25_000, duplicates: 3, ect0: 64, ce: 1 << 30)
    block.intervalCount = 2
    let output = written { memory in
      var writer = AckBlockWriter(capacity: memory.byteCount)
      writer.begin(block, into: &memory)
      writer.interval(start: 0, runCount: 3, firstReceived: false, into: &memory)
      for length in [1, 63, 64] as [UInt32] { writer.run(length, into: &memory) }
      writer.interval(start: 0xFF_FFFF, runCount: 1, firstReceived: true, into: &memory)
      writer.run(1, into: &memory)
      return writer.length
    }
    #expect(output == bytes(Self.byHand))
  }

  /// Varints need not be in their shortest form.
  @Test func longForms() throws {
    let input = bytes("4005 80000001 400b 4002 03 04 06  4000 4003 80000007")
    let block = try parse(input)
    #expect(block.largestPacketNumber == 5 && block.delayMicroseconds == 1 && block.duplicates == 2)
    #expect(runs(block, input, lastInOrder: 0) == [run(1, 7, true, starts: true)])
  }

  @Test(arguments: ["05 01 03 02 03 04 06", byHand])
  func cutAtEveryByte(hex: String) throws {
    let whole = bytes(hex)
    _ = try parse(whole)
    for count in 0..<whole.count { #expect(isMalformed(Array(whole[..<count]))) }
  }

  @Test(arguments: ["05 01 03 02 03 04 06", byHand])
  func nothingFollows(hex: String) {
    for trailing in ["00", "01", "0000", "0003 01"] { #expect(isMalformed(bytes(hex + trailing))) }
  }

  /// Counts of which there are none take no bytes.
  @Test func zerosAreLeftOut() throws {
    let output = written { memory in
      var writer = AckBlockWriter(capacity: memory.byteCount)
      writer.begin(header(largest: 9, delay: 7), into: &memory)
      return writer.length
    }
    #expect(output == bytes("09 07 00"))
    let block = try parse(output)
    #expect(block.duplicates == 0 && block.ect0 == 0 && block.ect1 == 0 && block.ce == 0 && !block.tellsPackets)
    #expect(try parse(bytes("09 07 01 04")).duplicates == 4)
    #expect(try parse(bytes("09 07 02 04 05 06")).ce == 6)
    // One that is told, and none.
    #expect(try parse(bytes("09 07 03 00 00 00 00")).duplicates == 0)
  }

  // MARK: Packet numbers

  @Test func packetNumbersAreReadFromTheLargestDown() throws {
    // 9 and 8 have come, 7 to 5 have not, 4 has; behind one interval.
    let input = bytes("09 00 0c 00 03 05  02 03 01")
    let block = try parse(input)
    #expect(block.tellsPackets && block.packetsOffset == 6 && block.intervalCount == 1)
    let verdicts = PacketVerdicts(block, input.raw)
    let told = (0..<12).map { verdicts.hasArrived($0) }
    #expect(told == [nil, nil, nil, nil, true, false, false, false, true, true, nil, nil])
  }

  @Test(arguments: [
    "09 00 04", "09 00 04 00", "09 00 04 02 00 01", "09 00 04 0b", "09 00 04 08 03", "09 00 04 0a 01",
    "09 00 04 ffffffffffffffff", "09 00 04 01 ffffffffffffffff", "09 00 04 40",
  ])
  func runsOfPacketNumbersOfWhichNoneIs(hex: String) { #expect(isMalformed(bytes(hex))) }

  @Test func packetNumbersTakeAtMost32Bytes() throws {
    let most = bytes("40ff 00 04") + [UInt8](repeating: 1, count: 32)
    #expect(try parse(most).tellsPackets)
    #expect(isMalformed(most + [1]))
    // As many numbers as there are.
    #expect(try parse(bytes("09 00 04 0a")).tellsPackets && parse(bytes("00 00 04 01")).tellsPackets)
  }

  /// Numbers are compared in 32 bits, wherever they stand.
  @Test(arguments: [(1 << 32) - 3, 1 << 32, (1 << 32) + 2, (1 << 62) - 1] as [UInt64])
  func packetNumbersBeyond32Bits(largest: UInt64) throws {
    let input = written { memory in
      var at = 0
      for value in [largest, 0, 4, 2, 3, 1] { Varint.write(value, into: &memory, at: &at) }
      return at
    }
    let verdicts = PacketVerdicts(try parse(input), input.raw)
    let told = (0..<8).map { verdicts.hasArrived(UInt32(truncatingIfNeeded: largest &- $0)) }
    #expect(told == [true, true, false, false, false, true, nil, nil])
    #expect(verdicts.hasArrived(UInt32(truncatingIfNeeded: largest &+ 1)) == nil)
  }

  /// A gap of more than half of 32 bits tells of nothing behind it, as it could not be told apart.
  @Test func aGapOfHalfTheNumbers() throws {
    let input = written { memory in
      var at = 0
      for value in [1 << 40, 0, 4, 1, 1 << 33, 1] as [UInt64] { Varint.write(value, into: &memory, at: &at) }
      return at
    }
    let verdicts = PacketVerdicts(try parse(input), input.raw)
    let told = ([0, 1, 2] as [UInt64]).map { verdicts.hasArrived(UInt32(truncatingIfNeeded: (1 << 40) - $0)) }
    #expect(told == [true, nil, nil])
  }

  @Test func whatIsTooLongOrTooMuchIsNotAppended() {
    var runs = PacketRuns()
    let (none, tooLong) = (runs.append(0), runs.append(0x4000))
    #expect(!none && !tooLong && runs.isEmpty)
    for _ in 0..<16 { _ = runs.append(64) }
    let more = runs.append(1)
    #expect(!more && runs.byteCount == 32)
  }

  // MARK: Limits

  @Test func atMostEightIntervals() throws {
    let one = Interval(start: 0, firstReceived: true, lengths: [1])
    #expect(try parse(block(Array(repeating: one, count: 8))).intervalCount == 8)
    #expect(isMalformed(block(Array(repeating: one, count: 9))))
    // A count that no bytes stand for.
    for count in [9, 64, 1 << 30, Int(Varint.maximum >> 3)] { #expect(isMalformed(block([one], count: count))) }
    #expect(isMalformed(block([one], count: 2)))
    #expect(isMalformed(block([one], count: 0)))
  }

  @Test func atMost512Runs() throws {
    func interval(_ count: Int) -> Interval {
      Interval(start: 0, firstReceived: false, lengths: Array(repeating: 1, count: count))
    }
    let input = block([interval(512)])
    #expect(runs(try parse(input), input, lastInOrder: 0).count == 512)
    #expect(isMalformed(block([interval(513)])))
    // In all intervals together.
    _ = try parse(block([interval(500), interval(12)]))
    #expect(isMalformed(block([interval(500), interval(13)])))
    #expect(isMalformed(block([interval(512), interval(1)])))
    _ = try parse(block(Array(repeating: interval(64), count: 8)))
    #expect(isMalformed(block(Array(repeating: interval(64), count: 7) + [interval(65)])))
  }

  /// Also a count that would not fit an addition to the runs before.
  @Test func countsWithoutBytes() {
    #expect(isMalformed(bytes("000008 00 ffffffffffffffff")))
    #expect(isMalformed(bytes("000010 000201 00 ffffffffffffffff 01")))
  }

  @Test func everyIntervalHasRuns() {
    #expect(isMalformed(bytes("000008 00 00")))
    #expect(isMalformed(bytes("000008 00 01")))
  }

  @Test func noRunIsEmpty() {
    #expect(!isMalformed(1, 1, 1))
    for lengths in [[0, 1, 1], [1, 0, 1], [1, 1, 0]] as [[UInt64]] {
      #expect(isMalformed(block([Interval(start: 0, firstReceived: false, lengths: lengths)])))
    }
    #expect(isMalformed(0))
  }

  @Test func startsWithinTheWindow() {
    #expect(!isMalformed(start: 0xFF_FFFF, 1))
    #expect(isMalformed(start: 0x100_0000, 1))
    #expect(isMalformed(start: Varint.maximum, 1))
  }

  @Test func endsWithinTheWindow() {
    #expect(isMalformed(start: 0xFF_FFFF, 2))
    #expect(!isMalformed(start: 1, 0xFF_FFFF))
    #expect(isMalformed(start: 2, 0xFF_FFFF))
    #expect(!isMalformed(start: 0, 0xFF_FFFF, 1))
    #expect(isMalformed(start: 0, 0xFF_FFFF, 2))
    #expect(isMalformed(start: 0, 0xFF_FFFF, 0xFF_FFFF))
    // Alone too long, and long enough to wrap a sum.
    for length in [0x100_0000, 1 << 32, Varint.maximum] as [UInt64] { #expect(isMalformed(start: 0, length)) }
  }

  // MARK: Reading runs

  @Test(arguments: [UInt32.max - 3, .max - 1, .max, 0x7FFF_FFFE])
  func numbersWrap(lastInOrder: UInt32) throws {
    let input = block([
      Interval(start: 2, firstReceived: true, lengths: [3, 2]),
      Interval(start: 0xFF_FFFE, firstReceived: false, lengths: [1, 1]),
    ])
    let first = lastInOrder &+ 3
    let second = lastInOrder &+ 0xFF_FFFF
    #expect(
      runs(try parse(input), input, lastInOrder: lastInOrder) == [
        run(first, 3, true, starts: true), run(first &+ 3, 2, false),
        run(second, 1, false, starts: true), run(second &+ 1, 1, true),
      ])
  }

  /// A reader is given the bytes anew each time; shorter ones than were parsed end it.
  @Test func readerEndsWithTheBytes() throws {
    let input = bytes(Self.byHand)
    let block = try parse(input)
    let whole = runs(block, input, lastInOrder: 0)
    for count in 0..<input.count {
      let cut = runs(block, Array(input[..<count]), lastInOrder: 0)
      #expect(cut.count < whole.count && cut == Array(whole[..<cut.count]))
    }
  }

  /// Lists of runs of every size, from none to as many as there may be.
  @Test(arguments: 0..<200 as Range<UInt64>)
  func roundTrips(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    var intervals: [Interval] = []
    var left = AckBlock.maximumRuns
    for _ in 0..<random.below(AckBlock.maximumIntervals + 1) where left > 0 {
      var interval = Interval(
        start: random.next() & 0xFF_FFFF >> UInt64(random.below(24)), firstReceived: Bool.random(using: &random),
        lengths: [])
      var end = interval.start
      for _ in 0...random.below(left) where end < 0x100_0000 {
        let most = min(0x100_0000 - end, 0xFF_FFFF, 1 << UInt64(random.below(25)))
        interval.lengths.append(random.next() % most + 1)
        end += interval.lengths.last!
      }
      left -= interval.lengths.count
      intervals.append(interval)
    }
    func field() -> UInt64 { random.next() >> UInt64(2 + random.below(62)) }
    var block = header(
      largest: field(), delay: field(), duplicates: field(), ect0: field(), ect1: field(), ce: field())
    block.intervalCount = intervals.count

    // Room is what the writer's bounds promise to be enough.
    let bound =
      AckBlockWriter.headerBound + intervals.count * AckBlockWriter.intervalBound
      + (AckBlock.maximumRuns - left) * AckBlockWriter.runBound
    let output = written(room: bound) { memory in
      var writer = AckBlockWriter(capacity: memory.byteCount)
      writer.begin(block, into: &memory)
      for interval in intervals {
        writer.interval(
          start: UInt32(interval.start), runCount: interval.lengths.count, firstReceived: interval.firstReceived,
          into: &memory)
        for length in interval.lengths { writer.run(UInt32(length), into: &memory) }
      }
      return writer.length
    }

    let parsed = try parse(output)
    #expect(parsed.largestPacketNumber == block.largestPacketNumber)
    #expect(parsed.delayMicroseconds == block.delayMicroseconds && parsed.duplicates == block.duplicates)
    #expect(parsed.ect0 == block.ect0 && parsed.ect1 == block.ect1 && parsed.ce == block.ce)
    #expect(parsed.intervalCount == intervals.count)

    let lastInOrder = UInt32(truncatingIfNeeded: random.next())
    var expected: [Run] = []
    for interval in intervals {
      var at = lastInOrder &+ 1 &+ UInt32(interval.start)
      for (index, length) in interval.lengths.enumerated() {
        let received = (index % 2 == 0) == interval.firstReceived
        expected.append(run(at, UInt32(length), received, starts: index == 0))
        at &+= UInt32(length)
      }
    }
    #expect(runs(parsed, output, lastInOrder: lastInOrder) == expected)
  }

  // MARK: Random bytes

  @Test func randomBytes() {
    let valid = [
      bytes("05 01 03 02 03 04 06"), bytes(Self.byHand), bytes("4005 80000001 400b 4002 03 04 06  4000 4003 80000007"),
      block([
        Interval(start: 1, firstReceived: true, lengths: [3, 2, 70_000]),
        Interval(start: 0xFF_0000, firstReceived: false, lengths: [200, 1, 1, 1]),
      ]),
    ]
    var random = SplitMix(state: 8)
    var parsed = 0
    var seen = 0
    var wrong = 0
    for _ in 0..<100_000 {
      let input = random.untrusted(like: valid, longest: 40)
      guard let block = try? parse(input) else { continue }
      parsed += 1
      if !(3...input.count).contains(block.runsOffset) || !(0...8).contains(block.intervalCount) { wrong += 1 }
      let lastInOrder = UInt32(truncatingIfNeeded: random.next())
      let all = runs(block, input, lastInOrder: lastInOrder)
      seen += all.count
      if all.count > 512 || all.count(where: \.startsInterval) != block.intervalCount { wrong += 1 }
      for (index, run) in all.enumerated() {
        let start = Int(run.first &- lastInOrder) - 1
        if run.count == 0 || start < 0 || start + Int(run.count) > 0x100_0000 { wrong += 1 }
        if run.startsInterval { continue }
        let last = all[index - 1]
        if last.first &+ last.count != run.first || last.received == run.received { wrong += 1 }
      }
    }
    #expect(wrong == 0 && parsed > 5_000 && seen > 5_000)
  }
}

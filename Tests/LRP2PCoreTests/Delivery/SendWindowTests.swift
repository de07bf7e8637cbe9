// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct SendWindowTests {
  /// A path that loses and reorders, in virtual time, until everything has arrived and is known to.
  private func run(_ checked: inout CheckedSendWindow, seed: Int, bytes: UInt64) {
    var random = TestRandom(seed: seed)
    var receiver = ModelReceiver()
    var data: [(arrival: Instant, number: Int, packetNumber: UInt64)] = []
    var acks: [(arrival: Instant, ack: ModelAck)] = []
    let loss = [0, 2, 20, 50][seed % 4]
    let ackLoss = [0, 10, 60][seed % 3]
    let isPartial = seed % 2 == 1
    let total = checked.offered + bytes
    let limit = UInt64(5_000 + random.below(200_000))
    let jitter = seed % 5 == 0 ? 1 : 6000
    var steps = 0

    func arrival(_ now: Instant, _ random: inout TestRandom) -> Instant {
      now + .milliseconds(5) + .microseconds(UInt64(random.below(jitter)))
    }
    while !checked.window.isComplete, checked.wrong.isEmpty, steps < 60_000 {
      steps += 1
      // The user offers piece by piece, and finishes with the last bytes or some time later.
      if checked.offered < total, random.happens(percent: 30) {
        checked.offered = min(total, checked.offered + UInt64(random.below(20_000)))
        checked.window.offer(upTo: checked.offered)
      }
      if checked.offered == total, !checked.isFinished, random.happens(percent: 20) {
        checked.isFinished = true
        checked.window.finish()
      }
      var burst = random.below(12)
      while burst > 0, checked.window.bytesInFlight < limit, let number = checked.send(capacity: 1200) {
        burst -= 1
        if !random.happens(percent: loss) {
          data.append((arrival(checked.now, &random), number, checked.packetNumber))
        }
      }
      if data.isEmpty, acks.isEmpty {
        for isNewest in [true, false] {
          guard let number = checked.probe(newest: isNewest) else { continue }
          if !random.happens(percent: loss) {
            data.append((arrival(checked.now, &random), number, checked.packetNumber))
          }
        }
      }
      checked.check()

      checked.now += UInt64(random.below(random.happens(percent: 10) ? 8_000_000 : 400_000))
      let arrived = data.filter { $0.arrival <= checked.now }.sorted { $0.arrival < $1.arrival }
      data.removeAll { $0.arrival <= checked.now }
      for segment in arrived {
        receiver.receive(segment.number, packetNumber: segment.packetNumber)
        if random.happens(percent: 5) { receiver.receive(segment.number, packetNumber: segment.packetNumber) }
        guard random.happens(percent: 60) || data.isEmpty, !random.happens(percent: ackLoss) else { continue }
        let ack = receiver.ack(
          window: 4 + random.below(300), isPartial: isPartial, tellsPackets: seed % 4 < 2, &random)
        acks.append((arrival(checked.now, &random), ack))
      }
      let told = acks.filter { $0.arrival <= checked.now }.sorted { $0.arrival < $1.arrival }
      acks.removeAll { $0.arrival <= checked.now }
      for entry in told where checked.wrong.isEmpty {
        checked.acknowledge(entry.ack)
        checked.check()
      }
      if checked.lossTime <= checked.now {
        checked.lossTimer()
        checked.check()
      }
    }
    let wrong = checked.wrong.first
    let isComplete = checked.window.isComplete
    #expect(wrong == nil && isComplete, "\(steps) steps: \(wrong ?? "")")
    let finAcknowledged = checked.window.finAcknowledged
    #expect(finAcknowledged && checked.acknowledgedOffset == total && (loss == 0 || bytes < 2 || checked.losses > 0))
  }

  /// Numbers, packet numbers and the clock in microseconds all wrap around now and then.
  @Test(arguments: 0..<48)
  func agreesWithAModel(seed: Int) {
    let first: UInt32 = [0, 1, .max - 5, .max - 300, 1 << 31 - 40][seed % 5]
    let now: Instant = [0, 1_000_000_000, (1 << 32 - 50_000) * 1000, 1 << 45 + 12_345][seed / 4 % 4]
    let packetNumber: UInt64 = [0, 1 << 32 - 100, 1 << 31 - 20, 1 << 40][seed / 2 % 4]
    var checked = CheckedSendWindow(
      first: first, window: [4, 64, 3000][seed % 3], now: now, packetNumber: packetNumber)
    run(&checked, seed: seed, bytes: [0, 1, 600_000][min(seed, 2)])
  }

  /// Offsets are kept in 40 bits.
  @Test(.enabled(if: !_isDebugAssertConfiguration(), "16 million segments"))
  func beyondOneTebibyte() {
    var checked = CheckedSendWindow(
      first: .max - 70_000, window: 3000, now: 0, packetNumber: 1 << 32 - 100, skipped: 1 << 40 - 300_000)
    run(&checked, seed: 2, bytes: 900_000)
  }

  // MARK: Whole segments

  /// What may leave at once are the segments that would leave one by one, and so is what is remembered of them.
  @Test(arguments: 0..<60)
  func wholeSegmentsAreWhatSingleOnesAre(seed: Int) {
    var random = TestRandom(seed: seed)
    let capacity = [1, 100, 1200][seed % 3]
    let first: UInt32 = [0, .max - 40, 1 << 31 - 9][seed / 3 % 3]
    var together = SendWindow(first: first, window: 0)
    var singly = SendWindow(first: first, window: 0)
    let window = UInt32(1 + random.below(300))
    together.open(window: window)
    singly.open(window: window)
    var (offered, packetNumber, now): (UInt64, UInt64, Instant) = (0, 1 << 32 - 30, .seconds(5))
    var (wrong, whole) = (0, 0)
    for _ in 0..<60 {
      if !together.finRequested { offered += UInt64(random.below(20 * capacity)) }
      let finishes = random.happens(percent: 3)
      together.offer(upTo: offered)
      singly.offer(upTo: offered)
      if finishes {
        together.finish()
        singly.finish()
      }
      let allowed = together.wholeSegments(capacity: capacity)
      let count = allowed == 0 ? 0 : 1 + random.below(allowed)
      if count > 0 { together.sent(whole: count, of: capacity, packetNumber: packetNumber, now: now) }
      for index in 0..<count {
        guard let segment = singly.nextSegment(capacity: capacity) else {
          wrong += 1
          break
        }
        if segment.length != capacity || segment.isFin || segment.isRetransmission { wrong += 1 }
        singly.sent(segment, packetNumber: packetNumber + UInt64(index), now: now)
      }
      packetNumber += UInt64(count)
      whole += count
      // What the long way is left with: a short one, the last one, or the first that the ring has no room for.
      if count == allowed, let segment = singly.nextSegment(capacity: capacity) {
        let isFull = singly.next &- singly.base == UInt32(singly.ring.count)
        if segment.length == capacity, !segment.isFin, !isFull { wrong += 1 }
        together.sent(segment, packetNumber: packetNumber, now: now)
        singly.sent(segment, packetNumber: packetNumber, now: now)
        packetNumber += 1
      }
      let isSame =
        together.next == singly.next && together.bytesInFlight == singly.bytesInFlight
        && together.packetsInFlight == singly.packetsInFlight && together.bytesWaiting == singly.bytesWaiting
        && together.hasData == singly.hasData && together.isWindowClosed == singly.isWindowClosed
      if !isSame { wrong += 1 }
      var number = singly.base
      while number != singly.next {
        let (one, other) = (together.outstanding(from: number), singly.outstanding(from: number))
        if one.map(String.init(describing:)) != other.map(String.init(describing:)) { wrong += 1 }
        if together.lastTransmission(of: number)! != singly.lastTransmission(of: number)! { wrong += 1 }
        number &+= 1
      }
      now += .microseconds(7)
    }
    #expect(wrong == 0 && (whole > 0 || window == 1))
  }

  // MARK: By hand

  /// Sends `count` segments a millisecond apart, under packet numbers 1, 2, 3 …
  private func sending(_ count: Int, first: UInt32 = 0) -> CheckedSendWindow {
    var checked = CheckedSendWindow(first: first, window: 1000, now: .seconds(1), packetNumber: 0)
    checked.offered = UInt64(count) * 100
    checked.window.offer(upTo: checked.offered)
    for _ in 0..<count {
      _ = checked.send(capacity: 100)
      checked.now += .milliseconds(1)
    }
    return checked
  }

  private func ack(_ cumulative: Int, largest: UInt64, _ ranges: [Range<Int>], received: Set<Int>) -> ModelAck {
    ModelAck(cumulative: cumulative, window: 1000, largest: largest, ranges: ranges, received: received)
  }

  private func expectFine(_ checked: consuming CheckedSendWindow) {
    let wrong = checked.wrong.first
    #expect(wrong == nil)
  }

  /// Two packets before the last one: both are found lost when their time has come, not only the first.
  @Test func lossTimerFindsBoth() {
    var checked = sending(5)
    checked.acknowledge(ack(2, largest: 5, [2..<5], received: [0, 1, 4]))
    #expect(checked.suspects.map(\.number) == [2, 3])
    checked.now = checked.lossTime
    checked.lossTimer()
    #expect(checked.losses == 1)
    checked.now = checked.lossTime
    checked.lossTimer()
    #expect(checked.losses == 2 && checked.lossTime == .never)
    checked.check()
    expectFine(checked)
  }

  /// A retransmission that an ACK has no room to describe is not missing, however old it is.
  @Test func undescribedRetransmissionIsNotSuspected() {
    var checked = sending(8)
    // Segment 1 is lost, and sent again as packet 9; segments 8 and 9 follow as packets 10 and 11.
    checked.acknowledge(ack(1, largest: 8, [1..<8], received: [0, 2, 3, 4, 5, 6, 7]))
    #expect(checked.losses == 1 && checked.send(capacity: 100) == 1)
    checked.offered += 200
    checked.window.offer(upTo: checked.offered)
    #expect(checked.send(capacity: 100) == 8 && checked.send(capacity: 100) == 9)
    // Packets 9 and 11 arrive; the ACK still says 0 is last in order and tells only of the newest.
    checked.acknowledge(ack(1, largest: 11, [7..<10], received: [0, 2, 3, 4, 5, 6, 7, 9]))
    checked.now += .seconds(1)
    checked.lossTimer()
    // Segment 8 was told to be missing.
    #expect(checked.losses == 2)
    checked.check()
    expectFine(checked)
  }

  /// Loses segments 1 and 2 of eight, sends them again as packets 9 and 10, and two new ones as packets 11 and 12.
  private func sendingAgain() -> CheckedSendWindow {
    var checked = sending(8)
    checked.acknowledge(ack(1, largest: 8, [1..<8], received: [0, 3, 4, 5, 6, 7]))
    let again = [checked.send(capacity: 100), checked.send(capacity: 100)]
    checked.offered += 200
    checked.window.offer(upTo: checked.offered)
    let new = [checked.send(capacity: 100), checked.send(capacity: 100)]
    #expect(checked.losses == 2 && again == [1, 2] && new == [8, 9])
    return checked
  }

  /// Packet numbers tell that a retransmission was lost which no interval describes.
  @Test func aLostRetransmissionIsFoundByItsPacketNumber() {
    var checked = sendingAgain()
    // Packets 11 and 12 arrive; the intervals tell only of the newest.
    let arrived: Set<UInt64> = [11, 12]
    var told = ModelAck(
      cumulative: 1, window: 1000, largest: 12, ranges: [7..<10], received: [0, 3, 4, 5, 6, 7, 8, 9],
      arrived: { $0 > 8 ? arrived.contains($0) : nil })
    checked.acknowledge(told)
    // One is three behind, the other not, and too young.
    #expect(checked.losses == 3 && checked.suspects.map(\.number) == [2])
    // One packet more is enough.
    checked.offered += 100
    checked.window.offer(upTo: checked.offered)
    // What was lost again is sent twice.
    let more = [checked.send(capacity: 100), checked.send(capacity: 100), checked.send(capacity: 100)]
    #expect(more == [1, 1, 10])
    told = ModelAck(
      cumulative: 1, window: 1000, largest: 15, ranges: [9..<11], received: [0, 3, 4, 5, 6, 7, 8, 9, 10],
      arrived: { $0 > 8 ? arrived.contains($0) || $0 > 14 : nil })
    checked.acknowledge(told)
    #expect(checked.losses == 4)
    checked.check()
    expectFine(checked)
  }

  /// What was lost again is sent twice in a row: that the first of the two has not arrived makes nothing lost if the second has.
  @Test(arguments: [true, false]) func whatIsSentTwiceIsLostIfBothAre(secondHasArrived: Bool) {
    var checked = sendingAgain()
    let kept: Set<Int> = [0, 3, 4, 5, 6, 7, 8, 9]
    checked.acknowledge(
      ModelAck(
        cumulative: 1, window: 1000, largest: 12, ranges: [7..<10], received: kept,
        arrived: { $0 > 8 ? $0 > 10 : nil }))
    checked.offered += 300
    checked.window.offer(upTo: checked.offered)
    // Packets 13 and 14 are segment 1; 15 to 17 are new.
    let sent = (0..<5).map { _ in checked.send(capacity: 100) }
    #expect(sent == [1, 1, 10, 11, 12] && checked.losses == 3)
    checked.acknowledge(
      ModelAck(
        cumulative: 1, window: 1000, largest: 17, ranges: [9..<13], received: kept.union([10, 11, 12]),
        arrived: { $0 > 8 ? $0 > 14 || $0 == 14 && secondHasArrived || $0 == 11 || $0 == 12 : nil }))
    // Segment 2, packet 10, is lost in any case.
    #expect(checked.losses == (secondHasArrived ? 4 : 5))
    checked.check()
    expectFine(checked)
  }

  /// The path has become longer: what this ACK's round trip makes of the time threshold counts for what it describes as missing.
  @Test func aLongerRoundTripMakesNoLoss() {
    var checked = sending(4)
    checked.now += .milliseconds(600)
    // Packet 3 is late, behind packet 4.
    checked.acknowledge(ack(2, largest: 4, [2..<4], received: [0, 1, 3]))
    #expect(checked.losses == 0 && checked.suspects.map(\.number) == [2])
    checked.check()
    expectFine(checked)
  }

  /// An ACK that loses nothing is no work for all that is in flight, in each of its intervals anew, on a path that reorders.
  @Test(arguments: [2_000, 200_000]) func anACKThatLosesNothingCostsLittle(inFlight: Int) throws {
    var window = SendWindow(first: 0, window: 1 << 20)
    window.offer(upTo: 1 << 30)
    for number in 0..<inFlight {
      guard let segment = window.nextSegment(capacity: 100) else { break }
      window.sent(segment, packetNumber: UInt64(number), now: .seconds(1))
    }
    for _ in 0..<30 { window.widenReordering(roundTrip: 0, now: .seconds(1)) }
    var arena = Arena(byteCount: 1000)
    var bytes = arena.mutableBytes(0, 1000)
    var writer = AckBlockWriter(capacity: 1000)
    var header = AckBlock(
      largestPacketNumber: UInt64(inFlight - 1), delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    header.intervalCount = AckBlock.maximumIntervals
    writer.begin(header, into: &bytes)
    for _ in 0..<AckBlock.maximumIntervals {
      writer.interval(start: 0, runCount: 1, firstReceived: false, into: &bytes)
      writer.run(UInt32(inFlight), into: &bytes)
    }
    let block = try AckBlock.parse(arena.bytes(0, writer.length))
    let outcome = try window.acknowledge(
      lastInOrder: .max, window: 1 << 20, block: block, arena.bytes(0, writer.length), lossDelay: .seconds(10),
      tellsNewest: true, isNewest: true, now: .seconds(2))
    #expect(outcome.lostPackets == 0 && outcome.lossTime == .seconds(11))
    // What waits for the time threshold, and one for each of the other intervals.
    #expect(outcome.examined == 64 + AckBlock.maximumIntervals - 1)
  }

  /// A packet has arrived, and its segment was not kept: the packet number settles nothing, a later interval does.
  @Test func whatHasArrivedIsNotAcknowledgedByItsPacketNumber() {
    var checked = sendingAgain()
    let inFlight = checked.window.packetsInFlight
    checked.acknowledge(
      ModelAck(
        cumulative: 1, window: 1000, largest: 12, ranges: [7..<10], received: [0, 3, 4, 5, 6, 7],
        arrived: { $0 > 8 ? true : nil }))
    // 8 and 9 are described as missing, the newest of them too young; 1 and 2 are not described.
    let stillInFlight = checked.window.packetsInFlight
    #expect(checked.losses == 2 && inFlight == 4 && stillInFlight == 4)
    checked.acknowledge(ack(1, largest: 12, [1..<10], received: [0, 3, 4, 5, 6, 7]))
    #expect(checked.losses == 3)
    checked.check()
    expectFine(checked)
  }

  /// No ACK describes what was sent again, by number or by packet number: after four times the time threshold it is lost, and
  /// whatever waited behind it too.
  @Test func whatNoACKDescribesIsLostInTheEnd() throws {
    let checked = sendingAgain()
    var window = checked.window
    func acknowledge(at now: Instant) throws -> Int {
      let told = ack(1, largest: 12, [7..<10], received: [0, 3, 4, 5, 6, 7, 8, 9])
      let block = try AckBlock.parse(told.bytes.rawBytes)
      return try window.acknowledge(
        lastInOrder: 0, window: 1000, block: block, told.bytes.rawBytes, lossDelay: CheckedSendWindow.lossDelay,
        tellsNewest: true, isNewest: true, now: now
      ).lostPackets
    }
    let sent = checked.now
    let counts = try [3, 4, 5].map { try acknowledge(at: sent + $0 * CheckedSendWindow.lossDelay) }
    #expect(counts == [0, 2, 0])
  }

  /// A probe that repeats a segment not yet lost starts its life anew.
  @Test func probeIsJudgedByItsLastTransmission() {
    var checked = sending(3)
    #expect(checked.probe(newest: true) == 2 && checked.probe(newest: false) == 0)
    // Packet 4 (segment 2) has arrived, packets 1 … 3 have not: only segment 1 is three behind… and it is two.
    checked.acknowledge(ack(0, largest: 4, [0..<3], received: [2]))
    #expect(checked.losses == 0 && checked.suspects.map(\.number) == [1])
    checked.check()
    checked.now += .seconds(1)
    checked.lossTimer()
    #expect(checked.losses == 1)
    checked.check()
    expectFine(checked)
  }

  @Test(arguments: [0, .max - 2] as [UInt32])
  func neverSentIsAViolation(first: UInt32) {
    func isViolation(_ ack: ModelAck) -> Bool {
      let checked = sending(5, first: first)
      var window = checked.window
      let block = try! AckBlock.parse(ack.bytes.rawBytes)
      do throws(SendWindow.Violation) {
        _ = try window.acknowledge(
          lastInOrder: first &+ UInt32(ack.cumulative) &- 1, window: 10, block: block, ack.bytes.rawBytes,
          lossDelay: 1000, now: .seconds(2))
        return false
      } catch {
        return true
      }
    }
    #expect(!isViolation(ack(5, largest: 5, [], received: [])))
    #expect(isViolation(ack(6, largest: 5, [], received: [])))
    #expect(isViolation(ack(1 << 20, largest: 5, [], received: [])))
    #expect(!isViolation(ack(0, largest: 5, [0..<5], received: [4])))
    #expect(isViolation(ack(0, largest: 5, [0..<6], received: [5])))
    // Missing what was never sent is as wrong as having it.
    #expect(isViolation(ack(0, largest: 5, [1..<6], received: [1])))
    #expect(isViolation(ack(3, largest: 5, [1000..<1001], received: [1000])))
  }

  /// Only FIN, under a window that opens late.
  @Test func emptyStream() {
    var window = SendWindow(first: 9, window: 0)
    window.finish()
    let isClosed = window.isWindowClosed && window.nextSegment(capacity: 100) == nil
    window.open(window: 1)
    guard let segment = window.nextSegment(capacity: 100) else {
      Issue.record("no FIN")
      return
    }
    #expect(isClosed && segment.isFin && segment.length == 0 && segment.number == 9)
    window.sent(segment, packetNumber: 1, now: 0)
    let isFirst = window.isFirst(9) && !window.isFirst(10)
    let isOver = !window.hasNew && window.nextSegment(capacity: 100) == nil && !window.isComplete
    let block = AckBlock(largestPacketNumber: 1, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    let outcome = try? window.acknowledge(
      lastInOrder: 9, window: 0, block: block, RawSpan(), lossDelay: 1000, now: 5000)
    let isComplete = window.isComplete
    #expect(isFirst && isOver && isComplete && outcome?.sample == 5000)
  }

  /// A segment lost a second time is sent twice in a row, and lost only if the first of the two is.
  @Test func whatIsLostAgainIsSentTwice() {
    var checked = sending(20)
    checked.acknowledge(ack(0, largest: 12, [0..<12], received: Set(1..<12)))
    #expect(checked.send(capacity: 100) == 0)
    let again = checked.window.nextSegment(capacity: 100) == nil
    #expect(again)
    checked.acknowledge(ack(0, largest: checked.packetNumber, [0..<20], received: Set(1..<20)))
    checked.now += .milliseconds(30)
    checked.lossTimer()
    checked.acknowledge(ack(0, largest: checked.packetNumber + 3, [0..<20], received: Set(1..<20)))
    let twice = [checked.send(capacity: 100), checked.send(capacity: 100), checked.send(capacity: 100)]
    #expect(twice == [0, 0, nil])
    checked.check()
    expectFine(checked)
  }

  @Test func whatALargeWindowTookIsGivenBack() {
    var window = SendWindow(first: 0, window: 1 << 20)
    window.offer(upTo: 1 << 30)
    for number in 0..<100_000 as Range<UInt64> {
      window.sent(window.nextSegment(capacity: 100)!, packetNumber: number, now: number)
    }
    window.shrink()
    let large = window.ring.count
    #expect(large >= 100_000)
    let block = AckBlock(largestPacketNumber: 99_999, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    _ = try? window.acknowledge(
      lastInOrder: 99_999, window: 1 << 20, block: block, RawSpan(), lossDelay: 1, now: 100_000)
    window.shrink()
    let small = window.ring.count
    #expect(small == 16)
    // And it goes on.
    window.sent(window.nextSegment(capacity: 100)!, packetNumber: 100_000, now: 100_000)
    let isOutstanding = window.hasOutstanding
    #expect(isOutstanding)
  }
}

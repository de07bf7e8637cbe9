// SPDX-License-Identifier: MIT
import LRP2PCore

/// What the sender ought to know of one segment.
struct SentModel {
  enum State { case outstanding, acknowledged, lost, refused }
  var offset: UInt64
  var length: Int
  var isFin: Bool
  var state = State.outstanding
  var packetNumber: UInt64
  /// It has left twice: under the next packet number, too.
  var isTwice = false
  var time: Instant
  var wasResent = false
  /// It was sent again because it was lost, and may be once more.
  var mayDouble = false

  var cost: UInt64 { UInt64(length + SendWindow.overhead) }
  /// As the window counts it, in whole microseconds.
  func age(_ now: Instant) -> Nanoseconds { (now / 1000 - time / 1000) * 1000 }
}

/// What an ACK, or the loss timer, must report.
struct ExpectedOutcome {
  var acknowledgedBytes: UInt64 = 0
  var acknowledgedPackets = 0
  var sample: Nanoseconds?
  var lostPackets = 0
  var newestLostTime: Instant = 0
  var lossTime: Instant = .never
  var windowAdvanced = false
  var refusedPackets = 0
}

/// One ACK on its way: what it says and its bytes.
struct ModelAck {
  var cumulative: Int
  var window: Int
  var largest: UInt64
  /// What it describes of each number above `cumulative`.
  var described: [Int: Bool] = [:]
  /// What it tells of packet numbers.
  var packets: [UInt64: Bool] = [:]
  var bytes: [UInt8] = []

  /// Describes `ranges`, of which `received` is the part that has arrived, and of packet numbers those for which `arrived` is not
  /// nil, newest first, until it is.
  init(
    cumulative: Int, window: Int, largest: UInt64, ranges: [Range<Int>], received: Set<Int>,
    arrived: (UInt64) -> Bool? = { _ in nil }
  ) {
    self.cumulative = cumulative
    self.window = window
    self.largest = largest
    var arena = Arena(byteCount: 16_384)
    var span = arena.mutableBytes(0, 16_384)
    var writer = AckBlockWriter(capacity: 16_384)
    var header = AckBlock(largestPacketNumber: largest, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    header.intervalCount = ranges.count
    let runs = packetRuns(arrived)
    header.tellsPackets = !runs.isEmpty
    writer.begin(header, into: &span)
    for range in ranges {
      var runs: [UInt32] = []
      for number in range {
        let isReceived = received.contains(number)
        if number > range.lowerBound, isReceived == described[number - 1] {
          runs[runs.count - 1] += 1
        } else {
          runs.append(1)
        }
        described[number] = isReceived
      }
      writer.interval(
        start: UInt32(range.lowerBound - cumulative), runCount: runs.count,
        firstReceived: received.contains(range.lowerBound), into: &span)
      for run in runs { writer.run(run, into: &span) }
    }
    if header.tellsPackets { writer.packets(runs, into: &span) }
    let written = arena.bytes(0, writer.length)
    bytes = (0..<written.byteCount).map { written.byte($0) }
  }
}

extension ModelAck {
  /// Notes what is told, and gives it as an ACK has it.
  private mutating func packetRuns(_ arrived: (UInt64) -> Bool?) -> PacketRuns {
    var runs = PacketRuns()
    guard arrived(largest) == true else { return runs }
    var lengths: [Int] = []
    var last = false
    var number = largest
    while let has = arrived(number), lengths.count < 30 {
      if has == last { lengths[lengths.count - 1] += 1 } else { lengths.append(1) }
      last = has
      guard number > 0 else { break }
      number -= 1
    }
    number = largest &+ 1
    for (index, length) in lengths.enumerated() {
      guard runs.append(length) else { break }
      for _ in 0..<length {
        number &-= 1
        packets[number] = index % 2 == 0
      }
    }
    return runs
  }
}

/// The window, told by an array what it must do. Numbers of the model count from the first one.
struct CheckedSendWindow: ~Copyable {
  static let lossDelay: Nanoseconds = .milliseconds(20)

  let first: UInt32
  var window: SendWindow
  var entries: [SentModel] = []
  var now: Instant
  var packetNumber: UInt64
  var base = 0
  var edge: Int
  var nextOffset: UInt64
  var offered: UInt64
  var acknowledgedOffset: UInt64
  var isFinished = false
  /// Retransmissions in order of sending.
  var resends: [(number: Int, packetNumber: UInt64)] = []
  /// Described missing by the last ACK and too young to be lost.
  var suspects: [(number: Int, packetNumber: UInt64)] = []
  var lossTime: Instant = .never
  /// The time threshold by the ACK that is taken: its own round trip may be the longest.
  private var delay = Self.lossDelay
  var losses = 0
  var refusals = 0
  /// The largest packet number that an ACK has told.
  var newestTold: UInt64 = 0
  var wrong: [String] = []

  /// - Parameter skipped: bytes sent and acknowledged beforehand, to come to large offsets.
  init(first: UInt32, window size: Int, now: Instant, packetNumber: UInt64, skipped: UInt64 = 0) {
    window = SendWindow(first: first, window: 0)
    self.now = now
    self.packetNumber = packetNumber
    var next = first
    var left = skipped
    window.offer(upTo: skipped)
    while left > 0 {
      window.open(window: next &- first &+ 4096)
      while let segment = window.nextSegment(capacity: 0x7FFF), next &- window.base < 4096 {
        window.sent(segment, packetNumber: 0, now: 0)
        next &+= 1
        left -= UInt64(segment.length)
      }
      let block = AckBlock(largestPacketNumber: 0, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
      _ = try? window.acknowledge(
        lastInOrder: next &- 1, window: 0, block: block, RawSpan(), lossDelay: Self.lossDelay, now: 0)
    }
    self.first = next
    nextOffset = skipped
    offered = skipped
    acknowledgedOffset = skipped
    edge = size - 1
    window.open(window: next &- first &+ UInt32(size))
  }

  private var missing: String { "at \(entries.count) sent, \(base) base" }

  mutating func check() {
    var packets = 0
    var bytes: UInt64 = 0
    var lost = 0
    var refused = 0
    for entry in entries[base...] {
      switch entry.state {
      case .outstanding:
        packets += 1
        bytes += entry.cost
      case .lost: lost += 1
      case .refused: refused += 1
      case .acknowledged: break
      }
    }
    if window.packetsInFlight != packets { wrong.append("\(window.packetsInFlight) in flight, not \(packets)") }
    if window.bytesInFlight != bytes { wrong.append("\(window.bytesInFlight) bytes in flight, not \(bytes)") }
    if window.lostPending != lost { wrong.append("\(window.lostPending) lost, not \(lost), \(missing)") }
    if window.refusedPending != refused { wrong.append("\(window.refusedPending) refused, not \(refused)") }
    let mayDouble = entries[base...].contains { $0.mayDouble && $0.state == .outstanding }
    let hasLostIsRight = window.hasLost ? lost > 0 || mayDouble : lost == 0
    if !hasLostIsRight || window.hasOutstanding != (base < entries.count) { wrong.append("has…") }
    if window.base != first &+ UInt32(base) || window.next != first &+ UInt32(entries.count) { wrong.append("ends") }
    if window.edge != first &+ UInt32(bitPattern: Int32(edge)) { wrong.append("edge \(window.edge)") }
    if window.acknowledgedOffset != acknowledgedOffset { wrong.append("offset \(window.acknowledgedOffset)") }
    let finSent = entries.last?.isFin ?? false
    let hasNew = !finSent && (nextOffset < offered || isFinished)
    if window.hasNew != hasNew || window.finSent != finSent { wrong.append("hasNew") }
    if window.canSendNew() != (hasNew && entries.count <= edge) { wrong.append("canSendNew") }
    let isClosed = refused > 0 ? !canSendRefused : hasNew && entries.count > edge
    if window.isWindowClosed != isClosed { wrong.append("isWindowClosed") }
    let isComplete = finSent && base == entries.count
    if window.isComplete != isComplete { wrong.append("isComplete") }
  }

  /// Whether something that was refused lies within the window again.
  private var canSendRefused: Bool {
    edge >= base && entries[base..<min(edge + 1, entries.count)].contains { $0.state == .refused }
  }

  /// Sends what the window chooses. - Returns: the number sent.
  mutating func send(capacity: Int) -> Int? {
    let hasLost = entries[base...].contains { $0.state == .lost }
    guard let segment = window.nextSegment(capacity: capacity) else {
      if hasLost || canSendRefused || window.canSendNew() { wrong.append("nothing is offered, \(missing)") }
      return nil
    }
    if segment.isRetransmission != (hasLost || canSendRefused), !segment.isRepetition {
      wrong.append("lost segments come first")
    }
    return send(segment, capacity: capacity)
  }

  mutating func probe(newest: Bool) -> Int? {
    guard let segment = newest ? window.newestOutstanding() : window.oldestOutstanding() else {
      let isThere = newest ? entries.last?.state == .outstanding : base < entries.count
      if isThere { wrong.append("no probe") }
      return nil
    }
    let expected = newest ? entries.count - 1 : base
    if segment.number != first &+ UInt32(expected) { wrong.append("probe \(segment.number)") }
    return send(segment, capacity: .max, isProbe: true)
  }

  private mutating func send(_ segment: SendWindow.Segment, capacity: Int, isProbe: Bool = false) -> Int {
    let number = Int(segment.number &- first)
    packetNumber += 1
    if segment.isRepetition {
      // It counts for the first of the two.
      if entries[number].state != .outstanding || !entries[number].mayDouble { wrong.append("\(number) is sent twice") }
      entries[number].mayDouble = false
      entries[number].isTwice = packetNumber == entries[number].packetNumber + 1
    } else if segment.isRetransmission {
      let entry = entries[number]
      if !isProbe, entry.state != .lost, entry.state != .refused || number > edge {
        wrong.append("\(number) is sent again, and was not lost")
      }
      if segment.offset != entry.offset || segment.length != entry.length || segment.isFin != entry.isFin {
        wrong.append("\(number) is another one than before")
      }
      entries[number].state = .outstanding
      entries[number].packetNumber = packetNumber
      entries[number].isTwice = false
      entries[number].time = now
      if entry.state == .lost { entries[number].mayDouble = true }
      entries[number].wasResent = true
      resends.append((number, packetNumber))
    } else {
      let length = Int(min(offered - nextOffset, UInt64(capacity)))
      let isFin = isFinished && nextOffset + UInt64(length) == offered
      if number != entries.count || segment.offset != nextOffset || segment.length != length || segment.isFin != isFin {
        wrong.append("\(segment) is not the next, \(missing)")
      }
      entries.append(SentModel(offset: nextOffset, length: length, isFin: isFin, packetNumber: packetNumber, time: now))
      nextOffset += UInt64(length)
    }
    window.sent(segment, packetNumber: packetNumber, now: now)
    return number
  }

  /// Lost by order or by age; `nil` when it was not sent before `largest`.
  private func isLost(_ number: Int, _ largest: UInt64) -> Bool? {
    let last = entries[number].packetNumber + (entries[number].isTwice ? 1 : 0)
    guard largest > last else { return nil }
    return largest - last >= 3 || entries[number].age(now) >= delay
  }

  /// Whether the last transmission has arrived, or one of both, as the ACK tells.
  private func hasArrived(_ number: Int, _ ack: ModelAck) -> Bool? {
    let first = ack.packets[entries[number].packetNumber]
    guard entries[number].isTwice else { return first }
    let second = ack.packets[entries[number].packetNumber + 1]
    if first == true || second == true { return true }
    return first == nil || second == nil ? nil : false
  }

  mutating func acknowledge(_ ack: ModelAck) {
    let outcome: SendWindow.Outcome
    do {
      let block = try AckBlock.parse(ack.bytes.rawBytes)
      outcome = try window.acknowledge(
        lastInOrder: first &+ UInt32(ack.cumulative) &- 1, window: UInt32(ack.window), block: block, ack.bytes.rawBytes,
        lossDelay: Self.lossDelay, isNewest: ack.largest > newestTold, now: now)
    } catch {
      wrong.append("\(error)")
      return
    }
    var expected = ExpectedOutcome()
    let isNewest = ack.largest > newestTold
    newestTold = max(newestTold, ack.largest)
    expected.windowAdvanced = ack.cumulative - 1 + ack.window > edge
    edge = isNewest ? max(ack.cumulative - 1 + ack.window, base - 1) : max(edge, ack.cumulative - 1 + ack.window)

    let told = ack.described.keys.sorted().filter { $0 >= ack.cumulative }
    for number in Array(base..<max(base, ack.cumulative)) + told.filter({ $0 >= base && ack.described[$0]! })
    where entries[number].state != .acknowledged {
      entries[number].state = .acknowledged
      expected.acknowledgedPackets += 1
      expected.acknowledgedBytes += entries[number].cost
      if entries[number].packetNumber == ack.largest { expected.sample = entries[number].age(now) }
    }
    if ack.cumulative > base {
      base = ack.cumulative
      acknowledgedOffset = entries[base - 1].offset + UInt64(entries[base - 1].length)
    }
    delay = max(Self.lossDelay, isNewest ? (expected.sample ?? 0) / 8 * 9 : 0)

    suspects = []
    // Above the window of the ACK nothing is missing; it may have been refused.
    let limit = max(base, ack.cumulative + ack.window)
    for number in told
    where number >= base && number < limit && entries[number].state == .outstanding && !entries[number].wasResent {
      judge(number, ack, &expected)
    }
    if isNewest {
      for number in min(limit, entries.count)..<entries.count where !entries[number].wasResent {
        refuse(number, ack, &expected)
      }
    }
    // In order of sending, until one that this ACK does not tell of, or that is not lost.
    while let head = resends.first {
      if head.number < base || entries[head.number].state != .outstanding
        || entries[head.number].packetNumber != head.packetNumber
      {
        resends.removeFirst()
        continue
      }
      if head.number >= limit {
        guard isNewest, ack.largest >= head.packetNumber else { break }
        refuse(head.number, ack, &expected)
        resends.removeFirst()
        continue
      }
      if ack.described[head.number] == nil {
        guard let hasArrived = hasArrived(head.number, ack) else { break }
        if hasArrived {
          // Whatever an ACK says of it later.
          resends.removeFirst()
          entries[head.number].wasResent = false
          continue
        }
      }
      judge(head.number, ack, &expected)
      guard entries[head.number].state == .lost else { break }
      resends.removeFirst()
    }
    compare(outcome, expected)
  }

  private mutating func judge(_ number: Int, _ ack: ModelAck, _ expected: inout ExpectedOutcome) {
    guard let isLost = isLost(number, ack.largest) else { return }
    if isLost {
      lose(number, &expected)
    } else {
      suspects.append((number, entries[number].packetNumber))
      expected.lossTime = min(expected.lossTime, now + delay - entries[number].age(now))
    }
  }

  private mutating func refuse(_ number: Int, _ ack: ModelAck, _ expected: inout ExpectedOutcome) {
    guard entries[number].state == .outstanding, entries[number].packetNumber <= ack.largest else { return }
    entries[number].state = .refused
    entries[number].wasResent = true
    entries[number].mayDouble = false
    refusals += 1
    expected.refusedPackets += 1
  }

  private mutating func lose(_ number: Int, _ expected: inout ExpectedOutcome) {
    entries[number].state = .lost
    losses += 1
    expected.lostPackets += 1
    expected.newestLostTime = max(expected.newestLostTime, now - entries[number].age(now))
  }

  private mutating func compare(_ outcome: SendWindow.Outcome, _ expected: ExpectedOutcome) {
    lossTime = outcome.lossTime
    let isSame =
      outcome.acknowledgedBytes == expected.acknowledgedBytes
      && outcome.acknowledgedPackets == expected.acknowledgedPackets && outcome.sample == expected.sample
      && outcome.lostPackets == expected.lostPackets && outcome.newestLostTime == expected.newestLostTime
      && outcome.lossTime == expected.lossTime && outcome.windowAdvanced == expected.windowAdvanced
      && outcome.refusedPackets == expected.refusedPackets
    if !isSame { wrong.append("\(outcome) is not \(expected), \(missing)") }
  }

  mutating func lossTimer() {
    var expected = ExpectedOutcome()
    var kept: [(number: Int, packetNumber: UInt64)] = []
    for suspect in suspects
    where suspect.number >= base && entries[suspect.number].state == .outstanding
      && entries[suspect.number].packetNumber == suspect.packetNumber
    {
      if entries[suspect.number].age(now) >= Self.lossDelay {
        lose(suspect.number, &expected)
      } else {
        kept.append(suspect)
        expected.lossTime = min(expected.lossTime, now + Self.lossDelay - entries[suspect.number].age(now))
      }
    }
    suspects = kept
    compare(window.loseSuspects(lossDelay: Self.lossDelay, now: now), expected)
  }
}

/// What has arrived at the other end, and ACKs made from it.
struct ModelReceiver {
  var received: Set<Int> = []
  var cumulative = 0
  var highest = -1
  var largest: UInt64 = 0
  var packets: Set<UInt64> = []
  var smallest: UInt64 = .max

  mutating func receive(_ number: Int, packetNumber: UInt64) {
    packets.insert(packetNumber)
    smallest = min(smallest, packetNumber)
    received.insert(number)
    highest = max(highest, number)
    largest = max(largest, packetNumber)
    while received.contains(cumulative) { cumulative += 1 }
  }

  /// Tells everything, or some parts only, in any order, as a receiver with more gaps than room may.
  func ack(window: Int, isPartial: Bool, tellsPackets: Bool, _ random: inout TestRandom) -> ModelAck {
    var ranges: [Range<Int>] = []
    if highest >= cumulative {
      if isPartial {
        var cuts = Set((0..<random.below(10)).map { _ in cumulative + random.below(highest + 2 - cumulative) })
        if random.happens(percent: 80) { cuts.formUnion([highest + 1, max(cumulative, highest - 5)]) }
        let sorted = cuts.sorted()
        for (lower, upper) in zip(sorted, sorted.dropFirst()) where random.happens(percent: 60) {
          ranges.append(lower..<upper)
        }
        ranges = Array(ranges.shuffled(using: &random).prefix(8))
      } else {
        ranges = [cumulative..<highest + 1]
      }
    }
    let reach = UInt64(tellsPackets ? random.below(200) : 0)
    return ModelAck(cumulative: cumulative, window: window, largest: largest, ranges: ranges, received: received) {
      $0 >= smallest && largest - $0 < reach ? packets.contains($0) : nil
    }
  }
}

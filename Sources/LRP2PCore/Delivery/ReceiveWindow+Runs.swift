// SPDX-License-Identifier: MIT
// What an ACK tells of early numbers: where few runs exist, all of them; else the newest, those around what has filled a gap
// since the last ACK, and older ones in rotation. So its cost does not grow with the window.

extension ReceiveWindow {
  /// How many early runs are described whole.
  private static var wholeRuns: Int { 12 }
  /// What each interval describes at least, and at most: more would not fit.
  private static var newestRuns: Int { 8 }
  private static var mostNewest: Int { 32 }
  private static var mostFilled: Int { 32 }
  private static var rotatedRuns: Int { 4 }
  private static var mostRotated: Int { (AckBlock.maximumRuns - 2 * mostNewest - 2 * mostFilled) / 2 }

  /// Something has arrived below the highest number: sent again, or late.
  mutating func noteFilled(_ number: UInt32) {
    if !hasFilled {
      filled = SequenceRange(lower: number, upper: number &+ 1)
      hasFilled = true
    }
    if number.precedes(filled.lower) { filled.lower = number }
    if filled.upper.precedes(number &+ 1) { filled.upper = number &+ 1 }
  }

  /// Writes a block with the runs above the last in-order number.
  package mutating func writeRuns(header: AckBlock, packets: PacketRuns, into block: inout MutableRawSpan) -> Int {
    let opened = min(gapsOpened, Self.mostNewest / 2)
    gapsOpened = 0
    var writer = AckBlockWriter(capacity: block.byteCount)
    var header = header
    let tellsFilled = hasFilled && next.precedes(filled.upper)
    header.intervalCount = earlyRuns == 0 ? 0 : earlyRuns <= Self.wholeRuns + 2 * opened ? 1 : tellsFilled ? 3 : 2
    header.tellsPackets = !packets.isEmpty
    writer.begin(header, into: &block)
    if header.intervalCount == 1 { describe(earlyRuns, from: next, &writer, &block) }
    if header.intervalCount >= 2 {
      // Twice what has changed, so that one lost ACK hides nothing.
      let newestRuns = max(Self.newestRuns, 2 * opened)
      var newest = highest
      for _ in 0..<newestRuns { newest = startOfGap(before: newest) }
      describe(newestRuns, from: newest, &writer, &block)
      if tellsFilled { describeFilled(&writer, &block) }
      describeRotated(below: newest, &writer, &block)
    }
    if hasFilled { filledBefore = filled.upper }
    hasFilled = false
    if header.tellsPackets { writer.packets(packets, into: &block) }
    return writer.length
  }

  /// Retransmissions come in the order of their numbers: from where they had got to before, what is still missing is lost
  /// again, and need not wait for the rotation.
  private func describeFilled(_ writer: inout AckBlockWriter, _ block: inout MutableRawSpan) {
    let goesOn = !filledBefore.precedes(next) && filledBefore.precedes(filled.lower)
    let first = goesOn ? filledBefore : filled.lower
    // `next` itself is missing, so there is a gap at or before any early number.
    let start = first.precedes(next) ? next : early.contains(first) ? startOfGap(before: first) : startOfMissing(first)
    let runs = countRuns(from: start, to: filled.upper, most: Self.mostFilled)
    describe(max(runs, 1), from: start, &writer, &block)
  }

  private mutating func describeRotated(
    below newest: UInt32, _ writer: inout AckBlockWriter, _ block: inout MutableRawSpan
  ) {
    if rotation.precedes(next) || !rotation.precedes(newest) { rotation = next }
    // What was missing there may have come.
    rotation = early.first(false, from: rotation, to: newest)
    if rotation == newest { rotation = next }
    // They come round twice in a round trip, however few ACKs there are, as far as there is room.
    let most = min(max(2 * earlyRuns / acksPerRoundTrip, Self.rotatedRuns), Self.mostRotated)
    var room = block.byteCount - writer.length - AckBlockWriter.intervalBound - PacketRuns.longest
    var runs = 0
    var end = rotation
    while runs < most, end.precedes(newest) {
      let lower = early.first(true, from: end, to: newest)
      let upper = early.first(false, from: lower, to: newest)
      room -= Varint.length(of: UInt64(lower &- end)) + Varint.length(of: UInt64(upper &- lower))
      guard room >= 0 else { break }
      end = upper
      runs += 1
    }
    describe(runs, from: rotation, &writer, &block)
    rotation = end
  }

  private func countRuns(from start: UInt32, to stop: UInt32, most: Int) -> Int {
    var runs = 0
    var end = start
    while runs < most, end.precedes(stop) {
      end = early.first(false, from: early.first(true, from: end, to: highest), to: highest)
      runs += 1
    }
    return runs
  }

  /// The end of the early run before the one that ends at `end`; `next` when there is none.
  private func startOfGap(before end: UInt32) -> UInt32 {
    guard let gap = early.last(false, before: end, downTo: next) else { return next }
    return startOfMissing(gap)
  }

  /// The first number of the gap that `number` lies in.
  private func startOfMissing(_ number: UInt32) -> UInt32 {
    guard let previous = early.last(true, before: number, downTo: next) else { return next }
    return previous &+ 1
  }

  /// `count` early runs from `start` on, where a gap begins, each with the gap before it.
  private func describe(_ count: Int, from start: UInt32, _ writer: inout AckBlockWriter, _ block: inout MutableRawSpan)
  {
    writer.interval(start: start &- next, runCount: 2 * count, firstReceived: false, into: &block)
    var previous = start
    for _ in 0..<count {
      let lower = early.first(true, from: previous, to: highest)
      let upper = early.first(false, from: lower, to: highest)
      writer.run(lower &- previous, into: &block)
      writer.run(upper &- lower, into: &block)
      previous = upper
    }
  }
}

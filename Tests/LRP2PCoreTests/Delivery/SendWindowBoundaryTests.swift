// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Every ACK with numbers at a boundary's distance, in every state, wherever the sequence numbers stand: taken only if it lies
/// within what is outstanding, by plain arithmetic on integers that do not wrap; an old one changes nothing, any other is a
/// violation.
@Suite struct SendWindowBoundaryTests {
  enum State: CaseIterable { case empty, one, full, earlyAcknowledged, someLost, finSent, finAcknowledged }

  static let positions = BoundaryNumbers.all + [UInt32.max - 2]
  private static let now: Instant = .seconds(10)

  private static func ack(_ window: inout SendWindow, _ last: UInt32, window size: UInt32, _ bytes: [UInt8]) -> Bool {
    do {
      let block = try AckBlock.parse(bytes.rawBytes)
      _ = try window.acknowledge(
        lastInOrder: last, window: size, block: block, bytes.rawBytes, lossDelay: .milliseconds(20), now: now)
      return true
    } catch {
      return false
    }
  }

  /// A block with one interval: so many missing, then so many received.
  private static func block(start: UInt32, missing: UInt32 = 0, received: UInt32 = 0, largest: UInt64 = 7) -> [UInt8] {
    var arena = Arena(byteCount: 256)
    var span = arena.mutableBytes(0, 256)
    var writer = AckBlockWriter(capacity: 256)
    var header = AckBlock(largestPacketNumber: largest, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    let runs = [missing, received].filter { $0 > 0 }
    header.intervalCount = runs.isEmpty ? 0 : 1
    writer.begin(header, into: &span)
    if !runs.isEmpty {
      writer.interval(start: start, runCount: runs.count, firstReceived: missing == 0, into: &span)
      for run in runs { writer.run(run, into: &span) }
    }
    let written = arena.bytes(0, writer.length)
    return (0..<written.byteCount).map { written.byte($0) }
  }

  private static func make(_ first: UInt32, _ state: State) -> SendWindow {
    var window = SendWindow(first: first, window: 0)
    window.open(window: 8)
    let count: Int
    switch state {
    case .empty: count = 0
    case .one: count = 1
    case .full, .earlyAcknowledged, .someLost: count = 8
    case .finSent, .finAcknowledged: count = 3
    }
    // One more than that waits, but where the stream ends.
    let hasFin = state == .finSent || state == .finAcknowledged
    window.offer(upTo: UInt64(100 * (hasFin ? count : count + 1)))
    if hasFin { window.finish() }
    for packetNumber in 0..<UInt64(count) {
      guard let segment = window.nextSegment(capacity: 100) else { break }
      window.sent(segment, packetNumber: packetNumber, now: now - .milliseconds(1))
    }
    let base = first &- 1
    switch state {
    case .earlyAcknowledged: _ = ack(&window, base, window: 8, block(start: 2, received: 3, largest: 4))
    case .someLost: _ = ack(&window, base, window: 8, block(start: 0, missing: 3, received: 5))
    case .finAcknowledged: _ = ack(&window, first &+ 2, window: 8, block(start: 0))
    case .empty, .one, .full, .finSent: break
    }
    return window
  }

  private static func marks(_ window: borrowing SendWindow) -> [Int] {
    [
      Int(window.base), Int(window.next), window.packetsInFlight, Int(window.bytesInFlight), window.lostPending,
      Int(window.acknowledgedOffset), window.finSent ? 1 : 0, window.finAcknowledged ? 1 : 0,
      window.isComplete ? 1 : 0,
    ]
  }

  private static func cumulatives(_ window: borrowing SendWindow) -> [UInt32] {
    BoundaryNumbers.around(window.base).union(BoundaryNumbers.around(window.next)).sorted()
  }

  @Test(arguments: State.allCases) func cumulativeNumbers(state: State) {
    for first in Self.positions {
      for cumulative in Self.cumulatives(Self.make(first, state)) {
        for size: UInt32 in [0, 1, 8, 1 << 23, 0xFF_FFFF] {
          guard let wrong = judge(cumulative, size, first, state) else { continue }
          Issue.record("last in-order number \(cumulative &- 1), window \(size), first \(first): \(wrong)")
          return
        }
      }
    }
  }

  /// - Returns: what is wrong.
  private func judge(_ cumulative: UInt32, _ size: UInt32, _ first: UInt32, _ state: State) -> String? {
    var window = Self.make(first, state)
    let before = Self.marks(window)
    let (base, next, edge) = (window.base, window.next, window.edge)
    let isTaken = Self.ack(&window, cumulative &- 1, window: size, Self.block(start: 0))
    if window.edge != edge, window.edge != cumulative &- 1 &+ size { return "its edge is \(window.edge)" }
    let ahead = UInt64(cumulative &- base)
    if ahead <= UInt64(next &- base) {
      guard isTaken else { return "a violation" }
      return window.base == cumulative && window.next == next ? nil : "base \(window.base), next \(window.next)"
    }
    guard Self.marks(window) == before else { return "something has changed" }
    // Half way round, nobody can tell which of the two it is.
    let behind = UInt64(base &- cumulative)
    if behind < 1 << 31, ahead > 1 << 31, UInt64(cumulative &- next) > 1 << 31 {
      return isTaken ? nil : "old, and yet a violation"
    }
    if behind > 1 << 31 { return isTaken ? "no violation" : nil }
    return nil
  }

  /// Runs of received and of missing numbers that reach to the last number sent, and beyond.
  @Test(arguments: State.allCases) func runs(state: State) {
    let lengths: [UInt32] = [1, 2, 7, 8, 9, (1 << 23) - 1, 1 << 23, (1 << 24) - 1]
    for first in Self.positions {
      for last in Set([first &- 1, first, first &+ 7, first &- 2, first &- 1000, first &- 1 << 24]).sorted() {
        for start: UInt32 in [0, 1, 7, 8, 1 << 23, (1 << 24) - 1] {
          for length in lengths where start + length <= 1 << 24 {
            for isReceived in [true, false] {
              guard let wrong = judge(last, start, length, isReceived, first, state) else { continue }
              Issue.record("\(length) from \(start) above \(last), received \(isReceived), first \(first): \(wrong)")
              return
            }
          }
        }
      }
    }
  }

  private func judge(
    _ last: UInt32, _ start: UInt32, _ length: UInt32, _ isReceived: Bool, _ first: UInt32, _ state: State
  ) -> String? {
    var window = Self.make(first, state)
    let (base, next) = (window.base, window.next)
    let before = Self.marks(window)
    // All of these are near each other: as integers, counted from the oldest number outstanding.
    let outstanding = Int(next &- base)
    let cumulative = Int(Int32(bitPattern: last &+ 1 &- base))
    let end = cumulative + Int(start) + Int(length)
    let isTaken = Self.ack(
      &window, last, window: 8,
      Self.block(start: start, missing: isReceived ? 0 : length, received: isReceived ? length : 0))
    let isHonest = cumulative <= outstanding && end <= outstanding
    guard isTaken == isHonest else { return isTaken ? "no violation" : "a violation" }
    guard isTaken else { return nil }
    if end <= 0, Self.marks(window) != before { return "of the past, and yet something has changed" }
    let acknowledged = window.base &- base
    if acknowledged != UInt32(max(cumulative, 0)) { return "base \(window.base)" }
    return window.packetsInFlight >= 0 && window.packetsInFlight <= outstanding && window.bytesInFlight <= 8 * 138
      ? nil : "\(window.packetsInFlight) packets, \(window.bytesInFlight) bytes in flight"
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct ReassemblyTests {
  private static func pool(_ bytes: Int = 1 << 20) -> ReceivePool { ReceivePool(cellBytes: 1408, maximumBytes: bytes) }

  private static func bytes(_ count: Int, _ number: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ number) }
  }

  private struct Pieces: ~Copyable {
    var reassembly = Reassembly()
    var pool = ReassemblyTests.pool()

    mutating func insert(_ number: UInt32, _ range: Range<Int>, of segment: [UInt8], isNext: Bool = false) -> String {
      let held = reassembly.count * 1408
      // A temporary in the call, and a debug build with coverage is not compiled (Swift 6.3).
      let piece = Array(segment[range])
      let outcome = reassembly.insert(
        number, isNext: isNext, holding: held, offset: range.lowerBound, total: segment.count, piece.raw, pool: &pool)
      switch outcome {
      case .incomplete: return "incomplete"
      case .incompleteInKept: return "kept"
      case .malformed: return "malformed"
      case .poolExhausted: return "exhausted"
      case .complete(let cell):
        let whole = unsafe pool.bytes(cell, segment.count)
        let isSame = segment.indices.allSatisfy { whole.byte($0) == segment[$0] }
        pool.release(cell)
        return isSame ? "complete" : "damaged"
      }
    }
  }

  /// In any order, each piece as often as it likes.
  @Test(arguments: 0..<20) func theSegmentIsWhatWasCut(seed: Int) {
    var random = TestRandom(seed: seed)
    var pieces = Pieces()
    let segment = Self.bytes(1 + random.below(1400), seed)
    var ranges: [Range<Int>] = []
    var at = 0
    while at < segment.count {
      let end = min(at + Reassembly.unit * (1 + random.below(6)), segment.count)
      ranges.append(at..<end)
      at = end
    }
    var left = ranges
    while let last = left.indices.last {
      let range = left.remove(at: random.below(last + 1))
      if random.happens(percent: 40), !left.isEmpty, left.count < ranges.count - 1 {
        // One that has come before changes nothing.
        let before = ranges.filter { !left.contains($0) && $0 != range }
        let again = pieces.insert(7, before[random.below(before.count)], of: segment)
        #expect(again == "incomplete")
      }
      let outcome = pieces.insert(7, range, of: segment)
      #expect(outcome == (left.isEmpty ? "complete" : "incomplete"))
    }
    let (count, cells) = (pieces.reassembly.count, pieces.pool.cellsInUse)
    #expect(count == 0 && cells == 0)
  }

  @Test func whatIsNoPieceIsRefused() {
    var pieces = Pieces()
    let segment = Self.bytes(640, 1)
    for range in [1..<65, 0..<63, 64..<100, 0..<0] {
      let outcome = pieces.insert(1, range, of: segment)
      #expect(outcome == "malformed")
    }
    let long = pieces.insert(1, 0..<64, of: Self.bytes(1500, 1))
    #expect(long == "malformed", "no cell is as long")
    let first = pieces.insert(1, 0..<64, of: segment)
    let other = pieces.insert(1, 64..<128, of: Self.bytes(641, 1))
    #expect(first == "incomplete" && other == "malformed", "the segment has another length")
  }

  /// Sixteen are incomplete; one more takes the place of the oldest, of which nothing was acknowledged.
  @Test func theOldestGivesWay() {
    var pieces = Pieces()
    let segment = Self.bytes(128, 1)
    for number in 1...16 as ClosedRange<UInt32> {
      let givesWay = pieces.reassembly.givesWay(to: number)
      let outcome = pieces.insert(number, 0..<64, of: segment)
      #expect(!givesWay && outcome == "incomplete")
    }
    let (known, new) = (pieces.reassembly.givesWay(to: 9), pieces.reassembly.givesWay(to: 17))
    #expect(!known && new)
    let seventeenth = pieces.insert(17, 0..<64, of: segment)
    let second = pieces.insert(2, 64..<128, of: segment)
    let first = pieces.insert(1, 64..<128, of: segment)
    #expect(seventeenth == "incomplete" && second == "complete" && first == "incomplete")
    let cells = pieces.pool.cellsInUse
    #expect(cells == 16)
  }

  @Test func whatCameByAnotherWayIsForgotten() {
    var pieces = Pieces()
    let segment = Self.bytes(128, 1)
    for number in [.max - 1, .max, 0, 1, 5] as [UInt32] { _ = pieces.insert(number, 0..<64, of: segment) }
    pieces.reassembly.forget(before: 1, pool: &pieces.pool)
    var (count, cells) = (pieces.reassembly.count, pieces.pool.cellsInUse)
    #expect(count == 2 && cells == 2)
    pieces.reassembly.releaseAll(to: &pieces.pool)
    (count, cells) = (pieces.reassembly.count, pieces.pool.cellsInUse)
    #expect(count == 0 && cells == 0)
  }

  /// A full pool has a cell left for what a reader waits for, and that cell can be taken back.
  @Test func theNextHasAKeptCell() {
    var pieces = Pieces()
    pieces.pool = Self.pool(8 * 1408)
    let segment = Self.bytes(128, 1)
    var number: UInt32 = 1
    while pieces.insert(number, 0..<64, of: segment) == "incomplete", number < 20 { number += 1 }
    #expect(number > 1 && number < 9)
    let other = pieces.insert(number, 0..<64, of: segment)
    let next = pieces.insert(0, 0..<64, of: segment, isNext: true)
    #expect(other == "exhausted" && next == "kept")
    let (had, again) = (
      pieces.reassembly.releaseKept(to: &pieces.pool), pieces.reassembly.releaseKept(to: &pieces.pool)
    )
    #expect(had && !again)
  }
}

// SPDX-License-Identifier: MIT
import ArgumentParser
import CAllocationCount
import LRP2PCore
import LRP2PReactor

/// Tests the harness itself: that the check notices what it should, that allocations are counted, and that neither
/// filling nor checking is what limits a measurement.
struct PatternCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pattern", abstract: "Test and measure the harness's own bytes.", shouldDisplay: false)

  @Flag var json = false

  func run() throws {
    try testAlignments()
    try testFaults()
    if allocation_count_is_available() { try testAllocationCount() }
    var report = Report()
    for length in [1362, 65_536] {
      let (fill, check) = try speed(length)
      report.add("fill_\(length)_gb_per_s", fill)
      report.add("check_\(length)_gb_per_s", check)
    }
    report.add("counts_allocations", allocation_count_is_available())
    Output.line(json ? report.json : Report.table([report]))
  }

  /// Every way of cutting a piece out of a stream gives the same bytes.
  private func testAlignments() throws {
    let pattern = Pattern(number: 3)
    var whole = Arena(byteCount: 512)
    var piece = Arena(byteCount: 512)
    var all = whole.mutableBytes(0, 512)
    pattern.fill(offset: 1 << 40, into: &all)
    for start in 0..<80 {
      for count in 0...(300 - start) {
        var bytes = piece.mutableBytes(0, count)
        pattern.fill(offset: 1 << 40 &+ UInt64(start), into: &bytes)
        for index in 0..<count where piece.bytes(index, 1).byte(0) != whole.bytes(start + index, 1).byte(0) {
          throw Failure("pattern: byte \(index) of \(count) at \(start) differs")
        }
        if !pattern.matches(whole.bytes(start, count), offset: 1 << 40 &+ UInt64(start)) {
          throw Failure("pattern: \(count) bytes at \(start) do not match")
        }
      }
    }
  }

  /// Any single wrong bit, and any shift, is noticed.
  private func testFaults() throws {
    let pattern = Pattern(number: 0)
    var arena = Arena(byteCount: 200)
    for count in [1, 7, 8, 9, 63, 64, 65, 131, 200] {
      for start in 0..<UInt64(8) {
        var bytes = arena.mutableBytes(0, count)
        pattern.fill(offset: start, into: &bytes)
        for bit in 0..<count * 8 {
          let byte = arena.bytes(bit / 8, 1).byte(0)
          var one = arena.mutableBytes(bit / 8, 1)
          one.setByte(0, byte ^ 1 << UInt8(bit % 8))
          if pattern.matches(arena.bytes(0, count), offset: start) { throw Failure("pattern: bit \(bit) unnoticed") }
          one = arena.mutableBytes(bit / 8, 1)
          one.setByte(0, byte)
        }
        if count < 8 { continue }
        for shift in 1...UInt64(4096) where pattern.matches(arena.bytes(0, count), offset: start + shift) {
          throw Failure("pattern: a shift by \(shift) unnoticed")
        }
        if Pattern(number: 1).matches(arena.bytes(0, count), offset: start) {
          throw Failure("pattern: another stream's bytes unnoticed")
        }
      }
    }
  }

  private func testAllocationCount() throws {
    let before = allocation_count()
    for length in 1...100 { _ = Arena(byteCount: length * 64) }
    let counted = allocation_count() - before
    if counted < 100 { throw Failure("allocation count: \(counted) of 100 seen") }
  }

  private func speed(_ length: Int) throws -> (fill: Double, check: Double) {
    let pattern = Pattern(number: 0)
    var arena = Arena(byteCount: length)
    let rounds = 4_000_000_000 / length
    var offset: UInt64 = 0
    let start = currentInstant()
    for _ in 0..<rounds {
      var bytes = arena.mutableBytes(0, length)
      pattern.fill(offset: offset, into: &bytes)
      offset &+= UInt64(length)
    }
    let middle = currentInstant()
    var matches = 0
    for _ in 0..<rounds where pattern.matches(arena.bytes(0, length), offset: offset &- UInt64(length)) { matches += 1 }
    let end = currentInstant()
    if matches != rounds { throw Failure("pattern: \(rounds - matches) checks failed") }
    let bytes = Double(rounds * length)
    return (bytes / Double(middle - start), bytes / Double(end - middle))
  }
}

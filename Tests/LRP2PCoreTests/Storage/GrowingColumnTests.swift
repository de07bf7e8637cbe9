// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct GrowingColumnTests {
  @Test func rowsStayWhereTheyAreWhileItGrows() {
    var column = GrowingColumn<Int, Int>(repeating: 0, count: 1)
    let first = unsafe column.pointer(0)
    var count = 1
    while count < 5000 {
      for index in 0..<count { #expect(column[index] == index) }
      let grown = count + 1 + count / 3
      column.grow(to: grown, filling: -1)
      for index in count..<grown {
        #expect(column[index] == -1)
        column[index] = index
      }
      count = grown
      #expect(column.count == count)
    }
    #expect(unsafe column.pointer(0) == first)
  }

  /// Each border of a block: the last row of one is not the first of the next.
  @Test func blocksMeetWithoutAGap() {
    var column = GrowingColumn<Int, UInt8>(repeating: 0, count: 16 * 31)
    for block in 0..<4 {
      let border = 16 << (block + 1) - 16
      column[border - 1] = 1
      column[border] = 2
      #expect(column[border - 1] == 1 && column[border] == 2)
    }
  }

  /// Every row is in exactly one of the blocks that are told.
  @Test func blocksAreAllOfItsMemory() {
    var column = GrowingColumn<Int, UInt32>(repeating: 0, count: 16)
    #expect(column.blockCount == 1)
    column.grow(to: 16 + 32 + 1, filling: 0)
    #expect(column.blockCount == 3)
    var blocks: [UnsafeRawBufferPointer] = unsafe []
    unsafe column.forEachBlock { unsafe blocks.append($0) }
    #expect(unsafe blocks.map(\.count) == [16 * 4, 32 * 4, 64 * 4])
    for index in 0..<column.count {
      let row = unsafe UnsafeRawPointer(column.pointer(index))
      let holders = unsafe blocks.count { unsafe $0.baseAddress! <= row && row + 4 <= $0.baseAddress! + $0.count }
      #expect(holders == 1)
    }
  }

  @Test func smallerCountChangesNothing() {
    var column = GrowingColumn<Int, Int>(repeating: 7, count: 20)
    column.grow(to: 3, filling: 1)
    #expect(column.count == 20 && column[19] == 7)
    let empty = GrowingColumn<Int, Int>(repeating: 0, count: 0)
    #expect(empty.count == 0)
  }

  @Test func noRowOutsideOfIt() async {
    await #expect(processExitsWith: .failure) {
      let column = GrowingColumn<Int, Int>(repeating: 1, count: 17)
      _ = column[17]
    }
    await #expect(processExitsWith: .failure) {
      let column = GrowingColumn<Int, Int>(repeating: 1, count: 17)
      _ = column[-1]
    }
  }

  /// A word of each cache line: of a row that is shorter than one, nothing.
  @Test func readingAheadReadsEachCacheLine() {
    var words = GrowingColumn<Int, UInt64>(repeating: 7, count: 40)
    words[33] = 9
    let (some, other) = (words.readAhead(3), words.readAhead(33))
    #expect(some == 7 && other == 9)
    let short = GrowingColumn<Int, UInt32>(repeating: 7, count: 4)
    let nothing = short.readAhead(3)
    #expect(nothing == 0)
    let long = GrowingColumn<Int, (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)>(
      repeating: (1, 0, 0, 0, 0, 0, 0, 0, 2), count: 4)
    let both = long.readAhead(2)
    #expect(both == 3)
  }
}

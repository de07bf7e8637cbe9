// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct ArenaTests {
  @Test(arguments: [0, 1, 63, 64, 65, 4096])
  func holdsItsBytes(byteCount: Int) {
    var arena = Arena(byteCount: byteCount)
    let count = arena.byteCount
    #expect(count == byteCount)
    // Aligned to a cache line, and zero at first.
    let misalignment = unsafe Int(bitPattern: arena.baseAddress) % 64
    #expect(misalignment == 0)
    var wrong = 0
    for offset in 0..<byteCount where arena.bytes(offset, 1).byte(0) != 0 { wrong += 1 }
    for offset in 0..<byteCount {
      var span = arena.mutableBytes(offset, 1)
      span.setByte(0, UInt8(truncatingIfNeeded: offset * 7))
    }
    let whole = arena.bytes(0, byteCount)
    for offset in 0..<byteCount where whole.byte(offset) != UInt8(truncatingIfNeeded: offset * 7) { wrong += 1 }
    // The empty range behind the last byte is within.
    if arena.bytes(byteCount, 0).byteCount != 0 { wrong += 1 }
    #expect(wrong == 0)
  }

  @Test func partsLieWhereTheyAreAskedFor() {
    var arena = Arena(byteCount: 100)
    var part = arena.mutableBytes(10, 4)
    part.setBigEndian32(0, 0x0102_0304)
    let isThere = arena.bytes(9, 6).equals([0, 1, 2, 3, 4, 0])
    #expect(isThere)
  }

  @Test func noBytesOutsideOfIt() async {
    await #expect(processExitsWith: .failure) { _ = Arena(byteCount: 64).bytes(60, 5).byteCount }
    await #expect(processExitsWith: .failure) { _ = Arena(byteCount: 64).bytes(-1, 2).byteCount }
    await #expect(processExitsWith: .failure) { _ = Arena(byteCount: 64).bytes(.max, .max).byteCount }
    await #expect(processExitsWith: .failure) {
      var arena = Arena(byteCount: 64)
      _ = arena.mutableBytes(0, 65).byteCount
    }
    await #expect(processExitsWith: .failure) {
      var arena = Arena(byteCount: 64)
      _ = arena.mutableBytes(8, -1).byteCount
    }
  }
}

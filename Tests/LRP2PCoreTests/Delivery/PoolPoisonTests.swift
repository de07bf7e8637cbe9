// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct PoolPoisonTests {
  @Test func seesWhatIsWrittenToFreeCells() {
    var arena = Arena(byteCount: 128)
    var bytes = arena.mutableBytes(64, 64)
    let before = PoolPoison.isUntouched(bytes.bytes)
    PoolPoison.fill(&bytes)
    let filled = PoolPoison.isUntouched(bytes.bytes)
    bytes.setByte(63, 0)
    let written = PoolPoison.isUntouched(bytes.bytes)
    #expect(!before && filled && !written)
  }
}

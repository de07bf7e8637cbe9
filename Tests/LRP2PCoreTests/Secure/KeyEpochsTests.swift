// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct KeyEpochsTests {
  @Test func numbersThatShareAKey() {
    let epochs = KeyEpochs(bits: 4)
    for number in 0..<64 as Range<UInt64> {
      let end = number + epochs.others(behind: number)
      #expect(
        epochs.epoch(of: end) == epochs.epoch(of: number) && epochs.epoch(of: end + 1) == epochs.epoch(of: number) + 1)
    }
    #expect(KeyEpochs(bits: 64).others(behind: 7) == UInt64.max - 7)
    #expect(KeyEpochs(bits: 4).others(behind: .max) == 0)
  }
}

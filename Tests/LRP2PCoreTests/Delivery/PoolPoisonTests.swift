import LRP2PCore
import Testing

@Suite struct PoolPoisonTests {
  @Test func seesWhatIsWrittenToFreeCells() {
    var arena = Arena(byteCount: 128)
    var bytes = arena.mutableBytes(64, 64)
    #expect(!PoolPoison.isUntouched(bytes.bytes))
    PoolPoison.fill(&bytes)
    #expect(PoolPoison.isUntouched(bytes.bytes))
    bytes.setByte(63, 0)
    #expect(!PoolPoison.isUntouched(bytes.bytes))
  }
}

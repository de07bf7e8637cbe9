import LRP2PCore
import Testing

@Suite struct PoolGuardTests {
  @Test func knowsWhatIsInUse() {
    var pool = PoolGuard()
    pool.resize(to: 130)
    for cell: UInt32 in [0, 63, 64, 129] { pool.take(cell) }
    #expect((0..<200).filter { pool.isInUse($0) } == [0, 63, 64, 129])
    pool.giveBack(64)
    pool.giveBack(129)
    pool.resize(to: 70)
    #expect((0..<200).filter { pool.isInUse($0) } == [0, 63])
    pool.resize(to: 1000)
    pool.take(999)
    #expect((0..<2000).filter { pool.isInUse($0) } == [0, 63, 999])
  }

  @Test func seesWhatIsWrittenToFreeCells() {
    var arena = Arena(byteCount: 128)
    var bytes = arena.mutableBytes(64, 64)
    #expect(!PoolGuard.isPoisoned(bytes.bytes))
    PoolGuard.poison(&bytes)
    #expect(PoolGuard.isPoisoned(bytes.bytes))
    bytes.setByte(63, 0)
    #expect(!PoolGuard.isPoisoned(bytes.bytes))
  }

  /// A second time, or one that never was: the program ends.
  @Test func givingBackTwiceEndsTheProgram() async {
    await #expect(processExitsWith: .failure) {
      var pool = PoolGuard()
      pool.resize(to: 8)
      pool.take(3)
      pool.giveBack(3)
      pool.giveBack(3)
    }
    await #expect(processExitsWith: .failure) {
      var pool = PoolGuard()
      pool.resize(to: 8)
      pool.giveBack(8)
    }
  }
}

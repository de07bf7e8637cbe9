// SPDX-License-Identifier: MIT
import LRP2PReactor
import Testing

@Suite struct HugePagesTests {
  /// The kernel is asked for no byte that is not the block's, and for nothing in small blocks.
  @Test(arguments: [0, 1, 4096, (2 << 20) - 1, 2 << 20, (3 << 20) + 5])
  func onlyWholePagesOfTheBlockAreAskedFor(offset: Int) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 16 << 20, alignment: 2 << 20)
    defer { unsafe memory.deallocate() }
    let block = unsafe UnsafeRawBufferPointer(start: memory + offset, count: 8 << 20)
    let asked = unsafe HugePages.advise(block)
    // 0 where the kernel has none.
    let whole = offset % (2 << 20) == 0 ? 8 << 20 : 6 << 20
    #expect(asked == whole || asked == 0)
    let small = unsafe UnsafeRawBufferPointer(start: memory + offset, count: (4 << 20) - 1)
    #expect(unsafe HugePages.advise(small) == 0)
    #expect(unsafe HugePages.advise(UnsafeRawBufferPointer(start: nil, count: 0)) == 0)
  }
}

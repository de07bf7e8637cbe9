// SPDX-License-Identifier: MIT
/// Where the memory for keys comes from. The core knows nothing of the kernel: who has more to say about such memory (that it is in no
/// core dump, and is not swapped out) brings it.
package protocol SecretMemory: AnyObject {
  /// Memory that begins at a cache line. What it holds at first means nothing.
  func allocate(byteCount: Int) -> UnsafeMutableRawPointer
  /// Takes back what `allocate` gave for this count, which was wiped.
  func release(_ block: UnsafeMutableRawPointer, byteCount: Int)
}

/// The allocator's memory, as it is.
package final class OrdinaryMemory: SecretMemory {
  package init() {}

  package func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
    .allocate(byteCount: byteCount, alignment: 64)
  }

  package func release(_ block: UnsafeMutableRawPointer, byteCount: Int) { unsafe block.deallocate() }
}

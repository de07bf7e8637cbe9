// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// Has the kernel hold large tables in huge pages.
///
/// Among very many peers each datagram's rows are in memory that nothing else has touched lately, and in pages of 4 KiB even where
/// a row is has to be fetched: in a virtual machine that takes as long as the row itself. A page of 2 MiB needs one entry of the
/// processor's tables instead of 512.
package struct HugePages {
  /// What the engine's tables were when the kernel was told last.
  private var advised = 0

  package init() {}

  /// Bytes of a huge page on x86-64, and on ARM with pages of 4 KiB; elsewhere the kernel sees to it.
  private static var pageBytes: Int { 2 << 20 }
  /// Below, what the last page of a table has to spare would count.
  private static var leastBytes: Int { 4 << 20 }

  /// Tells the kernel of memory that the tables have come to since the last call. It is a wish: a kernel without huge pages, or
  /// one that has none left, refuses or goes without.
  package mutating func advise(_ engine: borrowing Engine) {
    guard engine.tableBlocks != advised else { return }
    advised = engine.tableBlocks
    unsafe engine.forEachTableBlock { block in _ = unsafe Self.advise(block) }
  }

  /// Asks for huge pages where whole ones fit into `block`, which is anonymous memory.
  /// - Returns: the bytes that were asked for: 0 where it is too small, or the kernel has no huge pages.
  package static func advise(_ block: UnsafeRawBufferPointer) -> Int {
    guard block.count >= leastBytes, let start = block.baseAddress else { return 0 }
    // What stands beside the block in a page is another's.
    let first = unsafe start.alignedUp(toMultipleOf: pageBytes)
    let bytes = unsafe start + block.count - first
    let whole = bytes / pageBytes * pageBytes
    return unsafe lrp2p_advise_huge_pages(first, whole) == 0 ? whole : 0
  }
}

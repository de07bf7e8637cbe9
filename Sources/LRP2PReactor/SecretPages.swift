// SPDX-License-Identifier: MIT
import CLinux
import Glibc
import LRP2PCore

/// Pages of their own for keys: the kernel leaves them out of core dumps and keeps some of them out of the swap. Both are wishes:
/// where they are refused the memory is there all the same.
///
/// A forked child has a copy. Pages that it finds empty would be keys of zeros, should it ever come to seal under them; what keeps it from that
/// is `ProcessMark`.
///
/// Belongs to one owner and its thread, as what stands in it does.
@safe
package final class SecretPages: SecretMemory {
  /// Bytes that one owner locks at most, so that a table of very many keys leaves the limit (RLIMIT_MEMLOCK) to others.
  package static var mostLocked: Int { 1 << 20 }

  private var locked = 0
  /// Blocks of the allocator, where the kernel has no more mappings to give.
  private var ordinary: [UnsafeMutableRawPointer] = unsafe []

  package init() {}

  package func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
    let length = Self.whole(byteCount)
    var start: UnsafeMutableRawPointer?
    guard unsafe lrp2p_secret_pages(length, &start) == 0, let start = unsafe start else {
      let block = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
      unsafe ordinary.append(block)
      return unsafe block
    }
    if length <= Self.mayLock - locked, unsafe lrp2p_lock_pages(start, length) == 0 { locked += length }
    return unsafe start
  }

  package func release(_ block: UnsafeMutableRawPointer, byteCount: Int) {
    if let index = unsafe ordinary.firstIndex(of: block) {
      unsafe ordinary.remove(at: index).deallocate()
    } else {
      // What was asked of the pages goes with them.
      unsafe lrp2p_unmap(block, Self.whole(byteCount))
    }
  }

  /// Half of what the process may lock, so that whoever else needs it finds some.
  private static var mayLock: Int { min(mostLocked, Int(clamping: lrp2p_lock_limit() / 2)) }

  private static func whole(_ byteCount: Int) -> Int {
    let page = Int(lrp2p_page_size())
    return (max(byteCount, 1) + page - 1) / page * page
  }
}

/// Overwrites the stack below the caller's frame, where functions that have returned may have left copies of keys.
@inline(__always)
package func wipeStack() { lrp2p_wipe_stack() }

// SPDX-License-Identifier: MIT
import LRP2PReactor

/// What the connections of one endpoint hold together, in bytes: blocks that wait for a read, and writes that are not
/// acknowledged.
///
/// One connection may have as much as is free behind it: so a single one gets half, and many share evenly, as who has more
/// than that takes no more until others have given back. Its lock is taken last, under that of a channel.
final class BufferBudget: Sendable {
  private struct State {
    var used = 0
    /// Of largest blocks, for the next ones: it has been touched already.
    var spare: [BlockMemory] = []
  }

  let total: Int
  private let state = Locked(State())

  /// At most half a megabyte.
  private static var mostSpare: Int { 16 }

  init(total: Int) { self.total = total }

  deinit {
    state.withLock { state in
      for memory in state.spare { memory.deallocate() }
    }
  }

  var used: Int { state.withLock { $0.used } }
  /// Less than nothing when connections have had their least of a budget that was used up.
  var free: Int { total - used }

  /// - Parameter bytes: less than zero gives back.
  func charge(_ bytes: Int) {
    if bytes != 0 { state.withLock { $0.used += bytes } }
  }

  /// Memory of a block, which is not cleared.
  func allocate(_ capacity: Int) -> BlockMemory {
    let spare = state.withLock { state in
      state.used += capacity
      return capacity == ReadBlock.largest ? state.spare.popLast() : nil
    }
    return spare ?? BlockMemory(capacity)
  }

  func free(_ memory: BlockMemory, _ capacity: Int) {
    let isKept = state.withLock { state in
      state.used -= capacity
      guard capacity == ReadBlock.largest, state.spare.count < Self.mostSpare else { return false }
      state.spare.append(memory)
      return true
    }
    if !isKept { memory.deallocate() }
  }
}

/// Memory that whoever holds it frees once.
@safe
struct BlockMemory {
  let start: UnsafeMutableRawPointer

  init(_ capacity: Int) { unsafe start = .allocate(byteCount: capacity, alignment: 16) }

  func deallocate() { unsafe start.deallocate() }
}

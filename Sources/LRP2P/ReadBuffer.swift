// SPDX-License-Identifier: MIT
import LRP2PCore

/// Memory for received bytes. It is filled from its start by the reactor's thread, and what is filled is read by others, each
/// byte behind the channel's lock. Whoever lets go of it last gives it back.
///
/// `@unchecked Sendable`: nobody writes what another may read.
@safe
final class ReadBlock: @unchecked Sendable {
  static let smallest = 2048
  static let largest = 32_768

  let capacity: Int
  private let memory: BlockMemory
  private let budget: BufferBudget

  init(capacity: Int, _ budget: BufferBudget) {
    self.capacity = capacity
    self.budget = budget
    memory = budget.allocate(capacity)
  }

  deinit { budget.free(memory, capacity) }

  /// - Parameter source: fits behind `offset`.
  func write(at offset: Int, _ source: UnsafeRawBufferPointer) {
    precondition(offset >= 0 && offset + source.count <= capacity, "bytes outside of a block")
    guard let base = source.baseAddress else { return }
    unsafe (memory.start + offset).copyMemory(from: base, byteCount: source.count)
  }

  /// - Parameter range: within the block; the target is as long.
  func copy(_ range: Range<Int>, to target: UnsafeMutableRawPointer) {
    precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "bytes outside of a block")
    unsafe target.copyMemory(from: memory.start + range.lowerBound, byteCount: range.count)
  }
}

/// What a read has got: blocks, which the reader copies and lets go where it does not hold anyone up.
struct ReadBytes: Sendable {
  var blocks: [ReadBlock] = []
  /// Where they begin in the first block. All but the last are used to their end.
  var offset = 0
  var count = 0

  consuming func array() -> [UInt8] {
    guard count > 0 else { return [] }
    return unsafe [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
      var done = 0
      var from = offset
      for block in blocks {
        let length = min(block.capacity - from, count - done)
        // done + length <= count.
        unsafe block.copy(from..<from + length, to: UnsafeMutableRawPointer(target.baseAddress! + done))
        done += length
        from = 0
      }
      initialized = done
    }
  }
}

/// Bytes that were received and not read yet: blocks that are filled one behind the other, none when it is empty.
struct ReadBuffer {
  private var blocks: [ReadBlock] = []
  /// Where the bytes begin in the first block, and how far the last is filled.
  private var offset = 0
  private var filled = 0
  private(set) var count = 0
  /// Bytes of the blocks.
  private(set) var capacity = 0

  mutating func append(_ source: UnsafeRawBufferPointer, _ budget: BufferBudget) {
    var done = 0
    while done < source.count {
      if blocks.isEmpty || filled == blocks[blocks.count - 1].capacity { addBlock(for: source.count - done, budget) }
      let block = blocks[blocks.count - 1]
      let length = min(source.count - done, block.capacity - filled)
      unsafe block.write(at: filled, UnsafeRawBufferPointer(rebasing: source[done..<done + length]))
      done += length
      filled += length
      count += length
    }
  }

  /// As much again as there is, within bounds; no more than is needed where the budget is used up.
  private mutating func addBlock(for needed: Int, _ budget: BufferBudget) {
    let usual = min(max(capacity, ReadBlock.smallest), ReadBlock.largest)
    let size = usual <= budget.free ? usual : min(needed, ReadBlock.largest)
    blocks.append(ReadBlock(capacity: size, budget))
    capacity += size
    filled = 0
  }

  /// Takes the first bytes, at most `limit`. What both share of a block is only read from now on.
  mutating func take(_ limit: Int) -> ReadBytes {
    if limit >= count { return takeAll() }
    var taken = ReadBytes(offset: offset, count: limit)
    var used = 0
    var left = limit
    while left > 0 {
      let block = blocks[used]
      taken.blocks.append(block)
      if left < block.capacity - offset {
        offset += left
        break
      }
      left -= block.capacity - offset
      capacity -= block.capacity
      offset = 0
      used += 1
    }
    blocks.removeFirst(used)
    count -= limit
    return taken
  }

  mutating func takeAll() -> ReadBytes {
    let taken = ReadBytes(blocks: blocks, offset: offset, count: count)
    self = ReadBuffer()
    return taken
  }
}

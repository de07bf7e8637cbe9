// SPDX-License-Identifier: MIT
/// The part of a stream that may have to be sent again, in blocks: from the first that is not acknowledged on. Offsets are those of
/// the stream.
package struct BlockQueue {
  private struct Entry {
    let block: Block
    let start: UInt64
    var end: UInt64 { start + UInt64(block.count) }
  }

  private var entries: [Entry] = []
  private var first = 0
  /// Where the last copy was: the next is there as well, or in the one behind.
  private var recent = 0
  /// Behind the last offset held.
  package private(set) var end: UInt64 = 0

  package init() {}

  package var count: Int { entries.count - first }
  package var heldBytes: UInt64 { count == 0 ? 0 : end - entries[first].start }

  package mutating func append(_ block: Block) {
    entries.append(Entry(block: block, start: end))
    end += UInt64(block.count)
  }

  /// Everything below `offset` is acknowledged.
  /// - Returns: blocks that are not needed any more.
  package mutating func release(upTo offset: UInt64) -> Int {
    let before = first
    while first < entries.count, entries[first].end <= offset { first += 1 }
    let released = first - before
    // The blocks go with their entries.
    if first >= 32 || first == entries.count {
      entries.removeFirst(first)
      recent = max(recent - first, 0)
      first = 0
    }
    return released
  }

  /// Copies the bytes at `offset` on into `target`; all must be held.
  @_lifetime(target: copy target)
  package mutating func copy(from offset: UInt64, into target: inout MutableRawSpan) {
    var index = find(offset)
    var done = 0
    while done < target.byteCount {
      let entry = entries[index]
      let from = Int(offset + UInt64(done) - entry.start)
      let count = min(target.byteCount - done, entry.block.count - from)
      entry.block.copy(from: from, count: count, into: &target, at: done)
      done += count
      index += 1
    }
    recent = index - 1
  }

  private func find(_ offset: UInt64) -> Int {
    for index in recent...recent + 1 where index >= first && index < entries.count {
      if offset >= entries[index].start, offset < entries[index].end { return index }
    }
    var (low, high) = (first, entries.count)
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].end <= offset { low = middle + 1 } else { high = middle }
    }
    precondition(low < entries.count && offset >= entries[low].start, "bytes that are not held any more")
    return low
  }
}

extension Block {
  @_lifetime(target: copy target)
  func copy(from offset: Int, count length: Int, into target: inout MutableRawSpan, at position: Int) {
    let source = bytes.extracting(offset..<offset + length)
    unsafe source.withUnsafeBytes { source in
      unsafe target.withUnsafeMutableBytes { target in
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[position..<position + length]).copyMemory(from: source)
      }
    }
  }
}

/// Few bytes of a stream that may have to be sent again.
package struct ReplyQueue {
  private var bytes: [UInt8] = []
  private var start: UInt64 = 0

  package init() {}

  package var count: Int { bytes.count }
  package var end: UInt64 { start + UInt64(bytes.count) }
  package mutating func append(_ more: [UInt8]) { bytes += more }

  package mutating func release(upTo offset: UInt64) {
    guard offset > start else { return }
    bytes.removeFirst(Int(min(offset, end) - start))
    start = offset
  }

  @_lifetime(target: copy target)
  package func copy(from offset: UInt64, into target: inout MutableRawSpan) {
    precondition(offset >= start && offset + UInt64(target.byteCount) <= end, "bytes that are not held any more")
    let from = Int(offset - start)
    unsafe bytes.withUnsafeBytes { source in
      unsafe target.withUnsafeMutableBytes { target in
        unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[from..<from + target.count]))
      }
    }
  }
}

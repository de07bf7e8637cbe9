// SPDX-License-Identifier: MIT
import LRP2PCore

/// The bytes of one write: an array that is kept, or memory that the caller keeps until `release`.
///
/// `@unchecked Sendable`: the memory is only read, and the caller of a borrowed write promises that it stays as it is.
@safe
struct WriteSource: @unchecked Sendable {
  var storage: [UInt8] = []
  var borrowed: UnsafeRawBufferPointer?
  var release: Release?

  init(_ bytes: [UInt8]) { storage = bytes }

  init(borrowing bytes: UnsafeRawBufferPointer, release: @escaping Release) {
    unsafe borrowed = bytes
    self.release = release
  }

  var count: Int { unsafe borrowed?.count ?? storage.count }
  var isBorrowed: Bool { release != nil }

  /// - Parameter range: within 0 ..< count; the target is as long.
  func copy(_ range: Range<Int>, to target: UnsafeMutableRawPointer) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "bytes outside of a write")
    if let borrowed = unsafe borrowed {
      guard let base = borrowed.baseAddress else { return }
      unsafe target.copyMemory(from: base + range.lowerBound, byteCount: range.count)
    } else {
      unsafe storage.withUnsafeBytes {
        guard let base = $0.baseAddress else { return }
        unsafe target.copyMemory(from: base + range.lowerBound, byteCount: range.count)
      }
    }
  }
}

/// The own stream from the first byte that is not acknowledged: chunks by stream offset. Nothing is copied on the way in but
/// short writes, which share chunks.
struct SendQueue {
  private struct Chunk {
    var start: UInt64
    /// Bytes of the source that belong to the stream so far.
    var count = 0
    var source: WriteSource
    /// More bytes of the source may follow.
    var isOpen = false
    /// Holds short writes, of which more may be appended.
    var isShared = false
    var end: UInt64 { start + UInt64(count) }
  }

  /// Acknowledged below; known up to.
  private(set) var start: UInt64 = 0
  private(set) var end: UInt64 = 0
  private var chunks: [Chunk] = []
  private var head = 0

  /// Up to this many bytes are copied: a chunk and an array take about as much.
  private static var short: Int { 4096 }
  private static var sharedCapacity: Int { 65_536 }

  /// Nothing will be asked for again.
  private var isReleased = false

  /// Bytes that are held.
  var count: Int { isReleased ? 0 : Int(end - start) }

  /// Appends all of a source.
  mutating func append(_ source: WriteSource, _ due: inout DeferredActions) {
    let count = source.count
    if count <= Self.short, !source.isBorrowed {
      appendShort(source.storage)
    } else {
      open(source)
      extend(by: count)
      // Of nothing the peer has everything already.
      seal(&due)
    }
  }

  private mutating func appendShort(_ bytes: [UInt8]) {
    if bytes.isEmpty { return }
    if chunks.count == head || !chunks[chunks.count - 1].isShared
      || chunks[chunks.count - 1].count + bytes.count > Self.sharedCapacity
    {
      chunks.append(Chunk(start: end, source: WriteSource([]), isShared: true))
    }
    chunks[chunks.count - 1].source.storage.append(contentsOf: bytes)
    chunks[chunks.count - 1].count += bytes.count
    end += UInt64(bytes.count)
  }

  /// Begins a chunk whose bytes `extend` brings into the stream by and by, until `seal`.
  mutating func open(_ source: WriteSource) { chunks.append(Chunk(start: end, source: source, isOpen: true)) }

  mutating func extend(by count: Int) {
    let last = chunks.count - 1
    precondition(chunks[last].isOpen && chunks[last].count + count <= chunks[last].source.count)
    chunks[last].count += count
    end += UInt64(count)
  }

  /// No more bytes of the open chunk will follow.
  mutating func seal(_ due: inout DeferredActions) {
    chunks[chunks.count - 1].isOpen = false
    releaseAcknowledged(&due)
  }

  /// Copies the bytes at `offset` on.
  /// - Returns: false when the queue does not hold them.
  func copy(from offset: UInt64, to target: UnsafeMutableRawBufferPointer) -> Bool {
    guard !isReleased, offset >= start, offset + UInt64(target.count) <= end else { return false }
    var low = head
    var high = chunks.count
    // The last chunk that starts at or before the offset.
    while high - low > 1 {
      let middle = (low + high) / 2
      if chunks[middle].start <= offset { low = middle } else { high = middle }
    }
    var done = 0
    while done < target.count {
      let from = Int(offset + UInt64(done) - chunks[low].start)
      let length = min(target.count - done, chunks[low].count - from)
      // done + length <= target.count.
      unsafe chunks[low].source.copy(from..<from + length, to: target.baseAddress! + done)
      done += length
      low += 1
    }
    return true
  }

  /// The peer has everything below `offset`.
  mutating func acknowledge(upTo offset: UInt64, _ due: inout DeferredActions) {
    start = max(start, min(offset, end))
    releaseAcknowledged(&due)
  }

  /// The connection is over: nothing will be asked for again. `start` goes on to tell what was acknowledged.
  mutating func releaseAll(_ due: inout DeferredActions) {
    let isMany = count >= 1 << 20
    isReleased = true
    for chunk in chunks[head...] {
      if let release = chunk.source.release { due.release(release) }
      due.discard(chunk.source.storage, isMany: isMany)
    }
    chunks = []
    head = 0
  }

  private mutating func releaseAcknowledged(_ due: inout DeferredActions) {
    while head < chunks.count, chunks[head].end <= start, !chunks[head].isOpen {
      if let release = chunks[head].source.release { due.release(release) }
      due.discard(chunks[head].source.storage)
      chunks[head].source = WriteSource([])
      head += 1
    }
    if head == chunks.count {
      // An idle connection keeps nothing.
      chunks = []
      head = 0
    } else if head > 64 && 2 * head > chunks.count {
      chunks.removeFirst(head)
      head = 0
    }
  }
}

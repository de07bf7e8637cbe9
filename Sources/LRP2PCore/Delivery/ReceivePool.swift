/// Memory for bytes that arrived early or that nobody reads yet: cells of one datagram's payload, shared by all
/// peers, bounded. It grows chunk by chunk, and gives chunks back when nothing is in use.
@safe
package struct ReceivePool: ~Copyable {
  package static var none: UInt32 { .max }
  private static var cellsPerChunk: Int { 512 }

  package let cellBytes: Int
  private let maximumCells: Int
  private var chunks: Slots<Arena>
  private var chunkCount = 0
  private var free = Queue<UInt32>(minimumCapacity: 512, filler: 0)
  package private(set) var cellsInUse = 0
  /// Cells that there is memory for at present.
  package var capacity: Int { chunkCount * Self.cellsPerChunk }

  /// Where a stored payload of which only the start is kept is handed over; of no bytes when all are.
  private var whole: Arena

  /// - Parameter kept: bytes of each payload that are kept, for simulations of payloads that nobody looks at; 0 is all.
  package init(cellBytes: Int, maximumBytes: Int, kept: Int = 0) {
    whole = Arena(byteCount: kept > 0 ? (cellBytes + 63) & ~63 : 0)
    self.cellBytes = kept > 0 ? kept : (cellBytes + 63) & ~63
    maximumCells = max(maximumBytes / self.cellBytes, 1)
    chunks = Slots(count: (maximumCells + Self.cellsPerChunk - 1) / Self.cellsPerChunk)
  }

  /// Cells that early data must leave. Of a pool with few long cells it has to be one all the same.
  private var keptCells: Int { min(max(maximumCells / 32, 1), maximumCells - 1) }

  /// The last quarter is for peers that have few cells. Early data is acknowledged and cannot be given up, so whoever keeps a gap
  /// open for ever keeps its cells: two thousand such peers still leave to every other what repairs a loss.
  private var few: Int { max(maximumCells / 8192, 4) }

  /// Whether a peer that has `held` cells may take one more, as far as it is about others.
  package func admits(holding held: Int) -> Bool { held < few || cellsInUse < maximumCells - maximumCells / 4 }

  package var isHalfFree: Bool { cellsInUse <= maximumCells / 2 }

  /// The longest payload that a cell is for.
  package var longestPayload: Int { max(cellBytes, whole.byteCount) }

  /// Copies `bytes` into a cell; `nil` when the pool is exhausted.
  package mutating func store(_ bytes: RawSpan) -> UInt32? {
    guard let cell = reserve() else { return nil }
    if bytes.byteCount > cellBytes, whole.byteCount > 0 {
      write(bytes.extracting(first: cellBytes), to: cell, at: 0)
      return cell
    }
    write(bytes, to: cell, at: 0)
    return cell
  }

  /// Copies `bytes` to `offset` of a cell in use.
  package mutating func write(_ bytes: RawSpan, to cell: UInt32, at offset: Int) {
    precondition(offset >= 0 && bytes.byteCount <= cellBytes - offset)
    var target = chunks[Int(cell) / Self.cellsPerChunk].mutableBytes(
      Int(cell) % Self.cellsPerChunk * cellBytes + offset, bytes.byteCount)
    target.copy(bytes, to: 0)
  }

  /// Turns one bit of a cell over: for links that corrupt.
  package mutating func flip(bit: Int, of cell: UInt32) {
    var target = chunks[Int(cell) / Self.cellsPerChunk].mutableBytes(
      Int(cell) % Self.cellsPerChunk * cellBytes + bit / 8, 1)
    target.setByte(0, target.bytes.byte(0) ^ 1 << UInt8(bit & 7))
  }

  /// Takes a cell; `nil` when the pool is exhausted.
  ///
  /// - Parameter isNext: it is for what a reader waits for, so that early data of others, which cannot be given up once it
  ///   is acknowledged, must not stand in its way: the last cells are kept for that.
  package mutating func reserve(isNext: Bool = false) -> UInt32? {
    guard isNext || cellsInUse < maximumCells - keptCells else { return nil }
    if free.isEmpty {
      guard chunkCount < chunks.count else { return nil }
      chunks.insert(Arena(byteCount: Self.cellsPerChunk * cellBytes), at: chunkCount)
      let first = chunkCount * Self.cellsPerChunk
      for cell in first..<min(first + Self.cellsPerChunk, maximumCells) { free.append(UInt32(cell)) }
      chunkCount += 1
    }
    guard let cell = free.popFirst() else { return nil }
    cellsInUse += 1
    return cell
  }

  package mutating func release(_ cell: UInt32) {
    cellsInUse -= 1
    free.append(cell)
  }

  /// Gives all but the first chunk back, if nothing is in use: a connection has ended, or rests. Not whenever nothing is in
  /// use: a path that loses or reorders would have it grow again and again.
  package mutating func trim() {
    guard cellsInUse == 0, chunkCount > 1 else { return }
    for chunk in 1..<chunkCount { chunks.remove(at: chunk) }
    chunkCount = 1
    free = Queue(minimumCapacity: 512, filler: 0)
    for cell in 0..<min(Self.cellsPerChunk, maximumCells) { free.append(UInt32(cell)) }
  }

  /// The bytes of a cell, for a callback that also gets the engine.
  ///
  /// Bound: `cell` is in use and `length` bytes of it were stored; chunks never move, and the engine releases a
  /// cell only after the callback that reads it has returned. That is why the span may outlive the borrow of `self`.
  @unsafe @_lifetime(immortal)
  package mutating func bytes(_ cell: UInt32, _ length: Int) -> RawSpan {
    if length > cellBytes, whole.byteCount > 0 {
      showKept(of: cell)
      return unsafe _overrideLifetime(whole.bytes(0, length), copying: ())
    }
    precondition(length <= cellBytes)
    let span = chunks[Int(cell) / Self.cellsPerChunk].bytes(Int(cell) % Self.cellsPerChunk * cellBytes, length)
    return unsafe _overrideLifetime(span, copying: ())
  }

  /// Puts what is kept of a payload where the whole would be.
  private mutating func showKept(of cell: UInt32) {
    let start = Int(cell) % Self.cellsPerChunk * cellBytes
    for at in stride(from: 0, to: cellBytes, by: 8) {
      let word = chunks[Int(cell) / Self.cellsPerChunk].bytes(start + at, 8).bigEndian64(0)
      var target = whole.mutableBytes(at, 8)
      target.setBigEndian64(0, word)
    }
  }
}

// SPDX-License-Identifier: MIT
/// Memory for bytes that arrived early or that nobody reads yet: cells of one datagram's payload, shared by all peers. It grows
/// chunk by chunk, and gives chunks back when nothing is in use.
///
/// It is also the ledger of what peers cause: cells, and what their windows need to find them again, are counted in bytes, within a
/// bound for all and one for each (docs/threat-model.md has the table).
@safe
package struct ReceivePool: ~Copyable {
  package static var none: UInt32 { .max }
  private static var cellsPerChunk: Int { 512 }
  /// Payloads of one peer share a cell in steps of so many bytes.
  private static var unit: Int { 64 }

  package let cellBytes: Int
  private let maximumBytes: Int
  /// The most that one peer may have.
  private let peerBytes: Int
  private let maximumCells: Int
  private var chunks: Slots<Int, Arena>
  private var chunkCount = 0
  private var free = Queue<UInt32>(minimumCapacity: 512, filler: 0)
  /// How many payloads stand in each cell; none in a free one.
  private var payloads = GrowingColumn<Int, UInt16>(repeating: 0, count: 0)
  package private(set) var cellsInUse = 0
  /// Bytes that windows have charged for what they keep beside the cells.
  private var charged = 0
  /// Cells that there is memory for at present.
  package var capacity: Int { chunkCount * Self.cellsPerChunk }

  /// It has refused a segment in this batch; and the user has been told, and not yet that there is room again.
  package var hasRefused = false
  package var isReportedFull = false
  package var keptCellHolders = KeptCellHolders()

  /// Where a stored payload of which only the start is kept is handed over; of no bytes when all are.
  private var whole: Arena

  /// - Parameter kept: bytes of each payload that are kept, for simulations of payloads that nobody looks at; 0 is all.
  package init(cellBytes: Int, maximumBytes: Int, peerBytes: Int = .max, kept: Int = 0) {
    whole = Arena(byteCount: kept > 0 ? (cellBytes + 63) & ~63 : 0)
    self.cellBytes = kept > 0 ? kept : (cellBytes + 63) & ~63
    self.maximumBytes = max(maximumBytes, self.cellBytes)
    self.peerBytes = peerBytes
    maximumCells = self.maximumBytes / self.cellBytes
    chunks = Slots(count: (maximumCells + Self.cellsPerChunk - 1) / Self.cellsPerChunk)
  }

  // MARK: Ledger

  /// Bytes of cells in use, and of what windows have charged.
  package var bytesInUse: Int { cellsInUse * cellBytes + charged }

  /// Cells that early data must leave. Of a pool with few long cells it has to be one all the same.
  private var keptCells: Int { min(max(maximumCells / 32, 1), maximumCells - 1) }

  /// What is left for early data.
  private var bytesLeft: Int { maximumBytes - keptCells * cellBytes - bytesInUse }

  /// A peer that has no more than this needs not ask how much the others have: it can repair a loss whatever they do.
  private var fewBytes: Int { max(maximumCells / 8192, 4) * cellBytes }

  /// Whether a peer that has `held` bytes may take `more`. It may have twice what it leaves (Choudhury and Hahne, "Dynamic queue
  /// length thresholds", 1998): one alone gets two thirds of the pool, and n of them leave a part in 2 n + 1 to whoever comes, so
  /// nobody who keeps a gap open for ever, or never reads, can take it all.
  package func admits(_ more: Int, holding held: Int) -> Bool {
    let left = bytesLeft - more
    guard left >= 0, held <= peerBytes - more else { return false }
    return held + more <= max(2 * left, fewBytes)
  }

  /// Whether there is room at all, what is kept for those who wait included.
  package func hasRoom(_ more: Int) -> Bool { bytesInUse + more <= maximumBytes }

  /// How much more a peer that has `held` bytes could take now.
  package func room(holding held: Int) -> Int {
    let left = max(bytesLeft, 0)
    return max(min((2 * left - held) / 3, peerBytes - held, left), min(fewBytes - held, left), 0)
  }

  package mutating func charge(_ bytes: Int) { charged += bytes }
  package mutating func refund(_ bytes: Int) { charged -= bytes }

  package var isHalfFree: Bool { bytesInUse <= maximumBytes / 2 }

  /// The longest payload that a cell is for.
  package var longestPayload: Int { max(cellBytes, whole.byteCount) }

  // MARK: Cells

  /// The cell that a peer has stored into last, and how much of it is taken.
  package struct Open: BitwiseCopyable {
    fileprivate var cell = ReceivePool.none
    fileprivate var units: UInt16 = 0

    package init() {}
  }

  /// Where a payload stands.
  package struct Place: BitwiseCopyable {
    package var cell = ReceivePool.none
    fileprivate var unit: UInt16 = 0

    package init() {}
  }

  /// Whether a payload of so many bytes fits behind what stands in the cell.
  package func fits(_ length: Int, in open: Open) -> Bool {
    open.cell != Self.none && whole.byteCount == 0 && Int(open.units) * Self.unit + length <= cellBytes
  }

  /// Copies `bytes` behind what the same peer has stored last, or to a cell of their own; `nil` when the pool is exhausted.
  package mutating func append(_ bytes: RawSpan, to open: inout Open) -> Place? {
    var place = Place()
    if fits(bytes.byteCount, in: open) {
      payloads[Int(open.cell)] += 1
      place.unit = open.units
    } else {
      guard let cell = reserve() else { return nil }
      open = Open()
      open.cell = cell
    }
    place.cell = open.cell
    let kept = whole.byteCount > 0 ? min(bytes.byteCount, cellBytes) : bytes.byteCount
    write(bytes.extracting(first: kept), to: open.cell, at: Int(place.unit) * Self.unit)
    open.units += UInt16((kept + Self.unit - 1) / Self.unit)
    return place
  }

  /// A payload is given back so many times before it is of no use.
  package mutating func share(_ place: Place, _ count: Int) { payloads[Int(place.cell)] += UInt16(count - 1) }

  /// Copies `bytes` into a cell; `nil` when the pool is exhausted.
  package mutating func store(_ bytes: RawSpan) -> UInt32? {
    var open = Open()
    return append(bytes, to: &open)?.cell
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
    guard bytesInUse + cellBytes <= (isNext ? maximumBytes : maximumBytes - keptCells * cellBytes) else { return nil }
    if free.isEmpty {
      guard chunkCount < chunks.count else { return nil }
      chunks.insert(Arena(byteCount: Self.cellsPerChunk * cellBytes), at: chunkCount)
      let first = chunkCount * Self.cellsPerChunk
      for cell in first..<min(first + Self.cellsPerChunk, maximumCells) {
        free.append(UInt32(cell))
        if PoolPoison.isOn { poison(UInt32(cell)) }
      }
      chunkCount += 1
      payloads.grow(to: capacity, filling: 0)
    }
    guard let cell = free.popFirst() else { return nil }
    precondition(payloads[Int(cell)] == 0, "a free cell is nobody's")
    if PoolPoison.isOn { precondition(isUntouched(cell), "nobody writes to a free cell") }
    payloads[Int(cell)] = 1
    cellsInUse += 1
    return cell
  }

  /// A payload is of no use any more.
  /// - Returns: whether its cell is free now.
  @discardableResult
  package mutating func release(_ cell: UInt32) -> Bool {
    precondition(payloads[Int(cell)] > 0, "what is given back was in use")
    payloads[Int(cell)] -= 1
    guard payloads[Int(cell)] == 0 else { return false }
    cellsInUse -= 1
    free.append(cell)
    if PoolPoison.isOn { poison(cell) }
    return true
  }

  private mutating func poison(_ cell: UInt32) {
    var bytes = chunks[Int(cell) / Self.cellsPerChunk].mutableBytes(
      Int(cell) % Self.cellsPerChunk * cellBytes, cellBytes)
    PoolPoison.fill(&bytes)
  }

  private func isUntouched(_ cell: UInt32) -> Bool {
    PoolPoison.isUntouched(
      chunks[Int(cell) / Self.cellsPerChunk].bytes(Int(cell) % Self.cellsPerChunk * cellBytes, cellBytes))
  }

  /// As `release`, where the cell may be the one that the same peer stores into.
  package mutating func release(_ cell: UInt32, closing open: inout Open) -> Bool {
    let isFree = release(cell)
    if isFree, open.cell == cell { open = Open() }
    return isFree
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
  /// Bound: the cell is in use and `length` bytes of it were stored; chunks never move, and the engine releases a
  /// cell only after the callback that reads it has returned. That is why the span may outlive the borrow of `self`.
  @unsafe @_lifetime(immortal)
  package mutating func bytes(_ place: Place, _ length: Int) -> RawSpan {
    if length > cellBytes, whole.byteCount > 0 {
      showKept(of: place.cell)
      return unsafe _overrideLifetime(whole.bytes(0, length), copying: ())
    }
    let offset = Int(place.unit) * Self.unit
    precondition(length <= cellBytes - offset && payloads[Int(place.cell)] > 0)
    let start = Int(place.cell) % Self.cellsPerChunk * cellBytes + offset
    let span = chunks[Int(place.cell) / Self.cellsPerChunk].bytes(start, length)
    return unsafe _overrideLifetime(span, copying: ())
  }

  /// The same, of a payload that has its cell for itself.
  @unsafe @_lifetime(immortal)
  package mutating func bytes(_ cell: UInt32, _ length: Int) -> RawSpan {
    var place = Place()
    place.cell = cell
    return unsafe bytes(place, length)
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

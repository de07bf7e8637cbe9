// SPDX-License-Identifier: MIT
/// What programs have written and peers have not acknowledged (`Engine.write`): a ring of chunks for each stream, from memory that all
/// streams share. It grows block by block up to its bound, and gives blocks back when nothing is in use.
package struct WritePool: ~Copyable {
  package static var chunkBytes: Int { 4096 }
  /// Room that a stream has left when its user is not asked to wait: the longest payload that one call of `Handler.received` brings.
  package static var reserve: Int { Datagram.maximumLength }
  private static var chunksPerBlock: Int { 64 }
  private static var rowsKept: Int { 1024 }

  private let peerBytes: Int
  private let maximumChunks: Int
  private var blocks: Slots<Int, Arena>
  private var blockCount = 0
  /// A stack: the chunk that was given back last is in the cache still.
  private var free = Column(repeating: UInt32(0), count: 64)
  private var freeCount = 0
  package private(set) var chunksInUse = 0
  private var streams = Slots<Int, WrittenStream>(count: 0, reserve: rowsKept)
  private var freeRows = Queue<UInt32>(minimumCapacity: 16, filler: 0)
  /// Streams that hold nothing and wait for what others hold, and some that did and do not any more.
  private var waiting = Queue<Waiting>(minimumCapacity: 16, filler: Waiting())
  private var lastTicket: UInt64 = 0

  // (Not private: a compiler of today fails over that in a debug build with coverage.)
  struct Waiting: BitwiseCopyable {
    var row = 0
    var ticket: UInt64 = 0
  }

  /// - Parameters:
  ///   - maximumBytes: for all streams.
  ///   - peerBytes: for one.
  package init(maximumBytes: Int, peerBytes: Int) {
    self.peerBytes = peerBytes
    maximumChunks = max(maximumBytes / Self.chunkBytes, 1)
    blocks = Slots(count: (maximumChunks + Self.chunksPerBlock - 1) / Self.chunksPerBlock)
  }

  /// Chunks that there is memory for at present.
  package var capacity: Int { blockCount * Self.chunksPerBlock }
  package var bytesInUse: Int { chunksInUse * Self.chunkBytes }
  package var streamsInUse: Int { streams.inUse }
  private var freeBytes: Int { (maximumChunks - chunksInUse) * Self.chunkBytes }
  /// An eighth is for streams that hold little: peers that acknowledge nothing could else leave no room for anybody.
  private var sharedBytes: Int { max(maximumChunks - maximumChunks / 8 - chunksInUse, 0) * Self.chunkBytes }

  // MARK: Streams

  /// A stream whose first byte will be at `offset`.
  package mutating func open(at offset: UInt64) -> Int {
    if freeRows.isEmpty {
      let count = streams.count
      streams.grow(to: max(16, 2 * count))
      for row in count..<streams.count { freeRows.append(UInt32(row)) }
    }
    let row = Int(freeRows.popFirst()!)
    if !streams.insertRetired(at: row) { streams.insert(WrittenStream(), at: row) }
    streams[row].restart(at: offset)
    streams[row].isFull = false
    streams[row].ticket = 0
    return row
  }

  /// Nothing of it will be asked for again.
  package mutating func close(_ row: Int) {
    streams[row].ticket = 0
    while streams[row].count > 0 { give(back: streams[row].removeFirst()) }
    if streams[row].isSmall { streams.retire(row) } else { streams.remove(at: row) }
    freeRows.append(UInt32(row))
    trim()
  }

  package func isEmpty(_ row: Int) -> Bool { streams[row].held == 0 }
  package func end(_ row: Int) -> UInt64 { streams[row].end }

  /// Whether its user was asked to wait, and has not been called since.
  package func isFull(_ row: Int) -> Bool { streams[row].isFull }
  package mutating func setFull(_ row: Int, _ isFull: Bool) { streams[row].isFull = isFull }

  /// Bytes that it takes now. A stream may hold as much as it leaves to the others, of all but an eighth; and a little in any case, as long
  /// as there is anything.
  package func room(_ row: Int) -> Int {
    let held = streams[row].held
    let allowed = max(min(peerBytes, (held + sharedBytes) / 2), min(Self.reserve, held + freeBytes))
    return max(min(allowed - held, streams[row].slack + freeBytes), 0)
  }

  /// The same of a stream that holds nothing.
  package var roomOfNew: Int { max(min(peerBytes, sharedBytes / 2), min(Self.reserve, freeBytes)) }

  /// Whether one that waits is called: not at each chunk that gets free, but with half of what it may hold.
  package func isRoomy(_ row: Int) -> Bool {
    streams[row].held <= peerBytes / 2 && room(row) >= Self.reserve
  }

  /// Takes as many bytes as there is room for.
  /// - Returns: how many.
  package mutating func append(_ bytes: RawSpan, to row: Int) -> Int {
    let accepted = min(bytes.byteCount, room(row))
    var done = 0
    while done < accepted {
      if streams[row].slack == 0 {
        guard let chunk = take() else { break }
        streams[row].append(chunk)
      }
      let (chunk, offset) = streams[row].place(of: streams[row].end)
      let count = min(Self.chunkBytes - offset, accepted - done)
      var target = blocks[Int(chunk) / Self.chunksPerBlock].mutableBytes(
        Int(chunk) % Self.chunksPerBlock * Self.chunkBytes + offset, count)
      target.copy(bytes.extracting(done..<done + count), to: 0)
      streams[row].end += UInt64(count)
      done += count
    }
    return done
  }

  /// Copies the bytes at `offset` on.
  /// - Returns: `false` when it does not hold all of them.
  package func copy(_ row: Int, from offset: UInt64, into bytes: inout MutableRawSpan) -> Bool {
    guard streams[row].holds(offset, bytes.byteCount) else { return false }
    var done = 0
    while done < bytes.byteCount {
      let (chunk, start) = streams[row].place(of: offset + UInt64(done))
      let count = min(Self.chunkBytes - start, bytes.byteCount - done)
      bytes.copy(
        blocks[Int(chunk) / Self.chunksPerBlock].bytes(
          Int(chunk) % Self.chunksPerBlock * Self.chunkBytes + start, count), to: done)
      done += count
    }
    return true
  }

  /// The peer has everything below `offset`.
  package mutating func acknowledge(_ row: Int, upTo offset: UInt64) {
    streams[row].start = max(streams[row].start, min(offset, streams[row].end))
    while streams[row].hasSpent { give(back: streams[row].removeFirst()) }
    if streams[row].held == 0 { streams[row].restart(at: streams[row].end) }
  }

  /// An empty stream continues at `offset`.
  package mutating func skip(_ row: Int, to offset: UInt64) { if isEmpty(row) { streams[row].restart(at: offset) } }

  // MARK: Waiting

  package var hasWaiting: Bool { !waiting.isEmpty && freeBytes >= Self.reserve }
  package var waitingCount: Int { waiting.count }

  /// A connection that holds nothing waits for room.
  package mutating func wait(_ row: Int, _ handle: UInt64) {
    guard streams[row].ticket == 0 else { return }
    if waiting.count > 2 * streamsInUse + 64 { dropVoid() }
    lastTicket += 1
    streams[row].ticket = lastTicket
    streams[row].handle = handle
    waiting.append(Waiting(row: row, ticket: lastTicket))
  }

  /// The handle of the one that has waited longest.
  package mutating func nextWaiting() -> UInt64? {
    while let entry = waiting.popFirst() {
      if stillWaits(entry) { return streams[entry.row].handle }
    }
    return nil
  }

  package mutating func stopsWaiting(_ row: Int) { streams[row].ticket = 0 }

  private func stillWaits(_ entry: Waiting) -> Bool {
    streams.contains(entry.row) && streams[entry.row].ticket == entry.ticket
  }

  /// Connections that come, find no room and go leave entries.
  private mutating func dropVoid() {
    for _ in 0..<waiting.count {
      if let entry = waiting.popFirst(), stillWaits(entry) { waiting.append(entry) }
    }
  }

  // MARK: Chunks

  private mutating func take() -> UInt32? {
    guard chunksInUse < maximumChunks else { return nil }
    if freeCount == 0 {
      blocks.insert(Arena(byteCount: Self.chunksPerBlock * Self.chunkBytes), at: blockCount)
      blockCount += 1
      listFree(from: capacity - Self.chunksPerBlock)
    }
    freeCount -= 1
    chunksInUse += 1
    return free[freeCount]
  }

  private mutating func give(back chunk: UInt32) {
    free[freeCount] = chunk
    freeCount += 1
    chunksInUse -= 1
  }

  /// The chunks of the last block, the first of them on top.
  private mutating func listFree(from first: Int) {
    if free.count < capacity { free.resize(to: capacity, filling: 0) }
    for chunk in (first..<capacity).reversed() {
      free[freeCount] = UInt32(chunk)
      freeCount += 1
    }
  }

  /// Gives all but the first block back, if nothing is in use and nobody is about to write again.
  private mutating func trim() {
    guard chunksInUse == 0, blockCount > 1 else { return }
    for block in 1..<blockCount { blocks.remove(at: block) }
    blockCount = 1
    freeCount = 0
    free = Column(repeating: 0, count: Self.chunksPerBlock)
    listFree(from: 0)
  }
}

/// One stream's bytes from the first that is not acknowledged: chunks side by side, the first of which begins at `base`.
package struct WrittenStream: ~Copyable {
  private static var smallestRing: Int { 16 }

  fileprivate var start: UInt64 = 0
  fileprivate var end: UInt64 = 0
  private var base: UInt64 = 0
  private var ring = Column(repeating: UInt32(0), count: smallestRing)
  private var first = 0
  fileprivate private(set) var count = 0
  fileprivate var isFull = false
  /// Of its entry among those that wait; 0 is none.
  fileprivate var ticket: UInt64 = 0
  /// What its user knows the connection by.
  fileprivate var handle: UInt64 = 0

  fileprivate var held: Int { Int(end - start) }
  fileprivate var isSmall: Bool { ring.count <= 64 * Self.smallestRing }
  /// Bytes that fit after the last in chunks that it has.
  fileprivate var slack: Int { count * WritePool.chunkBytes - Int(end - base) }
  /// Whether its first chunk holds nothing any more; where nothing is held, none does.
  fileprivate var hasSpent: Bool {
    count > 0 && (start == end || base + UInt64(WritePool.chunkBytes) <= start)
  }

  fileprivate func holds(_ offset: UInt64, _ length: Int) -> Bool {
    offset >= start && offset <= end && UInt64(length) <= end - offset
  }

  /// Where a byte is, or the next one will be.
  fileprivate func place(of offset: UInt64) -> (chunk: UInt32, offset: Int) {
    let distance = Int(offset - base)
    precondition(distance >= 0 && distance < count * WritePool.chunkBytes, "bytes outside of what was written")
    return (ring[(first + distance / WritePool.chunkBytes) & (ring.count - 1)], distance % WritePool.chunkBytes)
  }

  fileprivate mutating func append(_ chunk: UInt32) {
    if count == ring.count { grow() }
    ring[(first + count) & (ring.count - 1)] = chunk
    count += 1
  }

  fileprivate mutating func removeFirst() -> UInt32 {
    let chunk = ring[first]
    first = (first + 1) & (ring.count - 1)
    count -= 1
    base += UInt64(WritePool.chunkBytes)
    return chunk
  }

  /// Holds nothing, and continues at `offset`.
  fileprivate mutating func restart(at offset: UInt64) {
    precondition(count == 0, "chunks are given back first")
    (start, end, base, first) = (offset, offset, offset, 0)
  }

  private mutating func grow() {
    var larger = Column(repeating: UInt32(0), count: 2 * ring.count)
    for index in 0..<count { larger[index] = ring[(first + index) & (ring.count - 1)] }
    ring = larger
    first = 0
  }
}

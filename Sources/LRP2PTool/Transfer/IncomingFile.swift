// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore

/// A file whose bytes are coming: into a part, or, where it is small, into memory until it is whole.
package final class IncomingFile {
  package enum Place {
    case part(PartFile, HashLane)
    case memory
  }

  struct Piece {
    let block: Block
    let range: Range<Int>
  }

  let index: UInt32
  let offer: Offer
  let started: Instant
  let resumed: UInt64
  private(set) var place: Place
  private(set) var length: UInt64
  /// The content of one in memory, in blocks that others share.
  private(set) var pieces: [Piece] = []
  /// Its content, once there were too many pieces.
  private var gathered: Block?
  private let largest: UInt64

  package init(_ index: UInt32, _ offer: Offer, _ place: Place, started: Instant, largest: UInt64) {
    self.index = index
    self.offer = offer
    self.place = place
    self.started = started
    self.largest = largest
    if case .part(let part, _) = place { resumed = part.length } else { resumed = 0 }
    length = resumed
  }

  var part: PartFile? { if case .part(let part, _) = place { part } else { nil } }

  /// Whether a file is held in memory until it is whole.
  static func fitsMemory(_ offer: Offer) -> Bool {
    offer.size < StoreFolder.smallestKept && !offer.flags.contains(.open)
  }

  /// Whether so many bytes are still within what was offered.
  func takes(_ count: Int) -> Bool {
    offer.flags.contains(.open) || UInt64(count) <= offer.size - length
  }

  package func write(_ block: Block, _ range: Range<Int>) throws(FileFailure) {
    guard length + UInt64(range.count) <= largest else {
      throw FileFailure(.refused, "the receiver takes no file of this size")
    }
    switch place {
    case .memory: keep(block, range)
    case .part(let part, let lane):
      lane.update(block, range)
      do throws(DiskError) { try write(block.bytes.extracting(range), to: part.file, at: length) } catch {
        throw FileFailure(.storage, error.description)
      }
      part.length += UInt64(range.count)
    }
    length += UInt64(range.count)
  }

  /// A piece keeps its whole block, and a sender may put one byte into each: after two the file has a block of its own, which holds
  /// any that is kept in memory.
  private func keep(_ block: Block, _ range: Range<Int>) {
    if let last = pieces.last, last.block === block, last.range.upperBound == range.lowerBound {
      pieces[pieces.count - 1] = Piece(block: block, range: last.range.lowerBound..<range.upperBound)
      return
    }
    guard gathered != nil || pieces.count == Self.mostPieces else {
      pieces.append(Piece(block: block, range: range))
      return
    }
    let own = gathered ?? Block()
    if gathered == nil {
      for piece in pieces { own.append(piece.block.bytes.extracting(piece.range)) }
      gathered = own
    }
    own.append(block.bytes.extracting(range))
    pieces = [Piece(block: own, range: 0..<own.count)]
  }

  package static let mostPieces = 2
  /// Blocks that it keeps, some of them with others.
  package var blocksKept: Int { pieces.count }

  /// The digest of all that has come.
  package func digest(_ hash: inout FileHash) -> [UInt8] {
    if case .part(_, let lane) = place { return lane.digest() }
    if pieces.count == 1 {
      let piece = pieces[0]
      return hash.digest(of: piece.block.bytes.extracting(piece.range))
    }
    hash.restart()
    for piece in pieces { hash.update(piece.block.bytes.extracting(piece.range)) }
    return hash.digest()
  }

  /// Writes what is in memory, and what the file is besides its bytes.
  func complete(_ file: OpenFile) throws(DiskError) {
    var offset: UInt64 = 0
    for piece in pieces {
      try write(piece.block.bytes.extracting(piece.range), to: file, at: offset)
      offset += UInt64(piece.range.count)
    }
    if offer.flags.contains(.sparse) { try Disk.setLength(file, length) }
    // What is read from a pipe has none.
    if !offer.flags.contains(.open) || offer.seconds != 0 || offer.nanoseconds != 0 {
      try Disk.setTime(file, seconds: offer.seconds, nanoseconds: offer.nanoseconds)
    }
  }

  private func write(_ bytes: RawSpan, to file: OpenFile, at offset: UInt64) throws(DiskError) {
    guard offer.flags.contains(.sparse) else { return try Disk.write(file, bytes, at: offset) }
    // Pages of zeros are left out.
    let page = 4096
    var at = 0
    var unwritten = 0
    while at < bytes.byteCount {
      let end = min(bytes.byteCount, at + page - Int((offset + UInt64(at)) % UInt64(page)))
      if bytes.extracting(at..<end).isZero {
        if unwritten < at { try Disk.write(file, bytes.extracting(unwritten..<at), at: offset + UInt64(unwritten)) }
        unwritten = end
      }
      at = end
    }
    if unwritten < at { try Disk.write(file, bytes.extracting(unwritten..<at), at: offset + UInt64(unwritten)) }
  }

  /// - Returns: whether what there is of it was kept, for another try.
  func close(keeps: Bool) -> Bool {
    guard let part else { return false }
    let isKept = keeps && !offer.flags.contains(.open) && length >= StoreFolder.smallestKept
    if isKept {
      // What ended in a hole.
      try? Disk.setLength(part.file, length)
    } else {
      part.remove()
    }
    return isKept
  }
}

extension RawSpan {
  var isZero: Bool {
    var at = 0
    while at + 8 <= byteCount {
      if unsafe unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self) != 0 { return false }
      at += 8
    }
    while at < byteCount {
      if unsafeByte(at) != 0 { return false }
      at += 1
    }
    return true
  }
}

extension Block {
  /// Appends what one read gives.
  /// - Returns: 0 at the end of the file.
  func read(_ file: OpenFile, head: Int = 0, limit: Int) throws(DiskError) -> Int {
    var failure: DiskError?
    let count = unsafe append(head: head, limit: limit) { target in
      do throws(DiskError) { return try unsafe Disk.read(file, into: target) } catch {
        failure = error
        return -1
      }
    }
    if let failure { throw failure }
    return count
  }
  /// Appends what a file begins with, up to `count` bytes.
  func append(_ file: OpenFile, atStart count: Int) throws(DiskError) -> Int {
    var failure: DiskError?
    let count = unsafe append(head: 0, limit: count) { target in
      do throws(DiskError) { return try unsafe Disk.readStart(file, into: target) } catch {
        failure = error
        return -1
      }
    }
    if let failure { throw failure }
    return count
  }
}

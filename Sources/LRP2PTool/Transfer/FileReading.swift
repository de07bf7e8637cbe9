// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore
import LRP2PReactor

/// A file that is being sent.
final class FileReading {
  /// Why it cannot be sent, or not be sent to its end.
  struct Failure: Error { let text: String }

  let index: UInt32
  let offer: Offer
  let lane: HashLane
  let started: Instant
  private let file: OpenFile
  private(set) var offset: UInt64 = 0
  private(set) var resumed: UInt64 = 0

  private var isOpen: Bool { offer.flags.contains(.open) }
  private var left: UInt64 { offer.size - min(offset, offer.size) }

  /// - Parameter path: `nil` for standard input.
  init(
    _ index: UInt32, _ offer: Offer, path: [UInt8]?, _ kind: DigestKind, hashing: WorkPool?, started: Instant
  ) throws(Failure) {
    self.index = index
    self.offer = offer
    self.started = started
    lane = HashLane(kind, pool: hashing)
    do throws(DiskError) {
      if let path {
        file = try Disk.open(Disk.here, path, O_RDONLY | O_NONBLOCK)
      } else {
        let copy = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw DiskError(errno) }
        file = OpenFile(owning: copy)
      }
    } catch {
      throw Failure(text: "\(error)")
    }
    if !isOpen { try checkUnchanged(Self.hasChanged) }
  }

  /// Reads up to `end` for the digest only: the receiver has that.
  func pass(to end: UInt64, isStopped: () -> Bool) throws(Failure) {
    while offset < end, !isStopped() {
      let block = Block()
      let count = try read(block, head: 0, limit: Int(min(end - offset, UInt64(Block.capacity))))
      lane.update(block, 0..<count)
      offset += UInt64(count)
    }
    resumed = offset
  }

  /// Appends the next bytes, with the record's head in front.
  /// - Returns: whether there is more.
  func append(to block: Block) throws(Failure) -> Bool {
    if !isOpen, left == 0 { return false }
    let head = SenderRecord.data(count: 0).encoded.count
    let from = block.count
    let room = min(block.free - head, SenderRecord.longestData)
    let count = try read(block, head: head, limit: isOpen ? room : Int(min(left, UInt64(room))))
    if count == 0 { return false }
    block.replace(at: from, SenderRecord.data(count: count).encoded)
    pieces.append((block, from + head..<from + head + count))
    offset += UInt64(count)
    return true
  }

  /// What was appended to the block goes to the hash once nothing is appended any more.
  private var pieces: [(Block, Range<Int>)] = []

  func hashAppended() {
    for (block, range) in pieces { lane.update(block, range) }
    pieces.removeAll(keepingCapacity: true)
  }

  /// The digest of the whole, unless it is not the file that was offered any more.
  func end() throws(Failure) -> [UInt8] {
    if !isOpen { try checkUnchanged("it changed while it was sent") }
    hashAppended()
    return lane.digest()
  }

  private func read(_ block: Block, head: Int, limit: Int) throws(Failure) -> Int {
    let count: Int
    do throws(DiskError) { count = try block.read(file, head: head, limit: limit) } catch {
      throw Failure(text: "\(error)")
    }
    if count == 0, !isOpen { throw Failure(text: "it became shorter while it was sent") }
    return count
  }

  private func checkUnchanged(_ text: String) throws(Failure) {
    guard let status = try? Disk.status(of: file), Self.isUnchanged(status, offer) else { throw Failure(text: text) }
  }

  static let hasChanged = "it has changed since it was offered"

  static func isUnchanged(_ status: stat, _ offer: Offer) -> Bool {
    status.isFile && status.size == offer.size && Int64(status.st_mtim.tv_sec) == offer.seconds
      && status.st_mtim.tv_nsec == Int(offer.nanoseconds)
  }
}

// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore

/// A file whose bytes are coming.
final class IncomingFile {
  let index: UInt32
  let offer: Offer
  let part: PartFile
  let lane: HashLane
  let started: Instant
  let resumed: UInt64
  private let largest: UInt64

  init(_ index: UInt32, _ offer: Offer, _ part: PartFile, _ lane: HashLane, started: Instant, largest: UInt64) {
    self.index = index
    self.offer = offer
    self.part = part
    self.lane = lane
    self.started = started
    self.largest = largest
    resumed = part.length
  }

  /// Whether so many bytes are still within what was offered.
  func takes(_ count: Int) -> Bool {
    offer.flags.contains(.open) || UInt64(count) <= offer.size - part.length
  }

  func write(_ block: Block, _ range: Range<Int>) throws(FileFailure) {
    guard part.length + UInt64(range.count) <= largest else {
      throw FileFailure(.refused, "the receiver takes no file of this size")
    }
    lane.update(block, range)
    let bytes = block.bytes.extracting(range)
    do throws(DiskError) {
      if offer.flags.contains(.sparse) {
        try writeSparse(bytes)
      } else {
        try Disk.write(part.file, bytes, at: part.length)
      }
    } catch {
      throw FileFailure(.storage, error.description)
    }
    part.length += UInt64(range.count)
  }

  /// Leaves pages of zeros out.
  private func writeSparse(_ bytes: RawSpan) throws(DiskError) {
    let page = 4096
    var at = 0
    var unwritten = 0
    while at < bytes.byteCount {
      let end = min(bytes.byteCount, at + page - Int((part.length + UInt64(at)) % UInt64(page)))
      if bytes.extracting(at..<end).isZero {
        if unwritten < at {
          try Disk.write(part.file, bytes.extracting(unwritten..<at), at: part.length + UInt64(unwritten))
        }
        unwritten = end
      }
      at = end
    }
    if unwritten < at {
      try Disk.write(part.file, bytes.extracting(unwritten..<at), at: part.length + UInt64(unwritten))
    }
  }

  /// - Returns: whether what there is of it was kept, for another try.
  func close(keeps: Bool) -> Bool {
    let isKept = keeps && !offer.flags.contains(.open) && part.length >= StoreFolder.smallestKept
    if isKept {
      // What ended in a hole.
      try? Disk.setLength(part.file, part.length)
    } else {
      part.remove()
    }
    return isKept
  }
}

/// Files that have come whole and are not on the disk for sure.
struct CompleteFiles {
  struct Entry {
    let file: IncomingFile
    let digest: [UInt8]
  }

  /// Descriptors that one connection holds by them.
  private static let most = 32
  private static let mostBytes: UInt64 = 64 << 20
  private(set) var entries: [Entry] = []
  private var bytes: UInt64 = 0

  var isEmpty: Bool { entries.isEmpty }
  var isFull: Bool { entries.count >= Self.most || bytes >= Self.mostBytes }

  mutating func append(_ file: IncomingFile, _ digest: [UInt8]) {
    entries.append(Entry(file: file, digest: digest))
    bytes += file.part.length
  }

  mutating func takeAll() -> [Entry] {
    defer { self = CompleteFiles() }
    return entries
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
}

extension FileIntake {
  func begin(_ index: UInt32, _ offset: UInt64) throws(Malformed) {
    guard current == nil, let entry = open[index],
      case .wanted(let expected, let part, let lane) = entry.stage, offset == expected
    else { throw Malformed() }
    open[index] = nil
    isDropping = false
    let offer = entry.offer
    do throws(DiskError) {
      let part = if let part { part } else { try store.makePart(offer, owner: owner) }
      current = IncomingFile(
        index, offer, part, lane ?? HashLane(kind, pool: hashing), started: clock(), largest: policy.largestFile)
      announce(part, offer)
    } catch {
      isDropping = true
      fail(index, offer, FileFailure(.storage, error.description))
    }
  }

  func takeData(_ block: Block, _ range: Range<Int>) {
    guard let current else { return }
    do throws(FileFailure) {
      try bound(UInt64(range.count), of: current.offer)
      try current.write(block, range)
      doneBytes += UInt64(range.count)
    } catch {
      (self.current, isDropping) = (nil, true)
      disown(current.part, current.offer)
      current.part.remove()
      fail(current.index, current.offer, error)
    }
  }

  /// What was announced has been judged; what has no size is as it comes. And others write on the same disk.
  private func bound(_ count: UInt64, of offer: Offer) throws(FileFailure) {
    if offer.flags.contains(.open) {
      guard count <= policy.mostBytes - min(offeredBytes, policy.mostBytes) else {
        throw FileFailure(.refused, "the receiver takes no more bytes")
      }
      offeredBytes += count
    }
    unlooked += count
    guard policy.keepFree > 0, unlooked >= Self.bytesBetweenLooks else { return }
    unlooked = 0
    if let free = Disk.freeBytes(store.root), free < policy.keepFree {
      throw FileFailure(.storage, DiskError(ENOSPC).description)
    }
  }

  private static var bytesBetweenLooks: UInt64 { 4 << 20 }

  /// Who comes again with the same file can take it over, once this connection is silent.
  func announce(_ part: PartFile, _ offer: Offer) {
    // What has no size has nothing that makes it the same: every standard input is called alike.
    guard let rival, !part.isAnnounced, !offer.flags.contains(.open) else { return }
    part.isAnnounced = true
    store.rivals.add(part.identifier, part: part.name, rival)
  }

  /// Nobody can any more.
  func disown(_ part: PartFile, _ offer: Offer) {
    guard part.isAnnounced else { return }
    part.isAnnounced = false
    store.rivals.remove(part.identifier, part: part.name)
  }

  func finish(_ file: IncomingFile, _ digest: [UInt8]) {
    let offer = file.offer
    disown(file.part, offer)
    guard offer.flags.contains(.open) || file.part.length == offer.size, file.lane.digest() == digest else {
      file.part.remove()
      fail(file.index, offer, FileFailure(.damaged, "the receiver has other bytes than were sent"))
      return
    }
    do throws(FileFailure) {
      try disk { () throws(DiskError) in
        if offer.flags.contains(.sparse) { try Disk.setLength(file.part.file, file.part.length) }
        if offer.seconds != 0 || offer.nanoseconds != 0 {
          try Disk.setTime(file.part.file, seconds: offer.seconds, nanoseconds: offer.nanoseconds)
        }
      }
    } catch {
      file.part.remove()
      fail(file.index, offer, error)
      return
    }
    complete.append(file, digest)
    if complete.isFull { commit() }
  }

  func withdraw(_ index: UInt32) throws(Malformed) {
    if let current, current.index == index {
      self.current = nil
      disown(current.part, current.offer)
      current.part.remove()
      events.append(withdrawn(current.offer))
      close(current.offer)
    } else if let entry = open[index] {
      open[index] = nil
      release(entry)
      events.append(withdrawn(entry.offer))
      close(entry.offer)
    } else if index >= nextOffer {
      throw Malformed()
    }
  }

  private func withdrawn(_ offer: Offer) -> FileEvent {
    FileEvent(
      path: offer.path, bytes: offer.size,
      outcome: .failed(FileFailure(.refused, "the sender cannot read it, or it has changed")))
  }

  // MARK: To the disk

  /// Puts what is complete on the disk, then gives it its names, and then says so.
  func commit() {
    let entries = complete.takeAll()
    if entries.isEmpty { return }
    var failures: [DiskError?] = entries.map { _ in nil }
    // Of many at once; but whether it was this connection's that could not be written, each file tells.
    if entries.count > 4 { try? Disk.syncAll(store.root) }
    for (index, entry) in entries.enumerated() {
      do throws(DiskError) { try Disk.sync(entry.file.part.file) } catch { failures[index] = error }
    }
    var outcomes: [(entry: CompleteFiles.Entry, outcome: Outcome)] = []
    var changed: [Int32: OpenFile] = [:]
    for (entry, failure) in zip(entries, failures) {
      let outcome: Outcome
      if let failure {
        entry.file.part.remove()
        outcome = .failed(FileFailure(.storage, "write: \(failure)"))
      } else {
        outcome = publish(entry, &changed)
      }
      outcomes.append((entry, outcome))
    }
    // Not every file system can do that of folders.
    for folder in changed.values { try? Disk.sync(folder) }
    store.removeEmptyParts()
    for (entry, outcome) in outcomes { tell(entry, outcome) }
  }

  enum Outcome {
    case stored(name: [UInt8])
    case present
    case failed(FileFailure)
  }

  private func tell(_ entry: CompleteFiles.Entry, _ outcome: Outcome) {
    let file = entry.file
    var event = FileEvent(
      path: file.offer.path, bytes: file.part.length, nanoseconds: clock() &- file.started, resumed: file.resumed,
      kind: kind, outcome: .stored(digest: entry.digest))
    close(file.offer)
    switch outcome {
    case .stored(let name):
      if !name.isEmpty { event.path = Array(file.offer.path.dropLast(PathName.last(of: file.offer.path).count)) + name }
      replies += ReceiverRecord.stored(index: file.index, digest: entry.digest, name: name).encoded
    case .present:
      event.outcome = .present
      replies += ReceiverRecord.present(index: file.index).encoded
    case .failed(let failure):
      event.outcome = .failed(failure)
      replies += ReceiverRecord.failed(index: file.index, failure).encoded
    }
    events.append(event)
  }

  private func publish(_ entry: CompleteFiles.Entry, _ changed: inout [Int32: OpenFile]) -> Outcome {
    let path = entry.file.offer.path
    let part = entry.file.part
    var name = PathName.last(of: path)
    // What its sender wants left alone may have come since it was offered.
    let replaces = policy.existing == .overwrite && !entry.file.offer.flags.contains(.skips)
    do throws(DiskError) {
      let folder = try parentForNew(path, changed)
      changed[folder.descriptor] = folder
      // Not before: a part that its owner may not write could not be gone on with, nor removed.
      try Disk.setMode(part.file, mode_t(UInt32(entry.file.offer.mode) & ~policy.mask))
      for number in 1...100 {
        do throws(DiskError) {
          try part.move(to: folder, name, replaces: replaces)
          if number == 1 { contest(entry.file.offer, part.identifier) }
          return .stored(name: number == 1 ? [] : name)
        } catch {
          guard error.code == EEXIST else { throw error }
        }
        if number == 1, (try? isThere(path, part.length, entry.digest)) == true {
          part.remove()
          return .present
        }
        guard policy.existing == .rename else { break }
        name = PathName.numbered(PathName.last(of: path), number)
      }
      part.remove()
      return policy.existing == .skip || entry.file.offer.flags.contains(.skips)
        ? .present : .failed(FileFailure(.exists, "the receiver has another file of this name"))
    } catch {
      part.remove()
      return .failed(FileFailure(.storage, error.description))
    }
  }

  func contest(_ offer: Offer, _ identifier: [UInt8]) {
    if contested.count < Self.mostContested, !offer.flags.contains(.open), store.hasOthers(offer, identifier) {
      contested.append(offer)
    }
  }

  /// Not one that is known but was removed meanwhile.
  /// - Parameter changed: those that have just been looked at.
  private func parentForNew(_ path: [UInt8], _ changed: [Int32: OpenFile]) throws(DiskError) -> OpenFile {
    let folder = try parent(of: path, makes: true)
    if changed[folder.descriptor] === folder { return folder }
    if let status = try? Disk.status(of: folder), status.st_nlink == 0 {
      forgetParent()
      return try parent(of: path, makes: true)
    }
    return folder
  }

  // MARK: Folders and links

  func makeFolder(_ index: UInt32, _ offer: Offer) throws(FileFailure) {
    if offer.flags.contains(.complete) {
      folders.append((index, offer))
      return
    }
    let isNew = (try? store.folder(at: offer.path, makes: false)) == nil
    do throws(DiskError) {
      _ = try store.folder(at: offer.path, makes: true)
      if isNew, madeFolders.count < Self.mostMadeFolders { madeFolders.insert(offer.path) }
    } catch {
      if error.code == ENOTDIR || error.code == ELOOP {
        throw FileFailure(.exists, "the receiver has something else of this name")
      }
      throw FileFailure(.storage, error.description)
    }
    settle(index, offer, .present)
  }

  func makeLink(_ index: UInt32, _ offer: Offer) throws(FileFailure) {
    guard PathName.staysWithin(offer.target, from: offer.path) else {
      throw FileFailure(.refused, "the receiver takes no link that leads out of its folder")
    }
    let name = PathName.last(of: offer.path)
    try disk { () throws(DiskError) in
      let folder = try parent(of: offer.path, makes: true)
      do throws(DiskError) { try Disk.makeLink(folder.descriptor, name, to: offer.target) } catch {
        guard error.code == EEXIST else { throw error }
        if (try? Disk.target(folder.descriptor, name)) != offer.target, policy.existing != .skip { throw error }
      }
    }
    settle(index, offer, .present)
  }

  /// Modes and times of folders, when nothing is written into them any more. A stranger's, only where he has made them.
  func completeFolders() {
    for (index, offer) in folders {
      if policy.isTrusted || madeFolders.contains(offer.path),
        let folder = try? store.folder(at: offer.path, makes: false)
      {
        // The mode of the first bits is not for others to take away from the owner of this folder.
        try? Disk.setMode(folder, mode_t((UInt32(offer.mode) & ~policy.mask) | 0o700))
        try? Disk.setTime(folder, seconds: offer.seconds, nanoseconds: offer.nanoseconds)
      }
      settle(index, offer, .present)
    }
    folders.removeAll()
  }
}

// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore
import LRP2PReactor

/// The receiver's side of one connection: the sender's stream goes in, replies come out, files are made. It blocks as long as the
/// disk does, and belongs to one thread at a time.
package final class FileIntake {
  /// Offers that may be open at once, and the bytes of their names.
  package static let mostOpen = 4096
  package static let mostOpenBytes = 1 << 20
  /// Parts that are held for a sender to prove that they are his.
  private static let mostProving = 8
  static let mostContested = 8
  /// Bytes of its own that the receiver reads for a stranger, beyond what he has sent.
  private static let strangersAllowance: UInt64 = 16 << 30

  enum Stage {
    case wanted(offset: UInt64, PartFile?, HashLane?)
    case proving(PartFile, HashLane)
    case comparing
  }

  struct Open {
    var offer: Offer
    var stage: Stage
  }

  let store: StoreFolder
  let owner: [UInt8]
  let policy: IntakePolicy
  let hashing: WorkPool?
  let writers: WorkPool?
  let clock: () -> Instant
  /// Asked now and then in the midst of long work.
  package var isStopped: () -> Bool = { false }
  /// Called ahead of long work: what there is of replies can leave.
  package var deliver: () -> Void = {}
  /// What others are told of this connection whose sender comes again.
  package var rival: Rivals.Entry?
  /// The own stream, as far as it has not been taken.
  package var replies: [UInt8] = []
  package internal(set) var events: [FileEvent] = []
  /// Bytes that are to come and have come, for a line of progress.
  package internal(set) var wantedBytes: UInt64 = 0
  package internal(set) var doneBytes: UInt64 = 0

  private var hello: [UInt8] = []
  private var knowsKind = false
  /// The sender's choice.
  private(set) var kind = DigestKind.blake3
  /// Of files that are in memory, one after the other.
  var smallHash = FileHash(.blake3)
  private var reader = RecordReader<SenderRecord>()
  private var dataLeft = 0
  private var nextIndex: UInt32 = 0
  /// Offers without the second one of each folder.
  private var offered: UInt64 = 0
  var nextOffer: UInt32 { nextIndex }
  /// Announced; of what has no size, what has come.
  var offeredBytes: UInt64 = 0
  /// Free on the disk when it was last asked, less what has been granted since; and for how many offers that holds.
  private var knownFree: (bytes: UInt64, offers: Int)?
  private static let offersBetweenLooks = 32
  /// Come since the free space was looked at.
  var unlooked: UInt64 = 0
  private var openBytes = 0
  private var proving = 0
  private var ownBytesRead: UInt64 = 0
  var open: [UInt32: Open] = [:]
  /// Folders that this connection has made: their permissions and times are the sender's to set.
  var madeFolders: Set<[UInt8]> = []
  static let mostMadeFolders = 65_536
  var current: IncomingFile?
  /// The file whose bytes come has failed, and the sender does not know yet.
  var isDropping = false
  var complete = CompleteFiles()
  var folders: [(index: UInt32, offer: Offer)] = []
  /// Files that got their names while there were other parts of them.
  var contested: [Offer] = []
  private var knownParent: (path: ArraySlice<UInt8>, folder: OpenFile)?
  /// The folder that was there when the last file was written into it.
  var checkedParent: OpenFile?
  /// Whether a new file in that folder gets the mode that it is made with.
  var makesModes = false
  /// And what its file system asks for.
  var folderKind = FolderKind()
  /// The folder once more: the kernel reports to a descriptor what could not be written since it was opened.
  var syncing: OpenFile?

  /// - Parameters:
  ///   - owner: the sender's key, in hexadecimal.
  ///   - hashing: threads for the digests of large files.
  ///   - writers: threads that write small files while the next ones come.
  package init(
    store: StoreFolder, owner: [UInt8], policy: IntakePolicy, hashing: WorkPool? = nil, writers: WorkPool? = nil,
    clock: @escaping () -> Instant = currentInstant
  ) {
    self.store = store
    self.owner = owner
    self.policy = policy
    self.hashing = hashing
    self.writers = writers
    self.clock = clock
  }

  /// Whether the other side has begun to send files: before that it may as well be a ping.
  package var hasBegun: Bool { nextIndex > 0 }
  /// Whether nothing is open.
  package var isAtRest: Bool { open.isEmpty && current == nil && reader.isEmpty && complete.isEmpty && folders.isEmpty }

  package func takeEvents() -> [FileEvent] {
    defer { events.removeAll() }
    return events
  }

  // MARK: The sender's stream

  package func take(_ block: Block) throws(Malformed) {
    let bytes = block.bytes
    var at = 0
    while hello.count < SenderRecord.hello.count, at < bytes.byteCount {
      hello.append(bytes.unsafeByte(at))
      at += 1
      guard SenderRecord.hello.starts(with: hello) else { throw Malformed() }
    }
    if !knowsKind, at < bytes.byteCount {
      guard let kind = DigestKind(rawValue: bytes.unsafeByte(at)) else { throw Malformed() }
      (self.kind, knowsKind) = (kind, true)
      smallHash = FileHash(kind)
      at += 1
    }
    while at < bytes.byteCount {
      if dataLeft > 0 {
        let count = min(dataLeft, bytes.byteCount - at)
        takeData(block, at..<at + count)
        at += count
        dataLeft -= count
      } else if let record = try reader.next(bytes, &at) {
        try take(record)
      }
    }
  }

  private func take(_ record: SenderRecord) throws(Malformed) {
    switch record {
    case .offer(let offer): try take(offer)
    case .proof(let index, let digest): try takeProof(index, digest)
    case .compare(let index, let digest): try takeComparison(index, digest)
    case .begin(let index, let offset): try begin(index, offset)
    case .data(let count):
      guard isDropping || current?.takes(count) == true else { throw Malformed() }
      dataLeft = count
    case .end(let digest):
      guard isDropping || current != nil else { throw Malformed() }
      if let current { finish(current, digest) }
      (current, isDropping) = (nil, false)
    case .withdraw(let index): try withdraw(index)
    }
  }

  /// Nothing more is there to be taken at the moment: what is complete goes to the disk.
  package func idle() {
    commit()
    completeFolders()
  }

  /// The sender has ended its stream.
  /// - Returns: whether it has left nothing open.
  package func end() -> Bool {
    idle()
    for offer in contested {
      guard let folder = try? parent(of: offer.path, makes: false),
        let file = try? Disk.open(folder.descriptor, PathName.last(of: offer.path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      else { continue }
      store.removeOthers(offer, than: file, clock: clock)
    }
    contested.removeAll()
    return isAtRest
  }

  /// The connection is over: what is complete stays, and of a large file also what there is of it.
  /// - Returns: bytes of the file in the making that were kept.
  package func abandon() -> (path: [UInt8], bytes: UInt64)? {
    commit()
    defer { store.removeEmptyParts() }
    for entry in open.values { release(entry) }
    open.removeAll()
    guard let file = current else { return nil }
    current = nil
    if let part = file.part { disown(part, file.offer) }
    return file.close(keeps: policy.keepsParts) ? (file.offer.path, file.length) : nil
  }

  // MARK: Offers

  private func take(_ offer: Offer) throws(Malformed) {
    let index = nextIndex
    openBytes += offer.path.count + offer.target.count
    guard open.count + folders.count < Self.mostOpen, openBytes <= Self.mostOpenBytes, index < .max else {
      throw Malformed()
    }
    nextIndex += 1
    if !offer.flags.contains(.complete) { offered += 1 }
    if let failure = refusal(of: offer) {
      fail(index, offer, failure)
      return
    }
    offeredBytes += offer.flags.contains(.open) ? 0 : offer.size
    do throws(FileFailure) {
      switch offer.kind {
      case .file: try answer(index, offer)
      case .folder: try makeFolder(index, offer)
      case .link: try makeLink(index, offer)
      }
    } catch {
      fail(index, offer, error)
    }
  }

  private func refusal(of offer: Offer) -> FileFailure? {
    guard PathName.isAcceptable(offer.path), !StoreFolder.isReserved(offer.path) else {
      return FileFailure(.refused, "the receiver takes no file of this name")
    }
    guard policy.isTrusted || !PathName.isHidden(offer.path) else {
      return FileFailure(.refused, "the receiver takes hidden names only from those that its --allow names")
    }
    guard offered <= policy.mostFiles else {
      return FileFailure(.refused, "the receiver takes no more files")
    }
    guard offer.size <= policy.largestFile else {
      return FileFailure(.refused, "the receiver takes no file of this size")
    }
    guard offer.flags.contains(.open) || offer.size <= policy.mostBytes - min(offeredBytes, policy.mostBytes) else {
      return FileFailure(.refused, "the receiver takes no more bytes")
    }
    return nil
  }

  private func answer(_ index: UInt32, _ offer: Offer) throws(FileFailure) {
    // Where somebody has written into a folder that this connection has just made, it shows when the file gets its name.
    guard !isInMadeFolder(offer.path),
      let there = try disk({ () throws(DiskError) in try statusOfNamed(offer.path) })
    else {
      try want(index, offer)
      return
    }
    let isSame =
      there.isFile && there.size == offer.size && Int64(there.st_mtim.tv_sec) == offer.seconds
      && there.st_mtim.tv_nsec == Int(offer.nanoseconds) && !offer.flags.contains(.open)
    if isSame, !offer.flags.contains(.compares) {
      settle(index, offer, .present)
      contest(offer)
    } else if offer.flags.contains(.skips) || policy.existing == .skip {
      settle(index, offer, .present)
    } else if there.isFile, there.size == offer.size, !offer.flags.contains(.open), mayRead(offer.size) {
      // Charged when it is granted: many may be asked for before the first is read.
      ownBytesRead += offer.size
      open[index] = Open(offer: offer, stage: .comparing)
      replies += ReceiverRecord.compare(index: index).encoded
    } else {
      try wantOther(index, offer)
    }
  }

  /// There is another file of that name.
  private func wantOther(_ index: UInt32, _ offer: Offer) throws(FileFailure) {
    switch policy.existing {
    case .overwrite, .rename: try want(index, offer)
    case .skip: settle(index, offer, .present)
    case .refuse: throw FileFailure(.exists, "the receiver has another file of this name")
    }
  }

  private func want(_ index: UInt32, _ offer: Offer) throws(FileFailure) {
    let part =
      offer.size >= StoreFolder.smallestKept && proving < Self.mostProving
      ? store.findPart(offer, owner: owner) ?? store.findSilent(offer, clock: clock) : nil
    let missing = offer.size - (part?.length ?? 0)
    if !offer.flags.contains(.open), !offer.flags.contains(.sparse), !hasRoom(for: missing) {
      throw FileFailure(.storage, DiskError(ENOSPC).description)
    }
    wantedBytes += offer.flags.contains(.open) ? 0 : offer.size
    guard let part, mayRead(part.length) else {
      open[index] = Open(offer: offer, stage: .wanted(offset: 0, nil, nil))
      replies += ReceiverRecord.send(index: index, offset: 0).encoded
      return
    }
    proving += 1
    replies += ReceiverRecord.prove(index: index, offset: part.length).encoded
    // The sender reads its own at the same time.
    deliver()
    let lane = HashLane(kind, pool: hashing)
    ownBytesRead += part.length
    // What cannot be read nobody proves: `prove` has left, and its answer is to be taken.
    try? hash(part.file, upTo: part.length, into: lane)
    if part.rival == nil { announce(part, offer) }
    open[index] = Open(offer: offer, stage: .proving(part, lane))
  }

  /// Of many small files the disk is asked now and then only.
  private func hasRoom(for bytes: UInt64) -> Bool {
    let kept = policy.keepFree.addingReportingOverflow(bytes)
    if let room = knownFree, room.offers > 0, !kept.overflow, room.bytes >= kept.partialValue {
      knownFree = (room.bytes - bytes, room.offers - 1)
      return true
    }
    guard let free = Disk.freeBytes(store.root) else { return true }
    guard free >= bytes, free - bytes >= policy.keepFree else { return false }
    knownFree = (free - bytes, Self.offersBetweenLooks)
    return true
  }

  private func takeProof(_ index: UInt32, _ digest: [UInt8]) throws(Malformed) {
    guard let entry = open[index], case .proving(let part, var lane) = entry.stage else { throw Malformed() }
    proving -= 1
    let wasOthers = part.rival != nil
    var isProved = lane.digest() == digest && store.takeOver(part, clock: clock)
    if isProved, wasOthers {
      // Until now it was not locked, and its connection could write.
      lane = HashLane(kind, pool: hashing)
      isProved = (try? hashLocked(part, into: lane)) != nil && lane.digest() == digest
    }
    // Another file's, whose sender may come again.
    if !isProved { disown(part, entry.offer) }
    let offset = isProved ? part.length : 0
    open[index]?.stage = isProved ? .wanted(offset: offset, part, lane) : .wanted(offset: 0, nil, nil)
    replies += ReceiverRecord.send(index: index, offset: offset).encoded
    doneBytes += offset
  }

  private func takeComparison(_ index: UInt32, _ digest: [UInt8]) throws(Malformed) {
    guard let entry = open[index], case .comparing = entry.stage else { throw Malformed() }
    open[index] = nil
    do throws(FileFailure) {
      if try disk({ () throws(DiskError) in try isThere(entry.offer.path, entry.offer.size, digest) }) {
        settle(index, entry.offer, .present)
      } else {
        try wantOther(index, entry.offer)
      }
    } catch {
      fail(index, entry.offer, error)
    }
  }

  // MARK: What is here

  private func isInMadeFolder(_ path: [UInt8]) -> Bool {
    guard !madeFolders.isEmpty, let end = path.lastIndex(of: UInt8(ascii: "/")) else { return false }
    return madeFolders.contains(Array(path[..<end]))
  }

  private func statusOfNamed(_ path: [UInt8]) throws(DiskError) -> stat? {
    do throws(DiskError) {
      return try Disk.status(parent(of: path, makes: false).descriptor, PathName.last(of: path))
    } catch {
      if error.code == ENOENT { return nil }
      throw error
    }
  }

  /// The folder that it is in; of many side by side it is looked for once.
  func parent(of path: [UInt8], makes: Bool) throws(DiskError) -> OpenFile {
    let end = path.lastIndex(of: UInt8(ascii: "/")) ?? 0
    if end == 0 { return store.root }
    if let knownParent, knownParent.path.elementsEqual(path[..<end]) { return knownParent.folder }
    let folder = try store.parent(of: path, makes: makes)
    knownParent = (path[..<end], folder)
    return folder
  }

  func forgetParent() { (knownParent, checkedParent) = (nil, nil) }

  /// Whether there is a file at `path` with this content.
  /// - Throws: also when the reading was stopped: then nothing is known.
  func isThere(_ path: [UInt8], _ size: UInt64, _ digest: [UInt8]) throws(DiskError) -> Bool {
    let folder = try parent(of: path, makes: false)
    let file = try Disk.open(folder.descriptor, PathName.last(of: path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    let status = try Disk.status(of: file)
    guard status.isFile, status.size == size else { return false }
    let lane = HashLane(kind, pool: hashing)
    // A small one is read to its end also where the transfer is about to end.
    try hash(file, upTo: size, into: lane, stops: size >= StoreFolder.smallestKept)
    return lane.digest() == digest
  }

  private func hashLocked(_ part: PartFile, into lane: HashLane) throws(DiskError) {
    try Disk.setLength(part.file, part.length)
    ownBytesRead += part.length
    try hash(part.file, upTo: part.length, into: lane)
  }

  private func hash(_ file: OpenFile, upTo size: UInt64, into lane: HashLane, stops: Bool = true) throws(DiskError) {
    try Disk.seek(file, to: 0)
    var left = size
    while left > 0 {
      if stops, isStopped() { throw DiskError(ECANCELED) }
      let block = Block()
      let count = try block.read(file, limit: Int(min(left, UInt64(Block.capacity))))
      if count == 0 { throw DiskError(EIO) }
      lane.update(block, 0..<count)
      left -= UInt64(count)
    }
  }

  private func mayRead(_ bytes: UInt64) -> Bool {
    policy.isTrusted
      || bytes <= Self.strangersAllowance + doneBytes - min(ownBytesRead, Self.strangersAllowance + doneBytes)
  }

  func disk<R>(_ body: () throws(DiskError) -> R) throws(FileFailure) -> R {
    do throws(DiskError) { return try body() } catch { throw FileFailure(.storage, error.description) }
  }

  /// What was held for it is anybody's again.
  func release(_ entry: Open) {
    switch entry.stage {
    case .proving(let part, _):
      proving -= 1
      disown(part, entry.offer)
    case .wanted(_, let part, _): if let part { disown(part, entry.offer) }
    case .comparing: break
    }
  }

  // MARK: Settled

  func close(_ offer: Offer) { openBytes -= offer.path.count + offer.target.count }

  func settle(_ index: UInt32, _ offer: Offer, _ outcome: FileEvent.Outcome) {
    close(offer)
    switch outcome {
    case .present: replies += ReceiverRecord.present(index: index).encoded
    case .stored(let digest): replies += ReceiverRecord.stored(index: index, digest: digest, name: []).encoded
    case .failed(let failure): replies += ReceiverRecord.failed(index: index, failure).encoded
    }
    guard offer.kind == .file || outcome != .present else { return }
    events.append(FileEvent(path: offer.path, bytes: offer.size, outcome: outcome))
  }

  func fail(_ index: UInt32, _ offer: Offer, _ failure: FileFailure) {
    open[index] = nil
    settle(index, offer, .failed(failure))
  }
}

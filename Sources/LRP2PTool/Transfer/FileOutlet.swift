// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// The sender's side of one connection: files become a stream, the receiver's replies go in. It blocks as long as the disk does, and
/// belongs to one thread at a time.
package final class FileOutlet {
  /// Offers that run ahead of the files, and the bytes of their names: within what a receiver takes.
  static let mostOpen = 1024
  static let mostOpenBytes = 256 << 10
  /// Parts that are proved and not gone on with.
  private static let mostProving = 16

  private enum Stage: UInt8 {
    case unasked, asked, proving, comparing, wanted, sent, settled
  }

  package private(set) var events: [FileEvent] = []
  /// Bytes of files that have been put into the stream, or need not be.
  package private(set) var doneBytes: UInt64 = 0
  package private(set) var hasFailures = false
  /// Asked now and then in the midst of long work.
  package var isStopped: () -> Bool = { false }

  private let sources: SourceList
  private let kind: DigestKind
  private let hashing: WorkPool?
  private let clock: () -> Instant
  private var stages: [Stage]
  /// Folders whose contents are all there, to be offered once more; the innermost first.
  private let folders: [Int]
  private var next = 0
  private var settled = 0
  private var openBytes = 0
  private var hasSaidHello = false
  private var reader = RecordReader<ReceiverRecord>()
  private var tasks = Tasks()
  private var proved: [UInt32: FileReading] = [:]
  private var proving = 0
  private var current: FileReading?
  private var small: SmallReading
  /// Of what was sent and is not settled.
  private var sent: [UInt32: (digest: [UInt8], bytes: UInt64, started: Instant, resumed: UInt64)] = [:]

  /// What the receiver has asked for, in its order.
  private struct Tasks {
    enum Task {
      case prove(UInt32, upTo: UInt64)
      case compare(UInt32)
      case send(UInt32, offset: UInt64)
    }
    private var list: [Task] = []
    private var first = 0

    var next: Task? { first < list.count ? list[first] : nil }
    mutating func append(_ task: Task) { list.append(task) }
    mutating func removeFirst() {
      first += 1
      if first == list.count || first >= 1024 {
        list.removeFirst(first)
        first = 0
      }
    }
  }

  package init(
    _ sources: SourceList, digest kind: DigestKind = .blake3, hashing: WorkPool? = nil,
    clock: @escaping () -> Instant = currentInstant
  ) {
    self.sources = sources
    self.kind = kind
    self.hashing = hashing
    self.clock = clock
    small = SmallReading(kind)
    folders = sources.entries.indices.filter { sources.entries[$0].offer.kind == .folder }.reversed()
    stages = [Stage](repeating: .unasked, count: sources.entries.count + folders.count)
  }

  /// Whether there is nothing more to say or to hear.
  package var isFinished: Bool { settled == stages.count }

  package func takeEvents() -> [FileEvent] {
    defer { events.removeAll() }
    return events
  }

  private func offer(_ index: Int) -> Offer {
    if index < sources.entries.count { return sources.entries[index].offer }
    var offer = sources.entries[folders[index - sources.entries.count]].offer
    offer.flags.insert(.complete)
    return offer
  }

  // MARK: The own stream

  /// Appends what can be said now.
  /// - Returns: whether there may be more at once; otherwise the receiver has to be heard first.
  package func produce(into block: Block) -> Bool {
    if !hasSaidHello {
      block.append(SenderRecord.hello + [kind.rawValue])
      hasSaidHello = true
    }
    while !isFinished, !isStopped() {
      if offerMore(into: block) { return true }
      if block.free < 64 { return true }
      if let current {
        if !goOn(current, block) { return true }
      } else if let task = tasks.next {
        switch task {
        case .send(let index, offset: 0) where SmallReading.fits(sources.entries[Int(index)]):
          guard sendSmall(index, block) else { return true }
          tasks.removeFirst()
          continue
        case .send: break
        // What takes long does not hold up what is there already.
        case .prove, .compare: if !block.isEmpty { return true }
        }
        tasks.removeFirst()
        perform(task, block)
      } else {
        return false
      }
    }
    return false
  }

  /// - Returns: whether the block is full and there is more.
  private func offerMore(into block: Block) -> Bool {
    while next < stages.count, next - settled < Self.mostOpen, openBytes < Self.mostOpenBytes {
      // Behind everything else.
      if next >= sources.entries.count, settled < sources.entries.count { return false }
      let offer = offer(next)
      let encoded = offer.encoded
      if encoded.count > block.free { return true }
      block.append(encoded)
      stages[next] = .asked
      openBytes += offer.path.count + offer.target.count
      next += 1
    }
    return false
  }

  private func perform(_ task: Tasks.Task, _ block: Block) {
    switch task {
    case .prove(let index, _), .compare(let index), .send(let index, _):
      // Withdrawn, or refused meanwhile.
      if stages[Int(index)] == .settled { return }
    }
    switch task {
    case .prove(let index, let end):
      withReading(index, block) { (reading) throws(FileReading.Failure) in
        try reading.pass(to: end, isStopped: isStopped)
        proved[index] = reading
        block.append(SenderRecord.proof(index: index, digest: reading.lane.digest()).encoded)
      }
    case .compare(let index):
      withReading(index, block) { (reading) throws(FileReading.Failure) in
        try reading.pass(to: reading.offer.size, isStopped: isStopped)
        block.append(SenderRecord.compare(index: index, digest: try reading.end()).encoded)
      }
    case .send(let index, let offset):
      let reading = proved.removeValue(forKey: index)
      if let reading, offset > 0 {
        begin(reading, block)
      } else {
        withReading(index, block) { (reading) throws(FileReading.Failure) in begin(reading, block) }
      }
    }
  }

  /// Puts all of a small file into the block.
  /// - Returns: `false` where it has no room for it.
  private func sendSmall(_ index: UInt32, _ block: Block) -> Bool {
    if stages[Int(index)] == .settled { return true }
    let entry = sources.entries[Int(index)]
    guard SmallReading.length(entry.offer) + 64 <= block.free else { return false }
    let started = clock()
    do throws(FileReading.Failure) {
      let digest = try small.append(index, entry, of: sources, to: block)
      proved[index] = nil
      doneBytes += entry.offer.size
      sent[index] = (digest, entry.offer.size, started, 0)
      stages[Int(index)] = .sent
    } catch {
      withdraw(index, error, block)
    }
    return true
  }

  private func begin(_ reading: FileReading, _ block: Block) {
    block.append(SenderRecord.begin(index: reading.index, offset: reading.offset).encoded)
    doneBytes += reading.offset
    current = reading
  }

  private func withReading(
    _ index: UInt32, _ block: Block, _ body: (FileReading) throws(FileReading.Failure) -> Void
  ) {
    let entry = sources.entries[Int(index)]
    do throws(FileReading.Failure) {
      try body(
        try FileReading(
          index, entry.offer, path: entry.root < 0 ? nil : sources.source(of: entry), kind, hashing: hashing,
          started: clock()))
    } catch {
      withdraw(index, error, block)
    }
  }

  /// Puts the next bytes of a file into the block.
  /// - Returns: whether there may be room for more.
  private func goOn(_ reading: FileReading, _ block: Block) -> Bool {
    let before = reading.offset
    do throws(FileReading.Failure) {
      let hasMore = try reading.append(to: block)
      doneBytes += reading.offset - before
      if hasMore {
        // Of standard input, what there is leaves at once.
        let isInput = reading.offer.flags.contains(.open)
        if isInput || block.free < 64 { reading.hashAppended() }
        return !isInput && block.free >= 64
      }
      let digest = try reading.end()
      block.append(SenderRecord.end(digest: digest).encoded)
      sent[reading.index] = (digest, reading.offset, reading.started, reading.resumed)
      stages[Int(reading.index)] = .sent
      current = nil
      return true
    } catch {
      current = nil
      withdraw(reading.index, error, block)
      return true
    }
  }

  private func withdraw(_ index: UInt32, _ failure: FileReading.Failure, _ block: Block) {
    block.append(SenderRecord.withdraw(index: index).encoded)
    settle(index, .failed(FileFailure(.refused, failure.text)))
  }

  // MARK: Replies

  package func take(_ bytes: RawSpan) throws(Malformed) {
    var at = 0
    while at < bytes.byteCount {
      if let record = try reader.next(bytes, &at) { try take(record) }
    }
  }

  private func take(_ record: ReceiverRecord) throws(Malformed) {
    switch record {
    case .send(let index, let offset):
      let stage = try stage(of: index)
      guard isFile(index) else { throw Malformed() }
      guard stage == .settled || (stage == .asked && offset == 0) || stage == .comparing || stage == .proving else {
        throw Malformed()
      }
      guard offset == 0 || proved[index]?.offset == offset || stage == .settled else { throw Malformed() }
      if stage == .settled { return }
      if stage == .proving { proving -= 1 }
      stages[Int(index)] = .wanted
      tasks.append(.send(index, offset: offset))
    case .prove(let index, let offset):
      guard try isAsked(index) else { return }
      guard proving < Self.mostProving, offset <= offer(Int(index)).size else { throw Malformed() }
      stages[Int(index)] = .proving
      proving += 1
      tasks.append(.prove(index, upTo: offset))
    case .compare(let index):
      guard try isAsked(index) else { return }
      stages[Int(index)] = .comparing
      tasks.append(.compare(index))
    case .present(let index):
      if try stage(of: index) == .settled { return }
      guard current?.index != index else { throw Malformed() }
      doneBytes += stages[Int(index)] == .sent ? 0 : offer(Int(index)).size
      settle(index, .present)
    case .stored(let index, let digest, let name): try takeStored(index, digest, name)
    case .failed(let index, let failure):
      if try stage(of: index) == .settled { return }
      if current?.index == index { current = nil }
      settle(index, .failed(failure))
    }
  }

  private func stage(of index: UInt32) throws(Malformed) -> Stage {
    guard index < next else { throw Malformed() }
    return stages[Int(index)]
  }

  /// Whether an answer is due; `false` when the file has been withdrawn meanwhile.
  private func isAsked(_ index: UInt32) throws(Malformed) -> Bool {
    let stage = try stage(of: index)
    guard stage == .asked || stage == .settled, isFile(index) else { throw Malformed() }
    return stage == .asked
  }

  /// Folders are offered a second time behind everything else: then they have a number, but no entry.
  private func isFile(_ index: UInt32) -> Bool {
    Int(index) < sources.entries.count && sources.entries[Int(index)].offer.kind == .file
  }

  private func takeStored(_ index: UInt32, _ digest: [UInt8], _ name: [UInt8]) throws(Malformed) {
    guard try stage(of: index) == .sent, let file = sent[index] else { throw Malformed() }
    guard file.digest == digest else {
      settle(index, .failed(FileFailure(.damaged, "the receiver has other bytes than were sent")))
      return
    }
    settle(index, .stored(digest: digest), storedName: name)
  }

  private func settle(_ index: UInt32, _ outcome: FileEvent.Outcome, storedName: [UInt8] = []) {
    let offer = offer(Int(index))
    guard stages[Int(index)] != .settled else { return }
    if stages[Int(index)] == .proving { proving -= 1 }
    stages[Int(index)] = .settled
    settled += 1
    openBytes -= offer.path.count + offer.target.count
    proved[index] = nil
    var event = FileEvent(path: offer.path, bytes: offer.size, kind: kind, outcome: outcome)
    if let file = sent.removeValue(forKey: index) {
      event.bytes = file.bytes
      event.nanoseconds = clock() &- file.started
      event.resumed = file.resumed
    }
    if case .failed = outcome { hasFailures = true }
    if offer.kind == .file || outcome != .present { events.append(event) }
  }
}

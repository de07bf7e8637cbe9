// SPDX-License-Identifier: MIT
import LRP2PReactor

/// What the file system of a folder asks of who puts files there for good.
struct FolderKind {
  /// It is that of the folder for everything, which is synced as a whole: nothing is mounted in between.
  var isOfRoot = false
  /// What has no name is not in the log (btrfs): it is synced once more when it has one.
  var logsNamesOnly = false
}

/// A file that has come whole, on its way to its name.
///
/// `@unchecked Sendable`: one thread writes it, and others look at it when that is done.
final class CompleteFile: @unchecked Sendable {
  let file: IncomingFile
  let digest: [UInt8]
  /// The folder that it belongs into.
  let folder: OpenFile
  /// Whether a file that is made there has the mode that it is made with.
  let makesMode: Bool
  let fileSystem: FolderKind
  /// What it is written into; without a name, if there is no part.
  fileprivate(set) var written: OpenFile?
  var part: PartFile?
  private(set) var failure: DiskError?

  init(_ file: IncomingFile, _ digest: [UInt8], folder: OpenFile, makesMode: Bool, _ fileSystem: FolderKind) {
    self.file = file
    self.digest = digest
    self.folder = folder
    self.makesMode = makesMode
    self.fileSystem = fileSystem
    part = file.part
  }

  /// Writes what is in memory into a file without a name, or, where the file system has none, into a part.
  func write(_ store: StoreFolder, owner: [UInt8], _ policy: IntakePolicy) {
    failure = nil
    do throws(DiskError) {
      if let part {
        written = part.file
        try file.complete(part.file)
      } else if !(try writeNameless(store, policy)) {
        try writePart(store, owner: owner)
      }
    } catch {
      failure = error
    }
  }

  private func writeNameless(_ store: StoreFolder, _ policy: IntakePolicy) throws(DiskError) -> Bool {
    guard store.hasNameless else { return false }
    do throws(DiskError) {
      let nameless = try Disk.openNameless(folder, mode: policy.mode(file.offer.mode))
      try file.complete(nameless)
      written = nameless
      return true
    } catch {
      guard StoreFolder.namelessIsUnknown(error) else { throw error }
      store.forgetNameless()
      return false
    }
  }

  func writePart(_ store: StoreFolder, owner: [UInt8]) throws(DiskError) {
    let made = try store.makePart(file.offer, owner: owner)
    do throws(DiskError) {
      try file.complete(made.file)
      made.length = file.length
      (part, written) = (made, made.file)
    } catch {
      made.remove()
      throw error
    }
  }

  /// Lets go of its descriptor, once it has its name or will have none.
  func end() { (part, written) = (nil, nil) }
}

/// Files that have come whole and do not have their names. Other threads write them while the next ones come.
struct CompleteFiles {
  /// Descriptors that one connection holds by parts; and by all, once they are written.
  private static let mostParts = 32
  private static let most = 128
  private static let mostBytes: UInt64 = 64 << 20
  /// What is in memory keeps whole blocks there.
  private static let mostBlocks = 8
  /// Files that one thread writes in a row.
  private static let groupSize = 16

  private(set) var files: [CompleteFile] = []
  private var groups: [Group] = []
  private var ungrouped = 0
  private var parts = 0
  private var bytes: UInt64 = 0
  private var blocks = 0
  private var lastBlock: Block?

  var isEmpty: Bool { files.isEmpty }
  var isFull: Bool {
    files.count >= Self.most || parts >= Self.mostParts || bytes >= Self.mostBytes || blocks >= Self.mostBlocks
  }

  /// - Parameter write: called once for each file, on any thread.
  mutating func append(_ file: CompleteFile, pool: WorkPool?, write: @escaping @Sendable (CompleteFile) -> Void) {
    files.append(file)
    bytes += file.file.length
    if file.part != nil { parts += 1 }
    for piece in file.file.pieces where piece.block !== lastBlock {
      blocks += 1
      lastBlock = piece.block
    }
    ungrouped += 1
    if ungrouped == Self.groupSize, let pool {
      let group = endGroup(write)
      pool.submit { group.runUnlessTaken() }
    }
  }

  private mutating func endGroup(_ write: @escaping @Sendable (CompleteFile) -> Void) -> Group {
    let group = Group(Array(files.suffix(ungrouped)), write)
    groups.append(group)
    ungrouped = 0
    return group
  }

  /// All of them, written. What no other thread has begun with, the caller does.
  mutating func takeAll(write: @escaping @Sendable (CompleteFile) -> Void) -> [CompleteFile] {
    if ungrouped > 0 { _ = endGroup(write) }
    for group in groups.reversed() { group.runUnlessTaken() }
    for group in groups { group.wait() }
    defer { self = CompleteFiles() }
    return files
  }

  private final class Group: Sendable {
    /// Until they are taken: a thread that comes too late must not keep them.
    private let files: Locked<[CompleteFile]?>
    private let write: @Sendable (CompleteFile) -> Void
    private let done = Rendezvous<Void>()

    init(_ files: [CompleteFile], _ write: @escaping @Sendable (CompleteFile) -> Void) {
      self.files = Locked(files)
      self.write = write
    }

    func runUnlessTaken() {
      guard let files = files.withLock({ $0.take() }) else { return }
      for file in files { write(file) }
      done.deliver(())
    }

    func wait() { done.wait() }
  }
}

// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore

extension FileIntake {
  private enum Outcome {
    case stored(name: [UInt8])
    case present
    case failed(FileFailure)
  }

  /// It has come whole.
  func complete(_ file: IncomingFile, _ digest: [UInt8]) {
    do throws(DiskError) {
      let folder = try withDescriptors { () throws(DiskError) in try parentForNew(file.offer.path) }
      complete.append(
        CompleteFile(file, digest, folder: folder, makesMode: makesModes, folderKind), pool: writers, write: writing)
    } catch {
      file.part?.remove()
      fail(file.index, file.offer, FileFailure(.storage, error.description))
    }
    if complete.isFull { commit() }
  }

  /// Where there are too few descriptors, the files that have come whole let go of theirs first.
  func withDescriptors<R>(_ body: () throws(DiskError) -> R) throws(DiskError) -> R {
    do throws(DiskError) { return try body() } catch {
      guard [EMFILE, ENFILE].contains(error.code), !complete.isEmpty else { throw error }
    }
    commit()
    return try body()
  }

  private var writing: @Sendable (CompleteFile) -> Void {
    { [store, owner, policy] file in file.write(store, owner: owner, policy) }
  }

  /// Puts what is complete on the disk, then gives it its names, and then says so.
  func commit() {
    if complete.isEmpty { return }
    let files = complete.takeAll(write: writing)
    checkedParent = nil
    var hasParts = files.contains { $0.part != nil }
    var left = files[...]
    while !left.isEmpty {
      // Where there were too few descriptors, the others get their names first.
      let next = left.filter { ![EMFILE, ENFILE].contains($0.failure?.code) }
      name(next.isEmpty ? Array(left) : next)
      left = next.isEmpty ? [] : left.filter { $0.failure.map { [EMFILE, ENFILE].contains($0.code) } ?? false }
      for file in left {
        file.write(store, owner: owner, policy)
        hasParts = hasParts || file.part != nil
      }
    }
    if hasParts { store.removeEmptyParts() }
  }

  private func name(_ files: [CompleteFile]) {
    let failures = sync(files)
    let folders = files.map(\.folder.descriptor)
    var changed: [Int32: OpenFile] = [:]
    var outcomes: [Outcome] = []
    outcomes.reserveCapacity(files.count)
    for (file, failure) in zip(files, failures) {
      if let failure {
        file.part?.remove()
        outcomes.append(.failed(FileFailure(.storage, "write: \(failure)")))
      } else {
        changed[file.folder.descriptor] = file.folder
        outcomes.append(publish(file))
      }
      file.end()
    }
    var failed: [Int32: DiskError] = [:]
    for (descriptor, folder) in changed {
      do throws(DiskError) { try Disk.sync(folder) } catch {
        // Not every file system can do that of folders.
        if ![EINVAL, EOPNOTSUPP, ENOSYS, EBADF].contains(error.code) { failed[descriptor] = error }
      }
    }
    for ((file, folder), outcome) in zip(zip(files, folders), outcomes) {
      if case .stored = outcome, let failure = failed[folder] {
        tell(file, .failed(FileFailure(.storage, "write the folder: \(failure)")))
      } else {
        tell(file, outcome)
      }
    }
  }

  private func sync(_ files: [CompleteFile]) -> [DiskError?] {
    var failures = files.map(\.failure)
    // Of many at once. Where that fails, or says little, each file says whether it was this one.
    let isSynced =
      files.count > Self.mostSyncedAlone && syncing.map { (try? Disk.syncAll($0)) != nil && Disk.syncsAll($0) } ?? false
    for (index, file) in files.enumerated() where !(isSynced && file.fileSystem.isOfRoot) {
      guard failures[index] == nil, let written = file.written else { continue }
      do throws(DiskError) { try Disk.sync(written) } catch { failures[index] = error }
    }
    return failures
  }

  private static var mostSyncedAlone: Int { 4 }

  private func tell(_ complete: CompleteFile, _ outcome: Outcome) {
    let file = complete.file
    var event = FileEvent(
      path: file.offer.path, bytes: file.length, nanoseconds: clock() &- file.started, resumed: file.resumed,
      kind: kind, outcome: .stored(digest: complete.digest))
    close(file.offer)
    switch outcome {
    case .stored(let name):
      if !name.isEmpty { event.path = Array(file.offer.path.dropLast(PathName.last(of: file.offer.path).count)) + name }
      replies += ReceiverRecord.stored(index: file.index, digest: complete.digest, name: name).encoded
    case .present:
      event.outcome = .present
      replies += ReceiverRecord.present(index: file.index).encoded
    case .failed(let failure):
      event.outcome = .failed(failure)
      replies += ReceiverRecord.failed(index: file.index, failure).encoded
    }
    events.append(event)
  }

  private func publish(_ complete: CompleteFile) -> Outcome {
    let offer = complete.file.offer
    var name = PathName.last(of: offer.path)
    // What its sender wants left alone may have come since it was offered.
    let replaces = policy.existing == .overwrite && !offer.flags.contains(.skips)
    do throws(DiskError) {
      for number in 1...100 {
        do throws(DiskError) {
          try move(complete, name, replaces: replaces)
          if number == 1 { contest(offer) }
          return .stored(name: number == 1 ? [] : name)
        } catch {
          guard error.code == EEXIST else { throw error }
        }
        if number == 1, (try? isThere(offer.path, complete.file.length, complete.digest)) == true {
          complete.part?.remove()
          return .present
        }
        guard policy.existing == .rename else { break }
        name = PathName.numbered(PathName.last(of: offer.path), number)
      }
      complete.part?.remove()
      return policy.existing == .skip || offer.flags.contains(.skips)
        ? .present : .failed(FileFailure(.exists, "the receiver has another file of this name"))
    } catch {
      complete.part?.remove()
      return .failed(FileFailure(.storage, error.description))
    }
  }

  /// Gives it its name, in place of whatever has it, or only if nothing has.
  private func move(_ complete: CompleteFile, _ name: [UInt8], replaces: Bool) throws(DiskError) {
    let mode = policy.mode(complete.file.offer.mode)
    if complete.part == nil, let nameless = complete.written {
      if !complete.makesMode { try Disk.setMode(nameless, mode) }
      var failure: DiskError?
      do throws(DiskError) { try Disk.giveName(nameless, complete.folder, name) } catch { failure = error }
      guard let failure else {
        if complete.fileSystem.logsNamesOnly { try Disk.sync(nameless) }
        return
      }
      // ENOENT: neither a capability nor /proc, unless the folder is gone.
      var isMissing = false
      if failure.code == ENOENT { isMissing = try Disk.status(of: complete.folder).st_nlink > 0 }
      guard failure.code == EEXIST ? replaces : StoreFolder.namelessIsUnknown(failure) || isMissing else {
        throw failure
      }
      if failure.code != EEXIST { store.forgetNameless() }
      // Only a rename replaces, and only what has a name is renamed.
      try complete.writePart(store, owner: owner)
      if let part = complete.part { try Disk.sync(part.file) }
    }
    guard let part = complete.part else { return }
    // Not before: a part that its owner may not write could not be resumed, nor removed.
    try Disk.setMode(part.file, mode)
    try part.move(to: complete.folder, name, replaces: replaces)
  }

  /// Where there are other parts of a file that has got its name, these are looked at when the sender has ended.
  func contest(_ offer: Offer) {
    guard contested.count < Self.mostContested, !IncomingFile.fitsMemory(offer), !offer.flags.contains(.open),
      store.hasOthers(offer, StoreFolder.identifier(offer))
    else { return }
    contested.append(offer)
  }

  /// The folder that it is in; not one that is known but was removed meanwhile.
  private func parentForNew(_ path: [UInt8]) throws(DiskError) -> OpenFile {
    var folder = try parent(of: path, makes: true)
    if folder === checkedParent { return folder }
    if let status = try? Disk.status(of: folder), status.st_nlink == 0 {
      forgetParent()
      folder = try parent(of: path, makes: true)
    }
    checkedParent = folder
    let device = try Disk.status(of: store.root).st_dev
    folderKind = FolderKind(
      isOfRoot: try Disk.status(of: folder).st_dev == device, logsNamesOnly: Disk.logsNamesOnly(folder))
    makesModes = IntakePolicy.processMask & ~policy.mask == 0 && !Disk.hasDefaultMode(folder)
    return folder
  }
}

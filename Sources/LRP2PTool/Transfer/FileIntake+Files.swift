// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore

extension FileIntake {
  func begin(_ index: UInt32, _ offset: UInt64) throws(Malformed) {
    guard current == nil, let entry = open[index],
      case .wanted(let expected, let part, let lane) = entry.stage, offset == expected
    else { throw Malformed() }
    open[index] = nil
    isDropping = false
    let offer = entry.offer
    do throws(DiskError) {
      if syncing == nil { syncing = try Disk.open(store.root.descriptor, [UInt8(ascii: ".")], O_RDONLY | O_DIRECTORY) }
      var place = IncomingFile.Place.memory
      if part != nil || !IncomingFile.fitsMemory(offer) {
        let part =
          if let part { part } else {
            try withDescriptors { () throws(DiskError) in try store.makePart(offer, owner: owner) }
          }
        place = .part(part, lane ?? HashLane(kind, pool: hashing))
        announce(part, offer)
      }
      current = IncomingFile(index, offer, place, started: clock(), largest: policy.largestFile)
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
      discard(current)
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

  /// Nothing of it is wanted any more.
  private func discard(_ file: IncomingFile) {
    guard let part = file.part else { return }
    disown(part, file.offer)
    part.remove()
  }

  func finish(_ file: IncomingFile, _ digest: [UInt8]) {
    let offer = file.offer
    guard offer.flags.contains(.open) || file.length == offer.size, file.digest(&smallHash) == digest else {
      discard(file)
      fail(file.index, offer, FileFailure(.damaged, "the receiver has other bytes than were sent"))
      return
    }
    if let part = file.part { disown(part, offer) }
    complete(file, digest)
  }

  func withdraw(_ index: UInt32) throws(Malformed) {
    if let current, current.index == index {
      self.current = nil
      discard(current)
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

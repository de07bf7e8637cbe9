// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore
import LRP2PReactor
import LRP2PSodium

/// The folder that files are received into. What is not complete is in a folder of its own within it, `.lrp2p-parts`, under names that
/// tell whose it is, so that it can be gone on with and never is in the way of anybody.
///
/// Used by any thread. No link within the folder is followed.
package final class StoreFolder: Sendable {
  /// Below this a part is not worth to be kept.
  package static let smallestKept: UInt64 = 1 << 20
  static let partsName = Array(".lrp2p-parts".utf8)
  private static let suffix = Array(".part".utf8)

  /// Whether a path is that of the parts, or leads into them.
  static func isReserved(_ path: [UInt8]) -> Bool { path.prefix { $0 != UInt8(ascii: "/") }.elementsEqual(partsName) }

  package let root: OpenFile
  let rivals = Rivals()
  private let parts = Locked<OpenFile?>(nil)
  private let locks = PartLocks()
  private let knowsNameless = Locked(true)

  package init(_ path: String) throws(DiskError) {
    root = try Disk.open(Disk.here, Array(path.utf8), O_RDONLY | O_DIRECTORY)
    guard unsafe access(path, W_OK | X_OK) == 0 else { throw DiskError(errno) }
  }

  // MARK: Folders within

  /// The folder that `path`'s last component is in.
  package func parent(of path: [UInt8], makes: Bool) throws(DiskError) -> OpenFile {
    var folder = root
    for part in PathName.components(of: path).dropLast() {
      folder = try child(part, of: folder, makes: makes)
    }
    return folder
  }

  package func folder(at path: [UInt8], makes: Bool) throws(DiskError) -> OpenFile {
    try child(PathName.last(of: path), of: parent(of: path, makes: makes), makes: makes)
  }

  private func child(_ name: [UInt8], of folder: OpenFile, makes: Bool) throws(DiskError) -> OpenFile {
    let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
    do throws(DiskError) { return try Disk.open(folder.descriptor, name, flags) } catch {
      guard error.code == ENOENT, makes else { throw error }
    }
    do throws(DiskError) { try Disk.makeFolder(folder.descriptor, name) } catch {
      guard error.code == EEXIST else { throw error }
    }
    return try Disk.open(folder.descriptor, name, flags)
  }

  // MARK: Files without names

  /// Whether files can be made that have no name before they are whole.
  var hasNameless: Bool { knowsNameless.withLock { $0 } }
  func forgetNameless() { knowsNameless.withLock { $0 = false } }

  /// Whether an error says that the file system, or the process, cannot have them.
  static func namelessIsUnknown(_ error: DiskError) -> Bool {
    [EOPNOTSUPP, EISDIR, EINVAL, ENOSYS, EPERM, EXDEV, EMLINK].contains(error.code)
  }

  // MARK: Parts

  static let identifierLength = 32

  /// What a part's name begins with: of what is offered, whoever offers it.
  static func identifier(_ offer: Offer) -> [UInt8] {
    var hash = StreamHash()
    var bytes: [UInt8] = []
    bytes.append(bigEndian: offer.size, bytes: 8)
    bytes.append(bigEndian: UInt64(bitPattern: offer.seconds), bytes: 8)
    bytes.append(bigEndian: UInt64(offer.nanoseconds), bytes: 4)
    bytes += offer.path
    unsafe hash.update(bytes.span.bytes)
    return Printable.digits(Array(hash.finish().prefix(identifierLength / 2)))
  }

  private static func name(_ offer: Offer, owner: [UInt8], copy: Int) -> [UInt8] {
    let number = copy > 0 ? Array("-\(copy)".utf8) : []
    return identifier(offer) + [UInt8(ascii: "-")] + owner + number + suffix
  }

  /// A part of this very file, locked: this sender's own, or else any that nobody works on; `nil` when there is none.
  ///
  /// - Parameter owner: the sender's key, in hexadecimal.
  package func findPart(_ offer: Offer, owner: [UInt8]) -> PartFile? {
    guard offer.kind == .file, !offer.flags.contains(.open), let folder = try? partsFolder(makes: false) else {
      return nil
    }
    let own = Self.name(offer, owner: owner, copy: 0)
    if let part = open(own, in: folder, upTo: offer.size) { return part }
    let prefix = Self.identifier(offer)
    for name in (try? Disk.names(folder)) ?? [] where name.starts(with: prefix) && name != own {
      if let part = open(name, in: folder, upTo: offer.size) { return part }
    }
    return nil
  }

  /// A part of this very file that a connection has which is silent: nobody's yet, it is to be taken over by who proves his file.
  func findSilent(_ offer: Offer, clock: () -> Instant) -> PartFile? {
    guard offer.kind == .file, !offer.flags.contains(.open),
      let rival = rivals.silent(Self.identifier(offer), clock: clock), let folder = try? partsFolder(makes: false),
      let file = try? Disk.open(folder.descriptor, rival.part, O_RDWR | O_NOFOLLOW | O_NONBLOCK),
      let status = try? Disk.status(of: file), status.isFile, status.st_size > 0, status.size <= offer.size
    else { return nil }
    let part = PartFile(file: file, folder: folder, name: rival.part, length: status.size)
    part.rival = rival
    return part
  }

  /// Makes a part this connection's own that was another's.
  func takeOver(_ part: PartFile, clock: () -> Instant) -> Bool {
    guard let rival = part.rival else { return true }
    part.rival = nil
    let isFree = {
      part.lock = self.locks.lock(part.file, part.name, in: part.folder)
      return part.lock != nil
    }
    return rivals.takeOver(rival, isFree, clock: clock) && part.isNamed
  }

  /// Whether there are other parts of this file.
  /// - Parameter file: its identifier.
  func hasOthers(_ offer: Offer, _ file: [UInt8]) -> Bool {
    if rivals.has(file) { return true }
    guard offer.size >= Self.smallestKept, let folder = try? partsFolder(makes: false) else { return false }
    return ((try? Disk.names(folder)) ?? []).contains { $0.starts(with: file) }
  }

  /// This file has got its name. Parts that hold nothing but its beginning are not needed any more, and a connection that is silent
  /// and has one of them gives way; one whose part holds other bytes does not.
  func removeOthers(_ offer: Offer, than stored: OpenFile, clock: () -> Instant) {
    let file = Self.identifier(offer)
    guard let folder = try? partsFolder(makes: false) else { return }
    var seen: Set<[UInt8]> = []
    while seen.count < Self.mostRivals, let rival = rivals.silent(file, except: seen, clock: clock) {
      seen.insert(rival.part)
      guard let part = try? Disk.open(folder.descriptor, rival.part, O_RDWR | O_NOFOLLOW | O_NONBLOCK),
        isBeginning(part, of: stored)
      else { continue }
      guard rivals.takeOver(rival, { self.locks.lock(part, rival.part, in: folder) != nil }, clock: clock) else {
        break
      }
    }
    for name in (try? Disk.names(folder)) ?? [] where name.starts(with: file) {
      if let part = open(name, in: folder, upTo: offer.size), isBeginning(part.file, of: stored) { part.remove() }
    }
    removeEmptyParts()
  }

  private static var mostRivals: Int { 8 }

  private func isBeginning(_ part: OpenFile, of whole: OpenFile) -> Bool {
    guard (try? Disk.seek(part, to: 0)) != nil, (try? Disk.seek(whole, to: 0)) != nil else { return false }
    // Of nothing there is no proof.
    guard let status = try? Disk.status(of: part), status.size > 0 else { return false }
    while true {
      let (a, b) = (Block(), Block())
      guard let count = try? a.read(part, limit: Block.capacity) else { return false }
      if count == 0 { return true }
      while b.count < count {
        guard let more = try? b.read(whole, limit: count - b.count), more > 0 else { return false }
      }
      guard a.holdsSame(as: b) else { return false }
    }
  }

  private func open(_ name: [UInt8], in folder: OpenFile, upTo size: UInt64) -> PartFile? {
    guard let (part, status) = unused(name, in: folder), status.size > 0, status.size <= size else { return nil }
    return part
  }

  /// A new part for this file. One that somebody works on keeps its name.
  package func makePart(_ offer: Offer, owner: [UInt8]) throws(DiskError) -> PartFile {
    var last = DiskError(EEXIST)
    for copy in 0..<64 {
      let name = Self.name(offer, owner: owner, copy: copy)
      do throws(DiskError) {
        let folder = try partsFolder(makes: true)
        if let part = try newPart(name, in: folder) { return part }
        let file = try Disk.open(folder.descriptor, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK)
        // Somebody works on it, or has just put it into place: another name.
        let part = PartFile(file: file, folder: folder, name: name, length: 0)
        let status = try Disk.status(of: file)
        guard status.isFile, status.st_nlink == 1, let lock = locks.lock(file, name, in: folder), part.isNamed else {
          continue
        }
        part.lock = lock
        try Disk.setLength(file, 0)
        return part
      } catch {
        last = error
        // Somebody has just removed the folder, as it was empty.
        if error.code == ENOENT { forgetParts() } else if error.code != EEXIST, error.code != EACCES { break }
      }
    }
    throw last
  }

  /// Where nothing has that name yet, as is usual: less has to be asked then.
  private func newPart(_ name: [UInt8], in folder: OpenFile) throws(DiskError) -> PartFile? {
    let file: OpenFile
    do throws(DiskError) {
      file = try Disk.open(folder.descriptor, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
    } catch {
      if error.code == EEXIST { return nil }
      throw error
    }
    let part = PartFile(file: file, folder: folder, name: name, length: 0)
    // A cleaning up of old parts may have seen it before it was locked.
    part.lock = locks.lock(file, name, in: folder)
    if part.lock != nil, (try? Disk.status(of: file))?.st_nlink == 1 { return part }
    // Another works under this name, on a file that has lost it: this empty one is nobody's.
    if part.isNamed { part.remove() }
    return nil
  }

  private func partsFolder(makes: Bool) throws(DiskError) -> OpenFile {
    try parts.withLock { (parts) throws(DiskError) in
      if let parts { return parts }
      if makes {
        do throws(DiskError) { try Disk.makeFolder(root.descriptor, Self.partsName, mode: 0o700) } catch {
          guard error.code == EEXIST else { throw error }
        }
      }
      let folder = try Disk.open(root.descriptor, Self.partsName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
      parts = folder
      return folder
    }
  }

  private func forgetParts() { parts.withLock { $0 = nil } }

  /// Removes parts that nobody works on and nobody can go on with: small ones, and those that nothing was added to for `age` seconds;
  /// of the others the oldest, where there are more than `most`; and the folder of parts, if it is empty then.
  package func cleanUp(olderThan age: Int64, now: Int64, most: Int = 1024) {
    guard let folder = try? partsFolder(makes: false) else { return }
    let claim = PartClaim.suffix
    for name in (try? Disk.names(folder)) ?? [] where name.suffix(claim.count).elementsEqual(claim) {
      PartClaim.removeStale(name, in: folder)
    }
    var kept: [(name: [UInt8], changed: Int64)] = []
    for name in (try? Disk.names(folder)) ?? [] where name.suffix(Self.suffix.count).elementsEqual(Self.suffix) {
      guard let (part, status) = unused(name, in: folder) else { continue }
      if status.size < Self.smallestKept || Int64(status.st_mtim.tv_sec) < now - age {
        part.remove()
      } else {
        kept.append((name, Int64(status.st_mtim.tv_sec)))
      }
    }
    kept.sort { $0.changed < $1.changed }
    for (name, _) in kept.dropLast(most) { unused(name, in: folder)?.part.remove() }
    removeEmptyParts()
  }

  /// A part that nobody works on, locked.
  private func unused(_ name: [UInt8], in folder: OpenFile) -> (part: PartFile, status: stat)? {
    guard let file = try? Disk.open(folder.descriptor, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK),
      let lock = locks.lock(file, name, in: folder),
      let status = try? Disk.status(of: file), status.isFile, status.st_nlink == 1
    else { return nil }
    let part = PartFile(file: file, folder: folder, name: name, length: status.size)
    part.lock = lock
    // It has not been given another name, or removed, before it was locked.
    return part.isNamed ? (part, status) : nil
  }

  /// Nothing is left behind once nothing is half done.
  package func removeEmptyParts() {
    if (try? Disk.remove(root.descriptor, Self.partsName, isFolder: true)) != nil { forgetParts() }
  }
}

// SPDX-License-Identifier: MIT
import Glibc
import LRP2PReactor

/// A file that is being received: open, locked, and without its name.
package final class PartFile {
  let file: OpenFile
  let folder: OpenFile
  let name: [UInt8]
  /// `StoreFolder.identifier` of what it is a part of.
  var identifier: [UInt8] { Array(name.prefix(StoreFolder.identifierLength)) }
  /// It is this one's as long as this lives.
  var lock: PartLock?
  /// The connection that it is still to be taken from.
  var rival: Rivals.Named?
  /// Whether others are told of it.
  var isAnnounced = false
  /// Bytes of it that are there.
  package internal(set) var length: UInt64

  init(file: OpenFile, folder: OpenFile, name: [UInt8], length: UInt64) {
    self.file = file
    self.folder = folder
    self.name = name
    self.length = length
  }

  /// Whether it is what its name leads to.
  var isNamed: Bool {
    guard let own = try? Disk.status(of: file), let named = try? Disk.status(folder.descriptor, name) else {
      return false
    }
    return own.st_ino == named.st_ino && own.st_dev == named.st_dev
  }

  package func remove() { try? Disk.remove(folder.descriptor, name) }

  /// Gives it its name, in place of whatever has it, or only if nothing has.
  func move(to target: OpenFile, _ name: [UInt8], replaces: Bool) throws(DiskError) {
    if replaces {
      try Disk.rename(folder.descriptor, self.name, target.descriptor, name)
    } else {
      try Disk.renameNew(folder.descriptor, self.name, target.descriptor, name)
    }
  }
}

// SPDX-License-Identifier: MIT
import Glibc

/// What a sender has been asked to send, found before anything is sent: a missing file is known then.
package struct SourceList {
  package enum Links: String, Sendable, CaseIterable {
    /// Links go as links.
    case keep
    /// Links are left out.
    case skip
    /// What they lead to goes instead.
    case follow
  }

  package struct Options: Sendable {
    package var links = Links.keep
    /// Another file of the same name at the receiver is no failure.
    package var skipsExisting = false
    /// Digests are compared, also of files with the same size and time.
    package var compares = false
    /// What standard input is called.
    package var inputName = Array("stdin".utf8)
    package init() {}
  }

  package struct Entry {
    package var offer: Offer
    /// Which of `roots` `offer.path` is below; -1 is standard input.
    var root: Int
  }

  /// Why something cannot be sent.
  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  package private(set) var entries: [Entry] = []
  /// FIFOs, sockets and devices within folders.
  package private(set) var leftOut = 0
  /// Folders that the arguments are in, with a slash behind; empty for the one that the process is in.
  private var roots: [[UInt8]] = []
  /// What an argument is called here where that is not its last component.
  private var names: [Int: [UInt8]] = [:]
  private let options: Options

  package var bytes: UInt64 { entries.reduce(0) { $0 &+ ($1.offer.kind == .file ? $1.offer.size : 0) } }
  package var files: Int { entries.reduce(0) { $0 + ($1.offer.kind == .file ? 1 : 0) } }

  package init(_ arguments: [[UInt8]], options: Options = Options()) throws(Failure) {
    self.options = options
    for argument in arguments {
      if argument == [UInt8(ascii: "-")] { try addInput() } else { try add(argument) }
    }
  }

  /// Where the file of an entry is.
  package func source(of entry: Entry) -> [UInt8] {
    let below = names[entry.root].map { $0 + entry.offer.path.drop { $0 != UInt8(ascii: "/") } } ?? entry.offer.path
    return roots[entry.root] + below
  }

  private mutating func addInput() throws(Failure) {
    guard PathName.isAcceptable(options.inputName), !options.inputName.contains(UInt8(ascii: "/")) else {
      throw Failure(description: "\(Printable.text(options.inputName)): a receiver takes no file of this name")
    }
    guard !entries.contains(where: { $0.root < 0 }) else {
      throw Failure(description: "standard input can be sent once")
    }
    var offer = Offer(path: options.inputName)
    offer.flags = flags.union(.open)
    entries.append(Entry(offer: offer, root: -1))
  }

  private mutating func add(_ argument: [UInt8]) throws(Failure) {
    var trimmed = argument
    while trimmed.count > 1, trimmed.last == UInt8(ascii: "/") { trimmed.removeLast() }
    var name = PathName.last(of: trimmed)
    roots.append(Array(trimmed.dropLast(name.count)))
    // `.`, `..` and `/` are called as the folder is.
    if name.isEmpty || name == Array(".".utf8) || name == Array("..".utf8) {
      names[roots.count - 1] = name
      name = Self.ownName(of: trimmed)
    }
    guard PathName.isAcceptable(name) else {
      throw Failure(description: "\(Printable.text(argument)): a receiver takes no file of this name")
    }
    let status = try Self.status(argument)
    try add(status, at: name, root: roots.count - 1, told: argument)
  }

  private static func ownName(of path: [UInt8]) -> [UInt8] {
    guard
      let resolved = unsafe (path + [0]).withUnsafeBufferPointer({ path in
        unsafe path.withMemoryRebound(to: CChar.self) { unsafe realpath($0.baseAddress!, nil) }
      })
    else { return [] }
    defer { unsafe free(resolved) }
    let text = unsafe UnsafeRawBufferPointer(start: resolved, count: strlen(resolved))
    return PathName.last(of: unsafe Array(text))
  }

  private static func status(_ path: [UInt8]) throws(Failure) -> stat {
    try disk(path) { () throws(DiskError) in
      guard let status = try Disk.status(Disk.here, path, follows: true) else { throw DiskError(ENOENT) }
      return status
    }
  }

  private var flags: Offer.Flags {
    var flags: Offer.Flags = []
    if options.skipsExisting { flags.insert(.skips) }
    if options.compares { flags.insert(.compares) }
    return flags
  }

  private mutating func add(_ status: stat, at path: [UInt8], root: Int, told: [UInt8]) throws(Failure) {
    var offer = Offer(path: path)
    offer.flags = flags
    offer.mode = UInt16(status.st_mode & 0o777)
    offer.seconds = Int64(status.st_mtim.tv_sec)
    offer.nanoseconds = UInt32(status.st_mtim.tv_nsec)
    switch status.st_mode & S_IFMT {
    case S_IFREG:
      offer.size = status.size
      // Those of /proc say that they are empty, and are not.
      if status.st_size == 0, status.st_blocks == 0, Self.isLonger(told) { offer.flags.insert(.open) }
      if UInt64(status.st_blocks) * 512 < status.size { offer.flags.insert(.sparse) }
      entries.append(Entry(offer: offer, root: root))
    case S_IFDIR:
      offer.kind = .folder
      entries.append(Entry(offer: offer, root: root))
      try addContents(of: path, root: root, told: told)
    default:
      throw Failure(
        description: "\(Printable.text(told)): \(Self.kind(status)), which is not sent; `-` sends standard input")
    }
  }

  private static func isLonger(_ path: [UInt8]) -> Bool {
    guard let file = try? Disk.open(Disk.here, path, O_RDONLY | O_NONBLOCK) else { return false }
    var byte: [UInt8] = [0]
    return unsafe byte.withUnsafeMutableBytes { bytes in
      (try? unsafe Disk.read(file, into: bytes)).map { $0 > 0 } ?? false
    }
  }

  private static func kind(_ status: stat) -> String {
    switch status.st_mode & S_IFMT {
    case S_IFIFO: "a FIFO"
    case S_IFSOCK: "a socket"
    case S_IFLNK: "a link"
    default: "a device"
    }
  }

  private mutating func addContents(of path: [UInt8], root: Int, told: [UInt8]) throws(Failure) {
    guard PathName.components(of: path).count < PathName.mostComponents else {
      throw Failure(description: "\(Printable.text(told)): too many folders within folders")
    }
    let names = try Self.disk(told) { () throws(DiskError) in
      try Disk.names(try Disk.open(Disk.here, told, O_RDONLY | O_DIRECTORY))
    }
    for name in names {
      let below = path + [UInt8(ascii: "/")] + name
      let local = told + [UInt8(ascii: "/")] + name
      guard below.count <= PathName.longestPath else {
        throw Failure(description: "\(Printable.text(local)): too long a path")
      }
      guard let status = try Self.disk(local, { () throws(DiskError) in try Disk.status(Disk.here, local) }) else {
        continue
      }
      if status.isLink, options.links != .follow {
        if options.links == .keep { try addLink(at: below, root: root, local: local) }
        continue
      }
      let target = status.isLink ? try Self.status(local) : status
      if target.isFile || target.isFolder {
        try add(target, at: below, root: root, told: local)
      } else {
        leftOut += 1
      }
    }
  }

  private mutating func addLink(at path: [UInt8], root: Int, local: [UInt8]) throws(Failure) {
    var offer = Offer(path: path)
    offer.kind = .link
    offer.flags = flags
    offer.target = try Self.disk(local) { () throws(DiskError) in try Disk.target(Disk.here, local) }
    entries.append(Entry(offer: offer, root: root))
  }

  private static func disk<R>(_ path: [UInt8], _ body: () throws(DiskError) -> R) throws(Failure) -> R {
    do throws(DiskError) { return try body() } catch {
      throw Failure(description: "\(Printable.text(path)): \(error)")
    }
  }
}

// SPDX-License-Identifier: MIT
import Glibc
import LRP2PReactor

/// Which parts are being worked on, and by whom: by connections of this process, and by other receivers on this folder.
final class PartLocks: Sendable {
  private let names = Locked<Set<[UInt8]>>([])
  /// Whether flock(2) has failed here: then it is not relied on any more, even if it works now and then.
  private let hasFailed = Locked(false)

  /// - Returns: `nil` when somebody works on it.
  func lock(_ file: OpenFile, _ name: [UInt8], in folder: OpenFile) -> PartLock? {
    guard names.withLock({ $0.insert(name).inserted }) else { return nil }
    let lock = PartLock { [self] claim in
      claim?.release()
      _ = names.withLock { $0.remove(name) }
    }
    switch Disk.lock(file) {
    case .others: return nil
    case .mine: break
    case .unknown: hasFailed.withLock { $0 = true }
    }
    guard hasFailed.withLock({ $0 }) else { return lock }
    guard let claim = PartClaim(name, in: folder) else { return nil }
    lock.claim.withLock { $0 = claim }
    return lock
  }
}

/// A part is this one's as long as this lives. The file's own lock goes with its descriptor.
final class PartLock: Sendable {
  fileprivate let claim = Locked<PartClaim?>(nil)
  private let release: @Sendable (PartClaim?) -> Void
  fileprivate init(release: @escaping @Sendable (PartClaim?) -> Void) { self.release = release }
  deinit { release(claim.withLock { $0 }) }
}

/// A file beside a part which says what process works on it, where the file system knows no locks.
struct PartClaim: Sendable {
  static let suffix = Array(".lock".utf8)
  /// Seconds without a change after which a process that cannot be looked at is taken for gone.
  static let patience: Int64 = 600

  private let folder: OpenFile
  private let name: [UInt8]

  /// - Returns: `nil` when another process has it.
  init?(_ part: [UInt8], in folder: OpenFile) {
    self.folder = folder
    name = part + Self.suffix
    for _ in 0..<2 {
      do throws(DiskError) {
        let file = try Disk.open(folder.descriptor, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
        try unsafe Disk.write(file, Array(Self.own.utf8).span.bytes, at: 0)
        return
      } catch {
        guard error.code == EEXIST, Self.removeStale(name, in: folder) else { return nil }
      }
    }
    return nil
  }

  /// Unless somebody else has taken it over.
  func release() { if Self.text(name, in: folder) == Self.own { try? Disk.remove(folder.descriptor, name) } }

  /// Removes the claim of a process that is gone.
  /// - Returns: whether nobody has this claim any more.
  @discardableResult
  static func removeStale(_ name: [UInt8], in folder: OpenFile) -> Bool {
    guard isStale(name, in: folder) else { return false }
    // Two that find it so at once: one of them gets it.
    let taken = name + Array("-\(getpid())".utf8)
    guard (try? Disk.rename(folder.descriptor, name, folder.descriptor, taken)) != nil else { return true }
    if isStale(taken, in: folder) {
      try? Disk.remove(folder.descriptor, taken)
      return true
    }
    // It was another's, who came in between.
    if (try? Disk.renameNew(folder.descriptor, taken, folder.descriptor, name)) == nil {
      try? Disk.remove(folder.descriptor, taken)
    }
    return false
  }

  private static func isStale(_ name: [UInt8], in folder: OpenFile) -> Bool {
    let file: OpenFile
    do throws(DiskError) {
      file = try Disk.open(folder.descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch {
      // What cannot be read now, for want of descriptors, say, may be somebody's.
      return error.code == ENOENT
    }
    let words = text(file).split(separator: " ").map(String.init)
    if words.count == 3, words[0] == place, let process = Int32(words[1]) {
      return started(process) != words[2]
    }
    // Of another machine, or of before this one was started: as long as something is written it is used.
    let now = Int64(time(nil))
    let part = Array(name.prefix { $0 != UInt8(ascii: ".") }) + Array(".part".utf8)
    return [try? Disk.status(of: file), (try? Disk.status(folder.descriptor, part)) ?? nil].allSatisfy {
      ($0.map { Int64($0.st_mtim.tv_sec) } ?? .min) < now - patience
    }
  }

  // MARK: Processes

  private static let own = "\(place) \(getpid()) \(started(getpid()))"

  /// Where the numbers of processes are from: this boot, and this namespace.
  private static let place = text("/proc/sys/kernel/random/boot_id") + namespace

  private static let namespace: String = {
    let target = (try? Disk.target(Disk.here, Array("/proc/self/ns/pid".utf8))) ?? []
    return String(decoding: target, as: UTF8.self)
  }()

  /// When a process was started; empty when there is none. The name, in brackets, may have spaces in it.
  private static func started(_ process: Int32) -> String {
    let fields = text("/proc/\(process)/stat").split(separator: ")").last?.split(separator: " ") ?? []
    return fields.count > 19 ? String(fields[19]) : ""
  }

  private static func text(_ path: String) -> String {
    (try? Disk.open(Disk.here, Array(path.utf8), O_RDONLY)).map(text) ?? ""
  }

  private static func text(_ name: [UInt8], in folder: OpenFile) -> String {
    (try? Disk.open(folder.descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)).map(text) ?? ""
  }

  /// The first line.
  private static func text(_ file: OpenFile) -> String {
    let block = Block()
    let count = (try? block.read(file, limit: 4096)) ?? 0
    var bytes: [UInt8] = []
    for index in 0..<count { bytes.append(block.bytes.unsafeByte(index)) }
    return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
  }
}

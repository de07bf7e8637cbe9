// SPDX-License-Identifier: MIT
import CFiles
import Glibc

/// System calls on files: names are bytes, errors are thrown as errno, EINTR never shows.
package struct DiskError: Error, Equatable, CustomStringConvertible {
  package let code: Int32
  package init(_ code: Int32) { self.code = code }

  /// The C library's text, without a capital.
  package var description: String {
    let text = unsafe String(cString: strerror(code))
    return text.prefix(1).lowercased() + text.dropFirst()
  }
}

/// A descriptor that is closed with its last reference.
package final class OpenFile: Sendable {
  package let descriptor: Int32
  package init(owning descriptor: Int32) { self.descriptor = descriptor }
  deinit { close(descriptor) }
}

package enum Disk {
  /// Of files whose sender says nothing.
  package static let here: Int32 = AT_FDCWD

  private static func path<R>(_ name: [UInt8], _ body: (UnsafePointer<CChar>) -> R) -> R {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: name.count + 1) { terminated in
      unsafe UnsafeMutableRawBufferPointer(terminated).copyBytes(from: name)
      unsafe terminated[name.count] = 0
      return unsafe body(terminated.baseAddress!)
    }
  }

  private static func check(_ body: () -> Int32) throws(DiskError) -> Int32 {
    while true {
      let result = body()
      if result >= 0 { return result }
      if errno != EINTR { throw DiskError(errno) }
    }
  }

  package static func open(_ folder: Int32, _ name: [UInt8], _ flags: Int32, mode: mode_t = 0) throws(DiskError)
    -> OpenFile
  {
    OpenFile(
      owning: try check { unsafe path(name) { unsafe openat(folder, $0, flags | O_CLOEXEC | O_NOCTTY, mode) } })
  }

  /// - Parameter follows: of a link, tell of what it leads to.
  /// - Returns: `nil` when there is nothing of that name.
  package static func status(_ folder: Int32, _ name: [UInt8], follows: Bool = false) throws(DiskError) -> stat? {
    var status = stat()
    do throws(DiskError) {
      _ = try check {
        unsafe path(name) { unsafe fstatat(folder, $0, &status, follows ? 0 : AT_SYMLINK_NOFOLLOW) }
      }
    } catch {
      if error.code == ENOENT { return nil }
      throw error
    }
    return status
  }

  package static func status(of file: OpenFile) throws(DiskError) -> stat {
    var status = stat()
    _ = try check { unsafe fstat(file.descriptor, &status) }
    return status
  }

  package static func makeFolder(_ folder: Int32, _ name: [UInt8], mode: mode_t = 0o777) throws(DiskError) {
    _ = try check { unsafe path(name) { unsafe mkdirat(folder, $0, mode) } }
  }

  package static func remove(_ folder: Int32, _ name: [UInt8], isFolder: Bool = false) throws(DiskError) {
    _ = try check { unsafe path(name) { unsafe unlinkat(folder, $0, isFolder ? AT_REMOVEDIR : 0) } }
  }

  package static func makeLink(_ folder: Int32, _ name: [UInt8], to target: [UInt8]) throws(DiskError) {
    _ = try check { unsafe path(target) { target in unsafe path(name) { unsafe symlinkat(target, folder, $0) } } }
  }

  package static func target(_ folder: Int32, _ name: [UInt8]) throws(DiskError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = try check {
      unsafe path(name) { name in
        unsafe bytes.withUnsafeMutableBytes { target in
          unsafe Int32(
            readlinkat(folder, name, target.baseAddress!.assumingMemoryBound(to: CChar.self), target.count))
        }
      }
    }
    return Array(bytes[..<Int(count)])
  }

  /// Gives a file another name, in place of whatever has it.
  package static func rename(_ from: Int32, _ name: [UInt8], _ to: Int32, _ other: [UInt8]) throws(DiskError) {
    _ = try check { unsafe path(name) { name in unsafe path(other) { unsafe renameat(from, name, to, $0) } } }
  }

  /// The same, unless something has that name: EEXIST. Where neither the kernel can do that nor the file system knows hard
  /// links, it is looked for first, and another process that makes one in the same moment loses.
  package static func renameNew(_ from: Int32, _ name: [UInt8], _ to: Int32, _ other: [UInt8]) throws(DiskError) {
    let result = unsafe path(name) { name in unsafe path(other) { unsafe lrp2p_rename_new(from, name, to, $0) } }
    if result == 0 { return }
    guard [ENOSYS, EINVAL, EOPNOTSUPP, EPERM].contains(-result) else { throw DiskError(-result) }
    do throws(DiskError) {
      _ = try check { unsafe path(name) { name in unsafe path(other) { unsafe linkat(from, name, to, $0, 0) } } }
      try remove(from, name)
    } catch {
      guard [ENOSYS, EPERM, EOPNOTSUPP, EMLINK, EINVAL].contains(error.code) else { throw error }
      guard try status(to, other) == nil else { throw DiskError(EEXIST) }
      try rename(from, name, to, other)
    }
  }

  /// A file without a name, which goes away with its descriptor unless `giveName` gives it one.
  static func openNameless(_ folder: OpenFile, mode: mode_t) throws(DiskError) -> OpenFile {
    let result = lrp2p_open_nameless(folder.descriptor, UInt32(mode))
    if result < 0 { throw DiskError(-result) }
    return OpenFile(owning: result)
  }

  /// - Throws: EEXIST where something has that name.
  static func giveName(_ file: OpenFile, _ folder: OpenFile, _ name: [UInt8]) throws(DiskError) {
    let result = unsafe path(name) { unsafe lrp2p_name_file(file.descriptor, folder.descriptor, $0) }
    if result < 0 { throw DiskError(-result) }
  }

  /// Writes all of `bytes` at `offset`.
  package static func write(_ file: OpenFile, _ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
    var done = 0
    while done < bytes.byteCount {
      let from = done
      let count = unsafe bytes.withUnsafeBytes {
        unsafe pwrite(file.descriptor, $0.baseAddress! + from, $0.count - from, off_t(offset) + off_t(from))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw DiskError(count == 0 ? ENOSPC : errno) }
      done += count
    }
  }

  /// Reads on from where the descriptor is. It waits even where the descriptor does not block: standard input may be
  /// shared with a program that has set O_NONBLOCK.
  /// - Returns: 0 at the end.
  package static func read(_ file: OpenFile, into target: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    while true {
      let count = unsafe Glibc.read(file.descriptor, target.baseAddress!, target.count)
      if count >= 0 { return count }
      if errno == EAGAIN {
        var watched = pollfd(fd: file.descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&watched, 1, -1)
      } else if errno != EINTR {
        throw DiskError(errno)
      }
    }
  }

  /// Reads from the start, up to the end or until `target` is full.
  static func readStart(_ file: OpenFile, into target: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    var done = 0
    while done < target.count {
      let count = unsafe pread(file.descriptor, target.baseAddress! + done, target.count - done, off_t(done))
      if count == 0 { break }
      if count < 0, errno != EINTR { throw DiskError(errno) }
      done += max(count, 0)
    }
    return done
  }

  package static func setLength(_ file: OpenFile, _ length: UInt64) throws(DiskError) {
    _ = try check { ftruncate(file.descriptor, off_t(length)) }
  }

  package static func seek(_ file: OpenFile, to offset: UInt64) throws(DiskError) {
    guard lseek(file.descriptor, off_t(offset), SEEK_SET) >= 0 else { throw DiskError(errno) }
  }

  package static func sync(_ file: OpenFile) throws(DiskError) { _ = try check { fsync(file.descriptor) } }

  /// Everything of the file system that `file` is on.
  package static func syncAll(_ file: OpenFile) throws(DiskError) {
    let result = lrp2p_sync_file_system(file.descriptor)
    if result < 0 { throw DiskError(-result) }
  }

  /// Whether `syncAll` is enough where it succeeds: the kernel reports errors there (Linux 5.8), and the file system is
  /// one that is known to put everything on the disk then.
  static func syncsAll(_ file: OpenFile) -> Bool {
    trusted.contains(lrp2p_file_system_kind(file.descriptor)) && reportsErrors
  }

  /// tmpfs, ext4, xfs, btrfs and f2fs.
  private static let trusted: [UInt32] = [0x0102_1994, 0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010]

  /// Whether a file without a name is not logged when it is synced: btrfs.
  static func logsNamesOnly(_ file: OpenFile) -> Bool { lrp2p_file_system_kind(file.descriptor) == 0x9123_683E }

  private static let reportsErrors: Bool = {
    var names = utsname()
    guard unsafe uname(&names) == 0 else { return false }
    let release = unsafe withUnsafeBytes(of: &names.release) { unsafe String(decoding: $0, as: UTF8.self) }
    let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    return numbers.count == 2 && (numbers[0], numbers[1]) >= (5, 8)
  }()

  package enum Lock: Sendable {
    /// Until the end of the process or of the descriptor.
    case mine
    case others
    /// The file system knows no locks, or has none left.
    case unknown
  }

  package static func lock(_ file: OpenFile) -> Lock {
    while flock(file.descriptor, LOCK_EX | LOCK_NB) != 0 {
      if errno == EINTR { continue }
      return errno == EWOULDBLOCK ? .others : .unknown
    }
    return .mine
  }

  package static func unlock(_ file: OpenFile) throws(DiskError) {
    guard flock(file.descriptor, LOCK_UN) == 0 else { throw DiskError(errno) }
  }

  /// Whether an ACL of the folder decides what mode its new files get.
  static func hasDefaultMode(_ folder: OpenFile) -> Bool {
    lrp2p_has_default_acl(folder.descriptor) != 0
  }

  package static func setMode(_ file: OpenFile, _ mode: mode_t) throws(DiskError) {
    _ = try check { fchmod(file.descriptor, mode) }
  }

  /// The time of the last change; the access time stays.
  package static func setTime(_ file: OpenFile, seconds: Int64, nanoseconds: UInt32) throws(DiskError) {
    let times: InlineArray<2, timespec> = [
      timespec(tv_sec: 0, tv_nsec: omitted), timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds)),
    ]
    _ = try check { unsafe times.span.withUnsafeBufferPointer { unsafe futimens(file.descriptor, $0.baseAddress!) } }
  }

  /// UTIME_OMIT, a macro.
  private static let omitted = (1 << 30) - 2

  /// Bytes that a user without rights may still take.
  package static func freeBytes(_ file: OpenFile) -> UInt64? {
    var status = statvfs()
    guard unsafe fstatvfs(file.descriptor, &status) == 0 else { return nil }
    let (bytes, isOver) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
    return isOver ? .max : bytes
  }

  /// The names in a folder, without `.` and `..`, in the order of their bytes.
  package static func names(_ folder: OpenFile) throws(DiskError) -> [[UInt8]] {
    let own = try open(folder.descriptor, [UInt8(ascii: ".")], O_RDONLY | O_DIRECTORY)
    let copy = try check { fcntl(own.descriptor, F_DUPFD_CLOEXEC, 3) }
    guard let stream = unsafe fdopendir(copy) else {
      let code = errno
      close(copy)
      throw DiskError(code)
    }
    defer { unsafe closedir(stream) }
    var names: [[UInt8]] = []
    while true {
      errno = 0
      guard let entry = unsafe readdir(stream) else { break }
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
        unsafe field.withMemoryRebound(to: UInt8.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)) {
          unsafe Array(
            UnsafeBufferPointer(start: $0, count: strlen(UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))))
        }
      }
      if name != [UInt8(ascii: ".")], name != [UInt8(ascii: "."), UInt8(ascii: ".")] { names.append(name) }
    }
    guard errno == 0 else { throw DiskError(errno) }
    return names.sorted { $0.lexicographicallyPrecedes($1) }
  }
}

extension stat {
  package var isFolder: Bool { st_mode & S_IFMT == S_IFDIR }
  package var isFile: Bool { st_mode & S_IFMT == S_IFREG }
  package var isLink: Bool { st_mode & S_IFMT == S_IFLNK }
  package var size: UInt64 { UInt64(max(st_size, 0)) }
}

// SPDX-License-Identifier: MIT
import CLinux

/// Files of a few bytes that hold secrets: read in one go, written once.
package enum SmallFile {
  /// Reads at most `bytes.byteCount` bytes; whoever owns the buffer wipes it.
  /// - Returns: how many bytes were read (a longer file fills the buffer), and the file's permission bits.
  package static func read(_ path: String, into bytes: inout MutableRawSpan) throws(SystemError)
    -> (count: Int, mode: UInt32)
  {
    var mode: UInt32 = 0
    let file = FileDescriptor(owning: try check(unsafe lrp2p_open_read(path, &mode), "open \(path)"))
    var count = 0
    while count < bytes.byteCount {
      let result = unsafe bytes.withUnsafeMutableBytes {
        unsafe lrp2p_read(file.raw, $0.baseAddress! + count, $0.count - count)
      }
      if result == -EINTR { continue }
      if try check(result, "read \(path)") == 0 { break }
      count += Int(result)
    }
    return (count, mode)
  }

  /// The value of a variable of the environment, as far as it fits.
  /// - Returns: how many bytes it has (a longer value fills the buffer); nil if there is no such variable.
  package static func environment(_ name: String, into bytes: inout MutableRawSpan) -> Int? {
    let count = unsafe bytes.withUnsafeMutableBytes { target in
      unsafe name.withCString { unsafe lrp2p_environment($0, target.baseAddress!, target.count) }
    }
    return count < 0 ? nil : Int(count)
  }

  /// Creates the file, which must not exist, readable by its owner only, and puts it on the disk. A file that could
  /// not be written whole is removed.
  package static func create(_ path: String, _ bytes: RawSpan) throws(SystemError) {
    let file = FileDescriptor(owning: try check(unsafe lrp2p_create(path, 0o600), "create \(path)"))
    do {
      var count = 0
      while count < bytes.byteCount {
        let result = unsafe bytes.withUnsafeBytes {
          unsafe lrp2p_write(file.raw, $0.baseAddress! + count, $0.count - count)
        }
        if result == -EINTR { continue }
        count += Int(try check(result, "write \(path)"))
      }
      _ = try check(lrp2p_sync(file.raw), "write \(path)")
    } catch {
      _ = unsafe lrp2p_unlink(path)
      throw error
    }
  }
}

/// Overwrites with zeros, which the compiler may not leave out.
package func wipe<let count: Int>(_ bytes: inout InlineArray<count, UInt8>) {
  unsafe withUnsafeMutableBytes(of: &bytes) { unsafe lrp2p_wipe($0.baseAddress!, $0.count) }
}

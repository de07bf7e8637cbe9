// SPDX-License-Identifier: MIT
import Glibc

/// What a receiver takes, and what it does about files that are there already.
package struct IntakePolicy: Sendable {
  package enum Existing: Sendable {
    /// The new one fails.
    case refuse
    /// The new one takes its place.
    case overwrite
    /// The new one is not wanted.
    case skip
    /// The new one gets a number behind its name.
    case rename
  }

  package var existing = Existing.refuse
  /// Of one file.
  package var largestFile = UInt64.max
  /// Of all files of one connection together.
  package var mostBytes = UInt64.max
  /// Files, folders and links of one connection.
  package var mostFiles = UInt64.max
  /// Bytes that stay free on the disk.
  package var keepFree: UInt64 = 0
  /// Whether the sender's key was asked for. Others may have only so much hashed of what is here already.
  package var isTrusted = false
  /// Whether what has come of a large file stays when its connection ends.
  package var keepsParts = true
  /// Taken off the bits of each new file and folder.
  package var mask: UInt32 = 0o022

  /// What the kernel takes off (umask).
  package static let processMask: UInt32 = {
    let mask = umask(0)
    umask(mask)
    return UInt32(mask)
  }()

  /// Bits that are left of those that a sender wants.
  func mode(_ wanted: UInt16) -> mode_t { mode_t(UInt32(wanted) & ~mask) }

  package init() {}
}

/// What became of one file, for people.
package struct FileEvent: Sendable, Equatable {
  package enum Outcome: Sendable, Equatable {
    case stored(digest: [UInt8])
    /// It was there already.
    case present
    case failed(FileFailure)
  }

  package var path: [UInt8]
  package var bytes: UInt64
  package var nanoseconds: UInt64 = 0
  /// Of these bytes, what an earlier connection had brought.
  package var resumed: UInt64 = 0
  package var kind = DigestKind.blake3
  package var outcome: Outcome
}

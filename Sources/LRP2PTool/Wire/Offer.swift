// SPDX-License-Identifier: MIT
/// What a sender says of a file, a folder or a link before anything of it is sent.
package struct Offer: Equatable, Sendable {
  package enum Kind: UInt8, Sendable {
    case file = 0
    case folder = 1
    case link = 2
  }

  package struct Flags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The size is not known: the end of the data tells.
    package static let open = Flags(rawValue: 1)
    /// There are holes in it: blocks of zeros need no place on the disk.
    package static let sparse = Flags(rawValue: 2)
    /// Another file of this name is no failure: it stays, and this one is not sent.
    package static let skips = Flags(rawValue: 4)
    /// A folder whose files have all been sent: its mode and time are for now.
    package static let complete = Flags(rawValue: 8)
    /// The same size and time are not enough to be the same file: the digests are compared.
    package static let compares = Flags(rawValue: 16)
    static let known: Flags = [.open, .sparse, .skips, .complete, .compares]
  }

  package var kind = Kind.file
  package var flags: Flags = []
  /// The permission bits.
  package var mode: UInt16 = 0o644
  /// Of the last change: seconds since 1970, and nanoseconds.
  package var seconds: Int64 = 0
  package var nanoseconds: UInt32 = 0
  package var size: UInt64 = 0
  /// Below the receiver's folder.
  package var path: [UInt8]
  /// Where a link leads.
  package var target: [UInt8] = []

  package init(path: [UInt8], size: UInt64 = 0) {
    self.path = path
    self.size = size
  }

  static let fixedLength = 29

  package var encoded: [UInt8] {
    var bytes: [UInt8] = [SenderRecord.Kind.offer.rawValue, kind.rawValue, flags.rawValue]
    bytes.reserveCapacity(Self.fixedLength + path.count + target.count)
    bytes.append(bigEndian: UInt64(mode), bytes: 2)
    bytes.append(bigEndian: UInt64(bitPattern: seconds), bytes: 8)
    bytes.append(bigEndian: UInt64(nanoseconds), bytes: 4)
    bytes.append(bigEndian: size, bytes: 8)
    bytes.append(bigEndian: UInt64(path.count), bytes: 2)
    bytes.append(bigEndian: UInt64(target.count), bytes: 2)
    return bytes + path + target
  }

  /// The whole length of an offer whose fixed part is in `bytes`.
  static func length(_ bytes: [UInt8]) -> Int {
    fixedLength + Int(bytes.bigEndian(25, 2)) + Int(bytes.bigEndian(27, 2))
  }

  init(decoding bytes: [UInt8]) throws(Malformed) {
    guard let kind = Kind(rawValue: bytes[1]) else { throw Malformed() }
    self.kind = kind
    flags = Flags(rawValue: bytes[2]).intersection(.known)
    mode = UInt16(bytes.bigEndian(3, 2)) & 0o777
    seconds = Int64(bitPattern: bytes.bigEndian(5, 8))
    nanoseconds = UInt32(min(bytes.bigEndian(13, 4), 999_999_999))
    size = bytes.bigEndian(17, 8)
    guard size <= UInt64(Int64.max) else { throw Malformed() }
    let pathLength = Int(bytes.bigEndian(25, 2))
    path = Array(bytes[Self.fixedLength..<Self.fixedLength + pathLength])
    target = Array(bytes[(Self.fixedLength + pathLength)...])
  }
}

/// Bytes that are none of this version's records, or come where they must not.
package struct Malformed: Error, Equatable { package init() {} }

extension [UInt8] {
  mutating func append(bigEndian value: UInt64, bytes: Int) {
    for index in stride(from: bytes - 1, through: 0, by: -1) {
      append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index)))
    }
  }

  func bigEndian(_ at: Int, _ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for byte in self[at..<at + count] { value = value << 8 | UInt64(byte) }
    return value
  }
}

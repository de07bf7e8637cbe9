// How files travel on a connection's stream. Sender: for each file a header (magic 4, version 1, name length 2, size
// 8, name) and its bytes; FIN ends the list. Receiver: for each file a status (result 1, BLAKE2b-256 of what arrived
// 32); a failure ends the connection by CLOSE with its reason. Integers are big-endian.

/// What is said of a file before its bytes.
package struct FileHeader: Equatable {
  /// "LRPF".
  package static let magic: [UInt8] = [0x4C, 0x52, 0x50, 0x46]
  package static let version: UInt8 = 1
  package static let fixedLength = 15
  package static let longestName = 255

  package var name: String
  package var size: UInt64

  package init(name: String, size: UInt64) {
    self.name = name
    self.size = size
  }

  package enum Failure: Error, Equatable {
    /// The bytes are no header of this version.
    case malformed
    /// The name is empty, too long, or would leave the folder.
    case unacceptableName
  }

  package var encoded: [UInt8] {
    let name = Array(name.utf8.prefix(Self.longestName))
    var bytes = Self.magic + [Self.version, UInt8(name.count >> 8), UInt8(name.count & 255)]
    for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: size >> UInt64(shift))) }
    return bytes + name
  }

  /// Reads a header from the start of `bytes`; `nil` while it is not complete.
  package static func decode(_ bytes: [UInt8]) throws(Failure) -> (header: FileHeader, length: Int)? {
    for (index, byte) in bytes.prefix(4).enumerated() where byte != magic[index] { throw .malformed }
    if bytes.count > 4, bytes[4] != version { throw .malformed }
    guard bytes.count >= fixedLength else { return nil }
    let nameLength = Int(bytes[5]) << 8 | Int(bytes[6])
    guard nameLength > 0, nameLength <= longestName else { throw .unacceptableName }
    guard bytes.count >= fixedLength + nameLength else { return nil }
    var size: UInt64 = 0
    for byte in bytes[7..<15] { size = size << 8 | UInt64(byte) }
    guard size <= UInt64(Int64.max) else { throw .malformed }
    let name = String(validating: bytes[fixedLength..<fixedLength + nameLength], as: UTF8.self)
    guard let name, isAcceptable(name) else { throw .unacceptableName }
    return (FileHeader(name: name, size: size), fixedLength + nameLength)
  }

  /// Whether a name from the network stays within the folder: one component, visible, without control characters.
  package static func isAcceptable(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.first != UInt8(ascii: ".")
      && name.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 && $0 != "/" }
  }
}

/// The receiver's word on one file.
package enum FileStatus {
  package static let length = 33
  package static let stored: UInt8 = 0
}

/// Codes that a receiver closes a connection with.
package enum CloseCode {
  package static let malformed: UInt32 = 1
  package static let refused: UInt32 = 2
  package static let storage: UInt32 = 3
  package static let interrupted: UInt32 = 4
}

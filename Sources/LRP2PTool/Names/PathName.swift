// SPDX-License-Identifier: MIT
/// Paths as the file system has them: bytes, of which only `/` and NUL mean something.
package enum PathName {
  /// What a file system takes for one name.
  package static let longestComponent = 255
  /// Of a path within the receiver's folder.
  package static let longestPath = 4000
  /// Folders within folders.
  package static let mostComponents = 100

  private static let slash = UInt8(ascii: "/")
  private static let dot = UInt8(ascii: ".")

  /// The last component, whatever slashes follow it; empty for `/`.
  package static func last(of path: [UInt8]) -> [UInt8] {
    Array(path.split(separator: slash).last ?? [])
  }

  package static func components(of path: [UInt8]) -> [[UInt8]] {
    path.split(separator: slash, omittingEmptySubsequences: false).map(Array.init)
  }

  /// Whether a path from the network stays within the folder.
  package static func isAcceptable(_ path: [UInt8]) -> Bool {
    guard !path.isEmpty, path.count <= longestPath, !path.contains(0) else { return false }
    let parts = path.split(separator: slash, omittingEmptySubsequences: false)
    return parts.count <= mostComponents && parts.allSatisfy(isComponent)
  }

  /// Whether it, or the folder that it begins with, is hidden: a stranger writes no `.profile`.
  static func isHidden(_ path: [UInt8]) -> Bool { path.first == dot }

  private static func isComponent(_ part: ArraySlice<UInt8>) -> Bool {
    !part.isEmpty && part.count <= longestComponent && !part.elementsEqual([dot]) && !part.elementsEqual([dot, dot])
  }

  /// Whether a link at `path` that leads to `target` leads to a place within the folder. It goes up at its beginning only: behind a
  /// name that is a link itself, up would be elsewhere.
  package static func staysWithin(_ target: [UInt8], from path: [UInt8]) -> Bool {
    guard !target.isEmpty, target.count <= longestPath, target.first != slash, !target.contains(0) else { return false }
    var depth = components(of: path).count - 1
    var isBelow = false
    for part in target.split(separator: slash) where !part.elementsEqual([dot]) {
      let isUp = part.elementsEqual([dot, dot])
      if isUp, isBelow || depth == 0 { return false }
      if isUp { depth -= 1 } else { isBelow = true }
    }
    return true
  }

  /// `name` with a number behind it, as curl has it: `a.txt.1`. Cut off in front of the number where it would be too long.
  package static func numbered(_ name: [UInt8], _ number: Int) -> [UInt8] {
    let suffix = Array(".\(number)".utf8)
    var kept = name.prefix(longestComponent - suffix.count)
    // Not within a character.
    while kept.count < name.count, let next = name.dropFirst(kept.count).first, next & 0xC0 == 0x80, !kept.isEmpty {
      kept = kept.dropLast()
    }
    return kept + suffix
  }
}

/// Text that came from others, for a terminal: nothing in it moves the cursor, sets a colour or turns the direction of writing.
package enum Printable {
  /// UTF-8 as it is, without control characters: those become `\u{9b}`, and bytes that are no UTF-8 `\xe9`.
  package static func text(_ bytes: [UInt8]) -> String {
    if let text = String(validating: bytes, as: UTF8.self) { return Self.text(text) }
    var result = ""
    var rest = bytes[...]
    while let first = rest.first {
      let length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
      if let piece = String(validating: rest.prefix(length), as: UTF8.self) {
        result += text(piece)
        rest = rest.dropFirst(length)
      } else {
        result += "\\x" + hex(UInt32(first), digits: 2)
        rest = rest.dropFirst()
      }
    }
    return result
  }

  package static func text(_ text: String) -> String {
    if text.unicodeScalars.allSatisfy({ !isControl($0) }) { return text }
    var result = ""
    for scalar in text.unicodeScalars {
      if isControl(scalar) {
        result += "\\u{\(hex(scalar.value, digits: 1))}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// C0, DEL, C1, and what has no place of its own in a line: marks of direction, line separators, the byte order mark.
  package static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<32, 127..<160, 0x61C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF, 0xFFF9...0xFFFB: true
    default: false
    }
  }

  /// Two hexadecimal digits for each byte, in ASCII.
  package static func digits(_ bytes: [UInt8]) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: 2 * bytes.count) { digits, count in
      for (index, byte) in bytes.enumerated() {
        unsafe digits[2 * index] = digit(byte >> 4)
        unsafe digits[2 * index + 1] = digit(byte & 15)
      }
      count = 2 * bytes.count
    }
  }

  private static func digit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }

  package static func hex(_ value: UInt32, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }
}

// SPDX-License-Identifier: MIT
/// The name of what programs speak over a connection, such as "chat/2": 1 … 63 bytes of any value. A name is compared byte by byte; one
/// version of a protocol that cannot speak with another has a name of its own.
public struct ApplicationProtocol: Hashable, Sendable {
  /// The name.
  public let bytes: [UInt8]

  /// The most bytes that a name may have.
  public static let longest = 63

  /// A name of any bytes; `nil` if these are none, or more than `longest`.
  public init?(bytes: [UInt8]) {
    guard (1...Self.longest).contains(bytes.count) else { return nil }
    self.bytes = bytes
  }

  /// The text's UTF-8; `nil` if that is empty, or longer than `longest` bytes.
  public init?(name: String) { self.init(bytes: Array(name.utf8)) }
}

extension ApplicationProtocol: ExpressibleByStringLiteral {
  /// A name that stands in the program: an empty one, or one of more than `longest` bytes, is a programming error.
  public init(stringLiteral name: String) {
    guard let named = ApplicationProtocol(name: name) else {
      preconditionFailure("the name of an application protocol has 1 to 63 bytes")
    }
    self = named
  }
}

extension ApplicationProtocol: CustomStringConvertible {
  /// The name as text; what is no UTF-8 is replaced.
  public var description: String { String(decoding: bytes, as: UTF8.self) }
}

/// The application protocols that this side speaks, in order of preference, as they stand in a handshake message: each a length and a
/// name.
package struct ProtocolNames: Sendable {
  /// All of them.
  package let bytes: [UInt8]

  /// Bytes that all names of a list may have together, with a length each.
  package static let longestList = 128
  /// An index has to fit a byte, in which 0 is none.
  package static let most = 255

  package init(_ protocols: [ApplicationProtocol]) {
    bytes = protocols.flatMap { [UInt8($0.bytes.count)] + $0.bytes }
  }

  package var isEmpty: Bool { bytes.isEmpty }

  /// Where the name with an index, counted from 1, stands, its length included.
  package func place(of index: Int) -> Range<Int> {
    var at = 0
    for _ in 1..<index { at += 1 + Int(bytes[at]) }
    return at..<at + 1 + Int(bytes[at])
  }

  /// The index of the first that `list`, which is well formed, has; 0 if it has none.
  package func first(in list: RawSpan) -> Int {
    var (at, index) = (0, 1)
    while at < bytes.count {
      let end = at + 1 + Int(bytes[at])
      if Self.has(list, bytes, at..<end) { return index }
      (at, index) = (end, index + 1)
    }
    return 0
  }

  private static func has(_ list: RawSpan, _ bytes: [UInt8], _ name: Range<Int>) -> Bool {
    var at = 0
    while at < list.byteCount {
      let end = at + 1 + Int(list.byte(at))
      if end - at == name.count, (0..<name.count).allSatisfy({ list.byte(at + $0) == bytes[name.lowerBound + $0] }) {
        return true
      }
      at = end
    }
    return false
  }
}

// SPDX-License-Identifier: MIT
/// A cookie as its initiator has it: 8 to 128 bytes that mean nothing to it (`Cookie` is what this responder makes).
package struct ShownCookie: BitwiseCopyable {
  /// A reply with a shorter one would be no datagram.
  package static var shortest: Int { 8 }
  package static var longest: Int { 128 }

  package private(set) var length: Int
  private var bytes = InlineArray<128, UInt8>(repeating: 0)

  /// `nil` when nobody may have made such a cookie.
  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.shortest, bytes.byteCount <= Self.longest else { return nil }
    length = bytes.byteCount
    for index in 0..<length { self.bytes[index] = bytes.byte(index) }
  }

  package init(_ cookie: Cookie) {
    length = Cookie.length
    var elements = bytes.mutableSpan
    var target = unsafe elements.mutableBytes
    cookie.write(into: &target, at: 0)
  }

  @_lifetime(target: copy target)
  package func write(into target: inout MutableRawSpan, at offset: Int) {
    for index in 0..<length { target.setByte(offset + index, bytes[index]) }
  }
}

extension ShownCookie: Equatable {
  package static func == (a: ShownCookie, b: ShownCookie) -> Bool {
    guard a.length == b.length else { return false }
    for index in 0..<a.length where a.bytes[index] != b.bytes[index] { return false }
    return true
  }
}

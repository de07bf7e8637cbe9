// SPDX-License-Identifier: MIT
import LRP2PCore

extension PublicKey: LosslessStringConvertible {
  /// 64 hexadecimal characters, lower case.
  public var description: String {
    String(decoding: bytes.flatMap { [Hex.digit($0 >> 4), Hex.digit($0 & 15)] }, as: UTF8.self)
  }

  /// Parses 64 hexadecimal characters of either case, and nothing around them.
  public init?(_ text: String) {
    var text = text
    let bytes: InlineArray<32, UInt8>? = text.withUTF8 { unsafe Hex.decode32($0.span.bytes) }
    guard let bytes else { return nil }
    unsafe self.init(bytes: bytes.span.bytes)
  }
}

enum Hex {
  static func digit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }

  static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  /// 32 bytes from exactly 64 digits.
  static func decode32(_ text: RawSpan) -> InlineArray<32, UInt8>? {
    guard text.byteCount == 64 else { return nil }
    var bytes = InlineArray<32, UInt8>(repeating: 0)
    for index in 0..<32 {
      guard let high = value(text.byte(2 * index)), let low = value(text.byte(2 * index + 1)) else { return nil }
      bytes[index] = high << 4 | low
    }
    return bytes
  }
}

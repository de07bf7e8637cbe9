// SPDX-License-Identifier: MIT
/// A record of one of the two directions.
protocol Record {
  static func length(_ bytes: [UInt8]) throws(Malformed) -> Int
  init(decoding bytes: [UInt8]) throws(Malformed)
}

extension SenderRecord: Record {}
extension ReceiverRecord: Record {}

/// Puts records together from the pieces in which the stream comes. Holds one at most: 8,029 bytes of an offer.
struct RecordReader<R: Record> {
  private var bytes: [UInt8] = []

  var isEmpty: Bool { bytes.isEmpty }

  /// Takes bytes of `input` from `at` on, as many as the next record needs; `nil` when they have not made one yet.
  mutating func next(_ input: RawSpan, _ at: inout Int) throws(Malformed) -> R? {
    while true {
      let length = try R.length(bytes)
      if length > Self.longest { throw Malformed() }
      let missing = length - bytes.count
      if missing == 0 {
        defer { bytes.removeAll(keepingCapacity: true) }
        return try R(decoding: bytes)
      }
      let count = min(missing, input.byteCount - at)
      if count == 0 { return nil }
      for index in at..<at + count { bytes.append(input.unsafeByte(index)) }
      at += count
    }
  }

  private static var longest: Int { Offer.fixedLength + 2 * PathName.longestPath }
}

extension RawSpan {
  func unsafeByte(_ offset: Int) -> UInt8 { unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self) }
}

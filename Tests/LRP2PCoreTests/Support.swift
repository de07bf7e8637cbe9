// SPDX-License-Identifier: MIT
import LRP2PCore

/// splitmix64: the same seed, the same test.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

  mutating func bytes(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 7)
    while bytes.count < count {
      let word = next()
      for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> (8 * shift))) }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  /// What a stranger may send: half the time wholly random bytes, else one of `valid` with a little damage.
  mutating func untrusted(like valid: [[UInt8]], longest: Int) -> [UInt8] {
    if next() % 2 == 0 { return bytes(below(longest + 1)) }
    var bytes = valid[below(valid.count)]
    for _ in 0...below(3) {
      switch next() % 4 {
      case 0 where !bytes.isEmpty: bytes[below(bytes.count)] = UInt8(truncatingIfNeeded: next())
      // Lengths and counts are mostly small, and off by one at their worst.
      case 1 where !bytes.isEmpty: bytes[below(bytes.count)] &+= next() % 2 == 0 ? 1 : 255
      case 2: bytes.removeLast(below(bytes.count + 1))
      default: bytes.insert(UInt8(truncatingIfNeeded: next()), at: below(bytes.count + 1))
      }
    }
    return bytes
  }
}

/// The bytes of a hexadecimal string; spaces and line ends are ignored.
func bytes(_ hex: String) -> [UInt8] {
  let digits = hex.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue!) }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// What `write` puts into memory that was not zero before; it returns how many bytes.
func written(room: Int = 2000, _ write: (inout MutableRawSpan) -> Int) -> [UInt8] {
  var bytes = [UInt8](repeating: 0xEE, count: room)
  var elements = bytes.mutableSpan
  var memory = unsafe elements.mutableBytes
  let count = write(&memory)
  return Array(bytes[..<count])
}

extension Array where Element == UInt8 {
  var raw: RawSpan { @_lifetime(borrow self) get { unsafe span.bytes } }
}

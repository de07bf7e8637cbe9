// SPDX-License-Identifier: MIT
import LRP2PCore

/// splitmix64 (Steele, Lea and Flood, 2014): the same seed, the same run.
struct TestRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: some BinaryInteger) { state = UInt64(seed) }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  /// A number in `0 ..< bound`.
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

  mutating func happens(percent: Int) -> Bool { below(100) < percent }
}

extension [UInt8] {
  /// The bytes as the core takes them.
  var rawBytes: RawSpan { @_lifetime(borrow self) get { unsafe span.bytes } }
}

extension RawSpan {
  func equals(_ bytes: [UInt8]) -> Bool {
    byteCount == bytes.count && bytes.indices.allSatisfy { byte($0) == bytes[$0] }
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore

/// Numbers at which a comparison of two 32-bit numbers may change its answer.
enum BoundaryNumbers {
  static let all: [UInt32] = [
    0, 1, 1 << 23, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, .max,
  ]

  /// As far from `origin` as these, before and behind it, and the neighbours of each.
  static func around(_ origin: UInt32) -> Set<UInt32> {
    var numbers: Set<UInt32> = []
    for distance in all {
      for number in [origin &+ distance, origin &- distance] {
        for delta: UInt32 in [0, 1, .max, 2, .max - 1] { numbers.insert(number &+ delta) }
      }
    }
    return numbers
  }
}

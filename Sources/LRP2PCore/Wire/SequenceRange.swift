// SPDX-License-Identifier: MIT
/// A half-open range of sequence numbers in serial order.
package struct SequenceRange: BitwiseCopyable, Equatable {
  package var lower: UInt32 = 0
  package var upper: UInt32 = 0

  package init() {}

  package init(lower: UInt32, upper: UInt32) {
    self.lower = lower
    self.upper = upper
  }
}

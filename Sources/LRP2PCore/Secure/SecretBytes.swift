// SPDX-License-Identifier: MIT
/// Overwrites `bytes` with zeros. Never optimised, so that the stores survive although nothing reads them afterwards;
/// copies that the compiler made elsewhere are out of reach.
@inline(never) @_optimize(none) @_lifetime(bytes: copy bytes)
package func wipe(_ bytes: inout MutableRawSpan) {
  unsafe bytes.withUnsafeMutableBytes { unsafe clear($0.baseAddress, $0.count) }
}

/// The same for memory that is about to be given back.
@inline(never) @_optimize(none)
package func wipe(_ start: UnsafeMutableRawPointer, _ byteCount: Int) { unsafe clear(start, byteCount) }

/// Optimised, as tables of keys are large. Only what calls it must not be.
@inline(never)
private func clear(_ start: UnsafeMutableRawPointer?, _ byteCount: Int) {
  if let start = unsafe start { unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount) }
}

/// Whether nothing of what was or-ed together differs. Never optimised: inlined, it becomes a branch for each part.
@inline(never) @_optimize(none)
package func isZero(_ difference: UInt64) -> Bool { difference == 0 }

extension InlineArray where Element == UInt8 {
  /// The bytes as raw memory: safe, as they have no padding.
  package var bytes: RawSpan {
    @_lifetime(borrow self) @inline(__always) get { unsafe span.bytes }
  }

  /// Overwrites every byte with zero, for secrets that go out of use.
  package mutating func wipe() {
    var elements = mutableSpan
    var memory = unsafe elements.mutableBytes
    LRP2PCore.wipe(&memory)
  }
}

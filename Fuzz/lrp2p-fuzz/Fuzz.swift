// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation

/// libFuzzer's entry point.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  guard let bytes = unsafe bytes, count <= 1 << 16 else { return 0 }
  FuzzHarness.run(unsafe RawSpan(_unsafeStart: bytes, byteCount: count))
  return 0
}

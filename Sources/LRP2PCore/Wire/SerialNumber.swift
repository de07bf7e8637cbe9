// Serial number arithmetic over 32-bit sequence numbers (RFC 1982): comparisons hold while the two are less than
// 2^31 apart, which a 24-bit window guarantees.

extension UInt32 {
  /// How far `self` lies behind (positive) or before (negative) `other`.
  @inline(__always) package func distance(since other: UInt32) -> Int { Int(Int32(bitPattern: self &- other)) }
  @inline(__always) package func precedes(_ other: UInt32) -> Bool { Int32(bitPattern: self &- other) < 0 }
}

// SPDX-License-Identifier: MIT
// Serial number arithmetic over 32-bit sequence numbers (RFC 1982). A number that comes from the network may lie anywhere on the
// circle, so it is first asked whether it is one of so many from a known one on (`isWithin`): the answer is exact for all 2^32 of
// them. Only behind that, or between own numbers, does an order mean anything: these are less than 2^31 apart, which a 24-bit
// window guarantees.

extension UInt32 {
  /// Whether `self` is one of the `count` numbers from `start` on. Exact wherever both lie.
  @inline(__always) package func isWithin(_ count: UInt32, from start: UInt32) -> Bool { self &- start < count }

  /// Whether `self` lies before `other`, by less than 2^31. Of two that are 2^31 apart neither does.
  @inline(__always) package func precedes(_ other: UInt32) -> Bool { Int32(bitPattern: other &- self) > 0 }

  /// How far `self` lies ahead of `other`; 0 where it does not.
  @inline(__always) package func ahead(of other: UInt32) -> Int { Swift.max(Int(Int32(bitPattern: self &- other)), 0) }
}

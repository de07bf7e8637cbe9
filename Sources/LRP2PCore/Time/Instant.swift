/// Nanoseconds on a monotonic clock that counts suspend (CLOCK_BOOTTIME on Linux), or virtual nanoseconds in a
/// simulation. Never read below the reactor: every entry into the core is told what time it is.
public typealias Instant = UInt64

/// A span of time in nanoseconds. `Duration` costs over 100 ns for each operation, so the core keeps integers.
public typealias Nanoseconds = UInt64

extension UInt64 {
  @inlinable @inline(__always) package static var never: Instant { .max }
  @inlinable @inline(__always) package static func microseconds(_ n: UInt64) -> Nanoseconds { n &* 1_000 }
  @inlinable @inline(__always) package static func milliseconds(_ n: UInt64) -> Nanoseconds { n &* 1_000_000 }
  @inlinable @inline(__always) package static func seconds(_ n: UInt64) -> Nanoseconds { n &* 1_000_000_000 }
}

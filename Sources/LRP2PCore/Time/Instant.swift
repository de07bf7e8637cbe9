// SPDX-License-Identifier: MIT
/// Nanoseconds on a monotonic clock that counts suspend (CLOCK_BOOTTIME on Linux), or virtual nanoseconds in a
/// simulation. Never read below the reactor: every entry into the core is told what time it is.
public typealias Instant = UInt64

/// A span of time in nanoseconds. `Duration` costs over 100 ns for each operation, so the core keeps integers.
public typealias Nanoseconds = UInt64

extension UInt64 {
  /// Later than every instant, and longer than every span of time.
  @inlinable @inline(__always) public static var never: Instant { .max }
  /// Up to 584 years; more wraps around.
  @inlinable @inline(__always) public static func microseconds(_ n: UInt64) -> Nanoseconds { n &* 1_000 }
  /// Up to 584 years; more wraps around.
  @inlinable @inline(__always) public static func milliseconds(_ n: UInt64) -> Nanoseconds { n &* 1_000_000 }
  /// Up to 584 years; more wraps around.
  @inlinable @inline(__always) public static func seconds(_ n: UInt64) -> Nanoseconds { n &* 1_000_000_000 }

  /// The same span in nanoseconds, rounded down: 0 of what is negative, and `.never` of more than 584 years.
  public init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    if seconds < 0 || attoseconds < 0 {
      self = 0
      return
    }
    let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, carry) = product.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000))
    self = overflow || carry ? .max : sum
  }
}

extension Duration {
  /// The same span as a `Duration`.
  public init(nanoseconds: Nanoseconds) {
    self.init(
      secondsComponent: Int64(nanoseconds / 1_000_000_000),
      attosecondsComponent: Int64(nanoseconds % 1_000_000_000) * 1_000_000_000)
  }
}

// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// How long to leave the kernel alone after a call that failed for no reason of ours: 1 ms at first, twice as long each time, up
/// to 100 ms.
package struct Backoff: BitwiseCopyable {
  static var shortest: Nanoseconds { .milliseconds(1) }
  static var longest: Nanoseconds { .milliseconds(100) }

  /// When the next call may be made; `.never`: at any time.
  package private(set) var end = Instant.never
  private var pause: Nanoseconds = 0

  @inline(__always)
  package var isOn: Bool { end != .never }

  mutating func failed(now: Instant) {
    pause = min(max(2 * pause, Self.shortest), Self.longest)
    end = now &+ pause
  }

  /// Nothing there, where something was said to be, again and again.
  mutating func foundNothing(now: Instant) { end = now &+ Self.shortest }

  mutating func succeeded() { pause = 0 }

  /// Ends the pause when its time has come.
  /// - Returns: whether it did.
  mutating func ends(now: Instant) -> Bool {
    guard isOn, now >= end else { return false }
    end = .never
    return true
  }

  /// The pause behind failure `count` in a row, from 1 on.
  static func pause(_ count: Int) -> Nanoseconds { min(shortest << UInt64(min(count - 1, 7)), longest) }
}

/// Waits that end at once with nothing: an odd one is harmless, a row of them would take the processor. Then they sleep.
struct WaitFailures: BitwiseCopyable {
  /// So many in a row are let pass: a signal or two, or what is left of a ring that was closed.
  private static var most: Int { 64 }

  private var inARow = 0
  private(set) var count: UInt64 = 0

  @inline(__always)
  mutating func succeeded() { inARow = 0 }

  /// - Parameter isSignal: then it may well be one of many that come on time, so that nobody has to wait for long.
  mutating func failed(isSignal: Bool) {
    count &+= 1
    inARow += 1
    if inARow > Self.most { lrp2p_sleep(isSignal ? Backoff.shortest : Backoff.pause((inARow - Self.most) / 8 + 1)) }
  }
}

// SPDX-License-Identifier: MIT
import CLinux

/// A descriptor that is closed with its owner.
package struct FileDescriptor: ~Copyable {
  package let raw: Int32

  /// Takes ownership of `raw`.
  package init(owning raw: Int32) { self.raw = raw }

  /// Gives ownership away.
  package consuming func release() -> Int32 {
    let raw = raw
    discard self
    return raw
  }

  deinit { _ = lrp2p_close(raw) }
}

/// CLOCK_BOOTTIME: monotonic, suspend included.
@inline(__always) package func currentInstant() -> UInt64 { lrp2p_boottime() }

/// When a wait of at most `timeout` nanoseconds that begins now is over; 0 and `.never` stay what they are.
package func instant(after timeout: UInt64) -> UInt64 {
  if timeout == 0 { return 0 }
  let (deadline, isBeyond) = currentInstant().addingReportingOverflow(timeout)
  return isBeyond ? .max : deadline
}

// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// What was received, and which messages are worth keeping: the same for every way of receiving.
package struct ReceiveTally: BitwiseCopyable {
  package var calls: UInt64 = 0
  package private(set) var messages: UInt64 = 0
  package private(set) var datagrams: UInt64 = 0
  package private(set) var bytes: UInt64 = 0
  /// Datagrams the kernel dropped because the socket's buffer was full, or its filter refused them.
  package private(set) var overflow: UInt64 = 0
  /// Messages dropped because they were longer than their place.
  package private(set) var truncated: UInt64 = 0
  /// Messages without a byte.
  package private(set) var empty: UInt64 = 0
  /// Calls that failed for any reason but a broken descriptor.
  package private(set) var failures: UInt64 = 0
  private var lastOverflow: UInt32 = 0

  /// Counts a message, and says whether it is of use.
  mutating func accepts(_ length: Int, _ control: lrp2p_control, isTruncated: Bool) -> Bool {
    if control.has_overflow {
      overflow &+= UInt64(control.overflow &- lastOverflow)
      lastOverflow = control.overflow
    }
    if isTruncated {
      truncated &+= 1
      return false
    }
    if length == 0 {
      empty &+= 1
      return false
    }
    messages &+= 1
    let segmentSize = Int(control.segment_size)
    datagrams &+= segmentSize == 0 || segmentSize >= length ? 1 : UInt64((length &+ segmentSize &- 1) / segmentSize)
    bytes &+= UInt64(length)
    return true
  }

  /// Counts a failure, unless it says that our own descriptor is broken; then false.
  mutating func excuses(_ code: Int32) -> Bool {
    switch code {
    case EBADF, ENOTSOCK, EFAULT:
      return false
    default:
      failures &+= 1
      return true
    }
  }

  /// - Parameter drops: what the socket says now; messages tell only with the next one that arrives.
  package func count(into statistics: inout ReactorStatistics, drops: UInt32?) {
    statistics.receiveCalls = calls
    statistics.messagesReceived = messages
    statistics.datagramsReceived = datagrams
    statistics.bytesReceived = bytes
    statistics.kernelDrops = overflow &+ UInt64((drops ?? lastOverflow) &- lastOverflow)
    statistics.receiveDrops = truncated &+ empty
    statistics.receiveFailures = failures
  }
}

extension DatagramBatch {
  /// Appends a received message, which lies at `offset`.
  mutating func append(
    _ length: Int, at offset: Int, from address: Address, _ control: lrp2p_control, _ locals: LocalAddresses
  ) {
    var message = Message()
    message.address = address
    message.address.local = locals.number(of: control)
    message.offset = offset
    message.length = length
    message.segmentSize = control.segment_size == 0 ? length : Int(control.segment_size)
    message.ecn = control.ecn
    messages[count] = message
    count += 1
  }
}

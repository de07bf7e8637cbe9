import CLinux
import LRP2PCore

/// Fills a batch by recvmmsg. The message headers are built over the batch once, so it serves that batch only.
@safe
package struct DatagramReceiver: ~Copyable {
  // Owned; points into `arena`, which its owner keeps at least as long as this.
  private let ring: UnsafeMutablePointer<lrp2p_message_ring>
  private let arena: UnsafeMutableRawPointer
  private let capacity: Int
  private let messageCapacity: Int
  private var lastOverflow: UInt32 = 0
  package private(set) var counters = Counters()

  package struct Counters: BitwiseCopyable {
    package var calls: UInt64 = 0
    package var messages: UInt64 = 0
    package var datagrams: UInt64 = 0
    package var bytes: UInt64 = 0
    /// Datagrams the kernel dropped because the socket's buffer was full.
    package var overflow: UInt64 = 0
    /// Messages dropped because they were longer than their place.
    package var truncated: UInt64 = 0
    /// Messages without a byte.
    package var empty: UInt64 = 0
    /// Calls that failed for a reason that passes (ENOMEM, an ICMP message).
    package var failures: UInt64 = 0
  }

  package init(over batch: borrowing DatagramBatch) {
    capacity = batch.messages.count
    messageCapacity = batch.messageCapacity
    guard let ring = unsafe lrp2p_ring_create(UInt32(capacity)) else { fatalError("out of memory") }
    unsafe self.ring = ring
    unsafe arena = batch.arena.baseAddress
    for index in 0..<capacity {
      unsafe lrp2p_ring_set_bytes(ring, UInt32(index), arena + index * messageCapacity, messageCapacity)
    }
    unsafe lrp2p_ring_rearm(ring, UInt32(capacity))
  }

  deinit { unsafe lrp2p_ring_destroy(ring) }

  /// Receives what is there, up to the batch's size, and sets its messages and `count` (0 when nothing was there).
  ///
  /// EAGAIN is an empty batch and EINTR tries again. ENOMEM, ENOBUFS and what ICMP causes (ECONNREFUSED and the
  /// like) give an empty batch and are counted: they say nothing about the socket.
  /// - Returns: whether more may be waiting.
  package mutating func fill(_ batch: inout DatagramBatch, from socket: borrowing UDPSocket) throws(SystemError)
    -> Bool
  {
    unsafe precondition(batch.arena.baseAddress == arena, "a receiver serves the batch it was made over")
    batch.clear()
    var result: Int32
    repeat {
      counters.calls &+= 1
      result = unsafe lrp2p_ring_receive(socket.descriptor.raw, ring, UInt32(capacity))
    } while result == -EINTR
    if result <= 0 { return try explain(-result) }
    for index in 0..<Int(result) { take(UInt32(index), into: &batch) }
    unsafe lrp2p_ring_rearm(ring, UInt32(result))
    return Int(result) == capacity
  }

  /// Appends message `index` of the ring to the batch, unless it is useless.
  private mutating func take(_ index: UInt32, into batch: inout DatagramBatch) {
    let length = Int(unsafe lrp2p_ring_length(ring, index))
    let control = unsafe lrp2p_control_read(ring, index)
    if control.has_overflow {
      counters.overflow &+= UInt64(control.overflow &- lastOverflow)
      lastOverflow = control.overflow
    }
    if unsafe lrp2p_ring_truncated(ring, index) {
      counters.truncated &+= 1
      return
    }
    if length == 0 {
      counters.empty &+= 1
      return
    }
    let segmentSize = control.segment_size == 0 ? length : Int(control.segment_size)
    var message = Message()
    message.address = Address(unsafe lrp2p_ring_address(ring, index))
    message.offset = Int(index) * messageCapacity
    message.length = length
    message.segmentSize = segmentSize
    message.ecn = control.ecn
    batch.messages[batch.count] = message
    batch.count += 1
    counters.messages &+= 1
    counters.datagrams &+= UInt64((length &+ segmentSize &- 1) / segmentSize)
    counters.bytes &+= UInt64(length)
  }

  private mutating func explain(_ code: Int32) throws(SystemError) -> Bool {
    switch code {
    case 0, EAGAIN:
      return false
    case ENOMEM, ENOBUFS, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN, EPROTO, EMSGSIZE, EPERM,
      EACCES:
      counters.failures &+= 1
      return false
    default:
      throw SystemError(code: code, operation: "receive datagrams")
    }
  }
}

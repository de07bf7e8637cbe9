// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// The headers of outgoing messages, made once and written anew for each batch.
@safe
struct MessageHeaders: ~Copyable {
  // Owned. Bound: `count` headers, which C does not check.
  @unsafe let ring: UnsafeMutablePointer<lrp2p_message_ring>
  let count: Int
  private let family: Int32
  private let locals: LocalAddresses
  private let trafficClass: (four: UInt8, six: UInt8)

  /// - Parameter socket: the one that will send.
  init(count: Int, for socket: borrowing UDPSocket, locals: LocalAddresses) {
    guard let ring = unsafe lrp2p_ring_create(UInt32(count)) else { fatalError("out of memory") }
    unsafe self.ring = ring
    self.count = count
    family = socket.family
    trafficClass = socket.trafficClass
    self.locals = locals
  }

  deinit { unsafe lrp2p_ring_destroy(ring) }

  /// Builds header `index` for `length` bytes of message `row` from its byte `start` on, in datagrams of `segmentSize`;
  /// false when the socket's family cannot express the destination.
  func write(
    _ index: Int, _ row: Message, start: Int, length: Int, segmentSize: Int, of batch: borrowing DatagramBatch
  ) -> Bool {
    precondition(index < count && start >= 0 && length <= row.length - start, "header or bytes out of bounds")
    precondition(row.offset >= 0 && row.offset <= batch.arena.byteCount - row.length, "message outside its arena")
    let slot = UInt32(index)
    guard unsafe lrp2p_ring_set_address(ring, slot, family, row.address.native) else { return false }
    unsafe lrp2p_ring_set_bytes(ring, slot, batch.arena.baseAddress + row.offset + start, length)
    unsafe lrp2p_control_clear(ring, slot)
    if length > segmentSize {
      unsafe lrp2p_control_put_segment(ring, slot, UInt16(truncatingIfNeeded: segmentSize))
    }
    if row.ecn != 0 {
      let isIPv4 = row.address.isIPv4
      let byte = (isIPv4 ? trafficClass.four : trafficClass.six) | row.ecn & 3
      unsafe lrp2p_control_put_traffic_class(ring, slot, isIPv4, Int32(byte))
    }
    let source = locals.source(for: row.address)
    if source != 0 {
      let address = locals[source]
      unsafe lrp2p_control_put_source(ring, slot, family, address.native, address.scope)
    }
    return true
  }

  /// Has header `index` say nothing but where the message goes: neither where it leaves from nor how it is marked.
  /// - Returns: false when that is so already.
  func bare(_ index: Int) -> Bool {
    precondition(index < count, "header out of bounds")
    guard unsafe lrp2p_control_any(ring, UInt32(index)) else { return false }
    unsafe lrp2p_control_clear(ring, UInt32(index))
    return true
  }

  /// Sends headers 0 ..< `count`, at least one.
  /// - Returns: how many the kernel has taken, or -errno for the first.
  func send(_ count: Int, to socket: borrowing UDPSocket) -> Int32 {
    precondition(count >= 1 && count <= self.count, "headers out of bounds")
    let raw = socket.descriptor.raw
    if count > 1 { return unsafe lrp2p_ring_send(raw, ring, UInt32(count)) }
    return unsafe lrp2p_control_any(ring, 0) ? lrp2p_ring_send_one(raw, ring) : lrp2p_ring_send_bytes(raw, ring)
  }

  /// Sends headers `first` ..< `end`, at least one, by one sendmmsg.
  /// - Returns: how many the kernel has taken, or -errno for the first.
  func send(_ first: Int, to end: Int, by socket: borrowing UDPSocket) -> Int32 {
    precondition(first >= 0 && first < end && end <= count, "headers out of bounds")
    return unsafe lrp2p_ring_send_from(socket.descriptor.raw, ring, UInt32(first), UInt32(end - first))
  }
}

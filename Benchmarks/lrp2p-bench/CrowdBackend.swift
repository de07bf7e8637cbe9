// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore
import LRP2PReactor

/// One socket that stands for a crowd of machines: every message leaves from an address of its own.
///
/// Toward the engine (or whoever fills the batches) a message's address is `127.x.y.z` with the responder's port; on
/// the wire that is the *source*, and the destination is the responder. What comes in is turned round the same way. So
/// to the responder each such address is another peer, and no two are merged into one message. With a responder that is
/// not on loopback no address is exchanged, and all peers share this machine's.
@safe
struct CrowdBackend: Transport, ~Copyable {
  private static var socketToken: UInt32 { 0 }
  /// How long to leave a socket alone that took nothing.
  private static var retry: Nanoseconds { 100_000 }

  private let socket: UDPSocket
  private let epoll: FileDescriptor
  // Owned. The first points into the arena of the batch it was made over: `receive` checks that it is that one.
  private let receiveRing: UnsafeMutablePointer<lrp2p_message_ring>
  private let sendRing: UnsafeMutablePointer<lrp2p_message_ring>
  private let arena: UnsafeMutableRawPointer
  private let capacity: Int
  private let messageCapacity: Int
  private let responder: Address
  let isSpread: Bool
  private var sent = 0
  private var blockedUntil: Instant = 0
  private var counters = ReactorStatistics()
  private var lastOverflow: UInt32 = 0

  private static var sendCapacity: Int { 64 }

  /// - Parameters:
  ///   - incoming: the batch that every `receive` will bring; a message is one datagram.
  ///   - receiveBuffer: of the socket, in bytes.
  init(to responder: Address, incoming: borrowing DatagramBatch, receiveBuffer: Int = 8 << 20) throws {
    let isSpread = responder.isLoopback && responder.isIPv4
    var configuration = ReactorConfiguration()
    configuration.receiveOffload = false
    configuration.socketReceiveBuffer = receiveBuffer
    let socket = try UDPSocket(
      bind: isSpread ? Address(ipv4: 0, port: 0) : responder.localEnd, configuration: configuration,
      family: isSpread ? AF_INET : AF_INET6)
    if isSpread {
      try check(
        lrp2p_set_option(socket.descriptor.raw, Int32(LRP2P_SOL_IP.rawValue), IP_PKTINFO, 1), "set IP_PKTINFO")
    }
    let epoll = FileDescriptor(owning: Int32(try check(lrp2p_epoll_create(), "create epoll")))
    try check(
      lrp2p_epoll_control(
        epoll.raw, EPOLL_CTL_ADD, socket.descriptor.raw, EPOLLIN.rawValue, Self.socketToken), "add socket to epoll")
    let capacity = incoming.messages.count
    let messageCapacity = incoming.messageCapacity
    guard let receiveRing = unsafe lrp2p_ring_create(UInt32(capacity)),
      let sendRing = unsafe lrp2p_ring_create(UInt32(Self.sendCapacity))
    else { fatalError("out of memory") }
    let arena = unsafe incoming.arena.baseAddress
    for index in 0..<capacity {
      unsafe lrp2p_ring_set_bytes(receiveRing, UInt32(index), arena + index * messageCapacity, messageCapacity)
    }
    unsafe lrp2p_ring_rearm(receiveRing, UInt32(capacity))
    self.isSpread = isSpread
    self.socket = socket
    self.epoll = epoll
    unsafe self.receiveRing = receiveRing
    unsafe self.sendRing = sendRing
    unsafe self.arena = arena
    self.capacity = capacity
    self.messageCapacity = messageCapacity
    self.responder = responder
  }

  deinit {
    unsafe lrp2p_ring_destroy(receiveRing)
    unsafe lrp2p_ring_destroy(sendRing)
  }

  /// What the engine knows the responder by in connection `number`.
  func address(_ number: Int) -> Address {
    isSpread ? Address.loopback(number).with(port: responder.port) : responder
  }

  var localAddress: Address { socket.localAddress }

  mutating func waitReadable(_ timeout: Nanoseconds) throws(SystemError) -> Bool {
    var events = lrp2p_epoll_events()
    let result = unsafe lrp2p_epoll_wait(epoll.raw, timeout, &events)
    if result < 0, result != -EINTR { throw SystemError(code: -result, operation: "wait for events") }
    return result > 0
  }

  mutating func receive(into batch: inout DatagramBatch) throws(SystemError) -> Bool {
    unsafe precondition(batch.arena.baseAddress == arena, "a backend serves the batch it was made over")
    batch.clear()
    let result = unsafe lrp2p_ring_receive(socket.descriptor.raw, receiveRing, UInt32(capacity))
    if result <= 0 {
      // What ICMP has to say about a responder that is gone shows as a connection that ends.
      guard result == 0 || [-EAGAIN, -EINTR, -ECONNREFUSED, -ENOMEM].contains(result) else {
        throw SystemError(code: -result, operation: "receive datagrams")
      }
      return false
    }
    for index in 0..<UInt32(result) { unsafe take(index, receiveRing, into: &batch) }
    unsafe lrp2p_ring_rearm(receiveRing, UInt32(result))
    return Int(result) == capacity
  }

  private mutating func take(
    _ index: UInt32, _ ring: UnsafeMutablePointer<lrp2p_message_ring>, into batch: inout DatagramBatch
  ) {
    let length = Int(unsafe lrp2p_ring_length(ring, index))
    let control = unsafe lrp2p_control_read(ring, index)
    if control.has_overflow {
      counters.kernelDrops &+= UInt64(control.overflow &- lastOverflow)
      lastOverflow = control.overflow
    }
    if unsafe length == 0 || lrp2p_ring_truncated(ring, index) { return }
    var message = Message()
    message.address =
      isSpread
      ? Address(control.destination).with(port: responder.port) : Address(unsafe lrp2p_ring_address(ring, index))
    message.offset = Int(index) * messageCapacity
    message.length = length
    message.segmentSize = length
    batch.messages[batch.count] = message
    batch.count += 1
    counters.datagramsReceived &+= 1
    counters.bytesReceived &+= UInt64(length)
  }

  mutating func send(_ batch: inout DatagramBatch, now: Instant) throws(SystemError) -> Bool {
    while sent < batch.count {
      let count = min(batch.count - sent, Self.sendCapacity)
      for index in 0..<count { write(batch.messages[sent + index], at: UInt32(index), &batch) }
      let result = unsafe lrp2p_ring_send(socket.descriptor.raw, sendRing, UInt32(count))
      if result > 0 {
        for index in sent..<sent + Int(result) {
          let message = batch.messages[index]
          counters.datagramsSent &+= UInt64((message.length + message.segmentSize - 1) / message.segmentSize)
          counters.bytesSent &+= UInt64(message.length)
        }
        sent += Int(result)
      } else if result == -EAGAIN || result == -ENOBUFS {
        blockedUntil = now &+ Self.retry
        return false
      } else if result == -ECONNREFUSED || result == -EPERM {
        // About an earlier one, or dropped on its way out: on with the next.
        sent += result == -EPERM ? 1 : 0
      } else if result != -EINTR {
        throw SystemError(code: -result, operation: "send to \(responder)")
      }
    }
    sent = 0
    blockedUntil = 0
    batch.clear()
    return true
  }

  private mutating func write(_ message: Message, at index: UInt32, _ batch: inout DatagramBatch) {
    precondition(message.offset >= 0 && message.offset <= batch.arena.byteCount - message.length)
    let destination = isSpread ? responder : message.address
    let isExpressed = unsafe lrp2p_ring_set_address(sendRing, index, socket.family, destination.native)
    precondition(isExpressed, "the responder's family is the socket's")
    unsafe lrp2p_ring_set_bytes(sendRing, index, batch.arena.baseAddress + message.offset, message.length)
    unsafe lrp2p_control_clear(sendRing, index)
    if isSpread { unsafe lrp2p_control_put_source(sendRing, index, socket.family, message.address.native, 0) }
    if message.length > message.segmentSize {
      unsafe lrp2p_control_put_segment(sendRing, index, UInt16(truncatingIfNeeded: message.segmentSize))
    }
  }

  func canSend(now: Instant) -> Bool { now >= blockedUntil }

  var sendDeadline: Instant { blockedUntil == 0 ? .never : blockedUntil }

  func count(into statistics: inout ReactorStatistics) { statistics = counters }
}

// SPDX-License-Identifier: MIT
import CBenchSystem
import CLinux
import LRP2PCore
import LRP2PReactor

/// Single datagrams without any protocol: one system call each way, and the same wait as a reactor's.
struct RawUDP: ~Copyable {
  private let socket: UDPSocket
  private let epoll: FileDescriptor
  private let isSpinning: Bool
  var buffer = Arena(byteCount: 65_536)

  init(bind address: Address, spin: Bool) throws {
    var configuration = ReactorConfiguration()
    configuration.receiveOffload = false
    let socket = try UDPSocket(bind: address, configuration: configuration)
    let epoll = FileDescriptor(owning: Int32(try check(lrp2p_epoll_create(), "create epoll")))
    try check(
      lrp2p_epoll_control(epoll.raw, EPOLL_CTL_ADD, socket.descriptor.raw, EPOLLIN.rawValue, 0), "add socket to epoll")
    self.epoll = epoll
    self.socket = socket
    isSpinning = spin
  }

  var localAddress: Address { socket.localAddress }

  /// Sends `count` bytes of the buffer from `offset` on.
  mutating func send(_ count: Int, from offset: Int = 0, to address: Address) throws {
    precondition(offset >= 0 && count >= 0 && offset <= buffer.byteCount - count)
    let result = unsafe bench_send_to(
      socket.descriptor.raw, socket.family, address.native, buffer.baseAddress + offset, count)
    if result != -Int(EAGAIN) { try check(result, "send to \(address)") }
  }

  /// Waits for a datagram and puts it into the buffer; nil when none has come by `deadline`.
  mutating func receive(until deadline: Instant) throws -> (count: Int, from: Address)? {
    while true {
      var events = lrp2p_epoll_events()
      let now = currentInstant()
      if now >= deadline { return nil }
      let ready = unsafe lrp2p_epoll_wait(epoll.raw, isSpinning ? 0 : deadline &- now, &events)
      if ready != -EINTR { try check(ready, "wait for a datagram") }
      if ready <= 0 { continue }
      var from = lrp2p_address()
      let count = unsafe bench_receive_from(socket.descriptor.raw, &from, buffer.baseAddress, buffer.byteCount)
      if count >= 0 { return (count, Address(from)) }
      // A datagram with a bad checksum, or what ICMP has to say, wakes and is not there.
      if count != -Int(EAGAIN), count != -Int(ECONNREFUSED) { try check(count, "receive a datagram") }
    }
  }
}

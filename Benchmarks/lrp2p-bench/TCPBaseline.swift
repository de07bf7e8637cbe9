// SPDX-License-Identifier: MIT
import CBenchSystem
import LRP2PCore
import LRP2PReactor

/// Kernel TCP in plain text, with segments as large as the protocol's datagrams.
enum TCPBaseline {
  /// Bytes of one send or receive: enough to make the system call cheap, little enough for the cache.
  private static let bufferLength = 128 << 10
  private static let again = -Int(EAGAIN)

  static func send(_ job: Job, to address: Address) throws -> Measurement {
    let socket = try connect(job, to: address)
    var arena = Arena(byteCount: bufferLength)
    let pattern = Pattern(number: 0)
    var offset: UInt64 = 0
    var meter = Meter(length: job.length)
    meter.begin(at: currentInstant())
    while !meter.isDone {
      var bytes = arena.mutableBytes(0, bufferLength)
      pattern.fill(offset: offset, into: &bytes)
      var sent = 0
      while sent < bufferLength, !meter.isDone {
        let result = unsafe bench_send(socket.raw, arena.baseAddress + sent, bufferLength - sent)
        let now = currentInstant()
        // The receiver's clock may end the run a moment before this one's.
        let isEarlyEnd = result < 0 && result != again && meter.isNearEnd(at: now)
        if !isEarlyEnd, result != again { sent += try check(result, "send to \(address) by TCP") }
        if isEarlyEnd || meter.isDue(at: now) { meter.take(Measurement(), at: now) }
      }
      offset &+= UInt64(sent)
    }
    return meter.result!
  }

  /// The receiver may start later.
  private static func connect(_ job: Job, to address: Address) throws -> FileDescriptor {
    let deadline = currentInstant() &+ .seconds(20)
    while true {
      let result = bench_tcp_connect(address.native, Int32(job.datagram))
      if result != -ECONNREFUSED || currentInstant() > deadline {
        return FileDescriptor(owning: Int32(try check(result, "connect to \(address) by TCP")))
      }
      _ = bench_wait_readable(-1, .milliseconds(50))
    }
  }

  static func receive(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> Measurement {
    let listener = FileDescriptor(
      owning: Int32(try check(bench_tcp_listen(address.native, Int32(job.datagram)), "listen at \(address) by TCP")))
    var local = lrp2p_address()
    try check(unsafe lrp2p_local_address(listener.raw, &local), "read local address")
    announce(Address(local))
    let longestWait = min(job.longestWait, .seconds(1 << 30))
    let socket = FileDescriptor(
      owning: Int32(try check(bench_tcp_accept(listener.raw, longestWait), "accept a TCP connection")))
    let arena = Arena(byteCount: bufferLength)
    let pattern = Pattern(number: 0)
    var delivered: UInt64 = 0
    var wrongPieces: UInt64 = 0
    var meter = Meter(length: job.length)
    while !meter.isDone {
      let count = unsafe bench_receive(socket.raw, arena.baseAddress, bufferLength)
      if count != again { try check(count, "receive by TCP") }
      if count > 0 {
        if !pattern.matches(arena.bytes(0, count), offset: delivered) { wrongPieces += 1 }
        delivered &+= UInt64(count)
      }
      let now = currentInstant()
      if !meter.isStarted { meter.begin(at: now) }
      if count == 0, !meter.isNearEnd(at: now) { throw Failure("the TCP connection ended early") }
      if count == 0 || meter.isDue(at: now) {
        var counters = Measurement()
        counters[.bytesDelivered] = delivered
        meter.take(counters, at: now)
      }
    }
    var result = meter.result!
    result[.wrongPieces] = wrongPieces
    return result
  }
}

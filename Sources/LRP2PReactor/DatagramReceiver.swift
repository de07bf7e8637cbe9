// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// Fills a batch by recvmmsg. The message headers are built over the batch once, so it serves that batch only.
///
/// Where datagrams come one by one, as requests or their answers do, recvmsg takes them: recvmmsg reads two headers, and asks the
/// socket twice, to find that there is but one. Every so often it has a look all the same.
@safe
package struct DatagramReceiver: ~Copyable {
  // Owned; points into `arena`, which its owner keeps at least as long as this.
  private let ring: UnsafeMutablePointer<lrp2p_message_ring>
  private let arena: UnsafeMutableRawPointer
  private let capacity: Int
  private let messageCapacity: Int
  private let locals: LocalAddresses
  package private(set) var tally = ReceiveTally()
  /// Calls in a row that have brought a single datagram, as far as they count since the last look for more.
  private var singles = 0
  /// recvmmsg, or recvmsg, is missing or forbidden here: the other one has to do.
  private var lacksMany = false
  private var lacksOne = false
  /// Calls in a row that have found nothing.
  private var nothings = 0
  /// Failures since the last call that was none, and what they cost.
  package private(set) var backoff = Backoff()
  /// Whether the network's errors come: then a call may bring one of them, and the next one what there is.
  package var isHearing = false

  package init(over batch: borrowing DatagramBatch, locals: LocalAddresses = .none) {
    self.locals = locals
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
  /// EAGAIN is an empty batch and EINTR tries again. Any other failure that does not say that the descriptor is broken gives an
  /// empty batch, too, is counted, and begins a pause: `backoff`, which is for the caller to keep.
  /// - Returns: whether more is likely to be waiting. What may be all the same ends the next wait at once.
  package mutating func fill(_ batch: inout DatagramBatch, from socket: borrowing UDPSocket) throws(SystemError)
    -> Bool
  {
    unsafe precondition(batch.arena.baseAddress == arena, "a receiver serves the batch it was made over")
    batch.clear()
    if singles == Self.singlesBeforeLook { singles = Self.singlesBeforeOne - 1 }
    let result = call(socket)
    if result <= 0 { return try explain(-result) }
    backoff.succeeded()
    nothings = 0
    for index in 0..<Int(result) { take(UInt32(index), into: &batch) }
    unsafe lrp2p_ring_rearm(ring, UInt32(result))
    let isSingle = result == 1 && batch.count == 1 && batch.messages[0].length <= batch.messages[0].segmentSize
    singles = isSingle ? singles + 1 : 0
    return Int(result) == capacity || (lacksMany && batch.count > 0)
  }

  private mutating func call(_ socket: borrowing UDPSocket) -> Int32 {
    var result = -EINTR
    for _ in 0..<Self.mostInterruptions where result == -EINTR {
      tally.calls &+= 1
      let takesOne = !lacksOne && (lacksMany || singles >= Self.singlesBeforeOne)
      result =
        takesOne
        ? unsafe lrp2p_ring_receive_one(socket.descriptor.raw, ring)
        : unsafe lrp2p_ring_receive(socket.descriptor.raw, ring, UInt32(capacity))
      if isHearing, result < 0, SendFault.isOfNetwork(-result) { result = -EINTR }
      // No socket says so, but a filter of system calls does.
      if result == -ENOSYS || result == -EPERM, !lacksMany || !lacksOne {
        if takesOne { lacksOne = true } else { lacksMany = true }
        result = -EINTR
      }
    }
    return result
  }

  private static var mostInterruptions: Int { 16 }
  private static var mostNothings: Int { 64 }

  /// Ends the pause when its time has come.
  /// - Returns: whether it did.
  package mutating func resume(now: Instant) -> Bool { backoff.ends(now: now) }

  /// Begins another one.
  mutating func pause(now: Instant) { backoff.failed(now: now) }

  /// So many single datagrams in a row, and they are taken one by one; so many, and one call looks for more.
  private static var singlesBeforeOne: Int { 8 }
  private static var singlesBeforeLook: Int { 24 }

  /// Appends message `index` of the ring to the batch, unless it is useless.
  private mutating func take(_ index: UInt32, into batch: inout DatagramBatch) {
    let control = unsafe lrp2p_control_read(ring, index)
    let isTruncated = unsafe lrp2p_ring_truncated(ring, index)
    let length = Int(unsafe lrp2p_ring_length(ring, index))
    guard tally.accepts(length, control, isTruncated: isTruncated) else { return }
    batch.append(
      length, at: Int(index) * messageCapacity, from: Address(unsafe lrp2p_ring_address(ring, index)), control, locals)
  }

  private mutating func explain(_ code: Int32) throws(SystemError) -> Bool {
    if code == 0 || code == EAGAIN {
      // A datagram with a wrong checksum makes the socket readable, and is not there when it is asked for.
      nothings += 1
      if nothings > Self.mostNothings { backoff.foundNothing(now: currentInstant()) } else { backoff.succeeded() }
      return false
    }
    guard tally.excuses(code) else { throw SystemError(code: code, operation: "receive datagrams") }
    backoff.failed(now: currentInstant())
    return false
  }
}

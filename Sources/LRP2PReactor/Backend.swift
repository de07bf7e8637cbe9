// SPDX-License-Identifier: MIT
import LRP2PCore

/// What ended a wait.
package struct Wake: BitwiseCopyable {
  /// Datagrams may be waiting.
  package var isReadable = false
  /// The reactor's remote called.
  package var isSignalled = false
  /// Descriptors of the user are ready.
  package var hasDescriptors = false
  /// Own addresses may have come or gone.
  package var hasAddressChanges = false
  /// The kernel ended it for a signal, or for work that it had for the thread: what is left of a closed io_uring does that, too.
  package var isInterrupted = false

  package var hasEvent: Bool { isReadable || isSignalled || hasDescriptors || hasAddressChanges }
}

/// What moves batches between the kernel and the reactor. A backend delivers and takes *completed* batches, so that
/// readiness (epoll) and completion (io_uring) look the same: where the kernel fills a batch by itself, `receive` tells
/// what is in it, and gives back the places of the call before. Nothing here is called per datagram.
package protocol Backend: ~Copyable {
  /// Blocks until something can be done, at most until `deadline` (0: does not block, `.never`: for ever). It may end early
  /// with nothing to do.
  mutating func wait(until deadline: Instant) throws(SystemError) -> Wake

  /// Brings the next received messages, none when nothing is there.
  /// - Returns: whether more may be waiting.
  mutating func receive(into batch: inout DatagramBatch) throws(SystemError) -> Bool

  /// Sends the batch and clears it.
  /// - Returns: false when the rest has to wait: the batch then holds at least the rest, and the next call brings it
  ///   again.
  mutating func send(_ batch: inout DatagramBatch, now: Instant) throws(SystemError) -> Bool

  /// Whether the socket takes datagrams, as far as the calls so far have told.
  var sendState: SendState { get }

  /// When a wait has to end so that receiving goes on behind a failure; `.never` when it does.
  var receiveDeadline: Instant { get }

  /// Has the network's errors come, or not.
  mutating func hear(_ isOn: Bool)

  /// Reads the network's errors that have come.
  mutating func readFaults(into faults: inout DialFaults)

  /// Ends waits also for errors of this socket.
  mutating func watchErrors(of descriptor: Int32)

  /// Reports to the engine the datagrams that the kernel has refused to send, while errors come.
  /// - Returns: whether there were any.
  mutating func reportRefusals(to engine: inout Engine) -> Bool

  /// Adds what the backend counts.
  func count(into statistics: inout ReactorStatistics)
}

extension Backend where Self: ~Copyable {
  /// Whether a send at `now` has a chance.
  @inline(__always)
  package func canSend(now: Instant) -> Bool { sendState.canSend(now: now) }

  /// When a send has a chance again without an event that would end the wait; `.never` when there is no such time.
  @inline(__always)
  package var sendDeadline: Instant { sendState.deadline }
}

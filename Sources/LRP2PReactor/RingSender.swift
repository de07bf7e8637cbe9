// SPDX-License-Identifier: MIT
import CLinux
import CUring
import LRP2PCore

/// Sends a batch by an io_uring: each message one request, all of them submitted by one call. (A lone datagram goes without.)
///
/// A send does not wait for room, so it completes inside the call that submits it, and they are done in their order.
/// What the ring did not send, for whatever reason, goes to a `DatagramSender`, which knows every fault: the same errors
/// have the same consequences, whichever backend met them.
@safe
struct RingSender: ~Copyable {
  /// A message that no completion has told of yet.
  private static var pending: Int32 { .min }

  /// For one window of the batch after the other: the call that submits a request reads its header.
  private let headers: MessageHeaders
  private let maximumSegments: Int
  /// Of each message of the batch: what the kernel said.
  private var results: Column<Int32>
  /// Messages of the batch before this one are prepared, or left to `fallback`.
  private var prepared = 0
  /// Requests without a completion.
  private(set) var inFlight = 0
  /// Whether the batch is with `fallback`.
  private var isFallingBack = false
  private var fallback: DatagramSender
  var isHearing: Bool {
    get { fallback.isHearing }
    set { fallback.isHearing = newValue }
  }
  private var calls: UInt64 = 0
  private var datagrams: UInt64 = 0
  private var bytes: UInt64 = 0

  /// The most requests in one call.
  static func window(messages: Int) -> Int { min(messages, 64) }

  init(for socket: borrowing UDPSocket, messages: Int, maximumSegments: Int, locals: LocalAddresses) {
    headers = MessageHeaders(count: Self.window(messages: messages), for: socket, locals: locals)
    self.maximumSegments = maximumSegments
    results = Column(repeating: Self.pending, count: messages)
    fallback = DatagramSender(for: socket, maximumSegments: maximumSegments, locals: locals)
  }

  func count(into statistics: inout ReactorStatistics) {
    fallback.count(into: &statistics)
    statistics.sendCalls &+= calls
    statistics.datagramsSent &+= datagrams
    statistics.bytesSent &+= bytes
  }

  mutating func report(to engine: inout Engine) -> Bool { fallback.faults.report(to: &engine) }

  /// Notes a completion of message `index`.
  mutating func complete(_ index: Int, _ result: Int32) {
    results[index] = result
    inFlight -= 1
  }

  mutating func countCall() { calls &+= 1 }

  /// The ring is gone, and with it what it had not told.
  mutating func forget() { inFlight = 0 }

  /// Prepares the next messages of the batch, when none is in flight.
  /// - Returns: whether there are any: else the batch is ready for `finish`.
  mutating func prepare(_ batch: borrowing DatagramBatch, on ring: borrowing CompletionRing, now: Instant) -> Bool {
    // A lone datagram is sent sooner by a call of its own. Without offload each datagram would be a request of its own, which is
    // no better than sendmmsg.
    if prepared == 0, isLoneDatagram(batch) || !fallback.segmentationOffload(now: now) { isFallingBack = true }
    if isFallingBack { return false }
    while prepared < batch.count, inFlight < headers.count {
      let row = batch.messages[prepared]
      results[prepared] = Self.pending
      if write(row, at: inFlight, batch, now) {
        unsafe ring.send(lrp2p_ring_header(headers.ring, UInt32(inFlight)), token: UInt64(prepared))
        inFlight += 1
      }
      prepared += 1
    }
    return inFlight > 0
  }

  private func isLoneDatagram(_ batch: borrowing DatagramBatch) -> Bool {
    batch.count == 1 && batch.messages[0].length <= batch.messages[0].segmentSize
  }

  /// Builds a header; false for a message that `fallback` has to look at.
  // Not inlined, it would have a copy of the whole sender made.
  @inline(__always)
  private func write(_ row: Message, at index: Int, _ batch: borrowing DatagramBatch, _ now: Instant) -> Bool {
    guard row.segmentSize > 0, row.length <= row.segmentSize * maximumSegments,
      row.length <= row.segmentSize || fallback.takesBursts(row.address, now: now)
    else { return false }
    return headers.write(index, row, start: 0, length: row.length, segmentSize: row.segmentSize, of: batch)
  }

  /// Brings the batch to its end when nothing of it is in flight. Until the result is `done` it holds what is left, and
  /// the next call has to bring it again.
  mutating func finish(_ batch: inout DatagramBatch, to socket: borrowing UDPSocket, now: Instant) throws(SystemError)
    -> SendProgress
  {
    if !isFallingBack {
      keepUnsent(&batch)
      if batch.count == 0 { return .done }
      isFallingBack = true
    }
    let progress = try fallback.send(&batch, to: socket, now: now)
    if progress == .done { isFallingBack = false }
    return progress
  }

  /// Removes the messages that are sent from the batch.
  private mutating func keepUnsent(_ batch: inout DatagramBatch) {
    var kept = 0
    for index in 0..<batch.count {
      let row = batch.messages[index]
      if index < prepared, results[index] >= 0 {
        datagrams &+= UInt64((row.length + row.segmentSize - 1) / row.segmentSize)
        bytes &+= UInt64(row.length)
        if row.length > row.segmentSize { fallback.burstLeft() }
      } else {
        batch.messages[kept] = row
        kept += 1
      }
    }
    batch.count = kept
    prepared = 0
  }
}

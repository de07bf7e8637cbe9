import CLinux
import LRP2PCore

/// How far the sending of a batch got.
package enum SendProgress: Equatable {
  /// Every message is sent or dropped.
  case done
  /// The socket's buffer is full; go on with the same batch when it is writable.
  case blocked
  /// The kernel was out of memory; go on with the same batch in a moment.
  case shortOfBuffers
}

/// Sends a batch by sendmmsg (a single message by sendmsg or sendto), bursts by UDP_SEGMENT where the socket can.
///
/// It keeps its place in the batch across calls: until `send` says `done`, the next call has to bring the same batch.
@safe
package struct DatagramSender: ~Copyable {
  /// What one header of the ring carries: datagrams of one message, side by side.
  /// (Not private: who holds a sender in another file could then not be compiled without optimisation.)
  struct Entry: BitwiseCopyable {
    var message = 0
    /// From the message's first byte.
    var start = 0
    var length = 0
    var segmentSize = 0
    var datagrams: Int { length <= segmentSize ? 1 : (length + segmentSize - 1) / segmentSize }
  }

  private let headers: MessageHeaders
  private var entries: Column<Entry>
  /// Datagrams in one kernel message; 1 without segmentation offload.
  private var segmentsPerEntry: Int
  // The place in the batch: bytes of message `message` before `start` are sent.
  private var message = 0
  private var start = 0
  /// After EINVAL on a burst: its next datagram goes alone, to find out whether offload or the message is at fault.
  private var isProbing = false
  package private(set) var counters = Counters()

  package struct Counters: BitwiseCopyable {
    package var calls: UInt64 = 0
    package var datagrams: UInt64 = 0
    package var bytes: UInt64 = 0
    /// Datagrams dropped for EMSGSIZE.
    package var tooLarge: UInt64 = 0
    /// Datagrams dropped because the kernel refused their destination.
    package var undeliverable: UInt64 = 0
    /// Calls that found the socket's buffer full.
    package var blocked: UInt64 = 0
    /// Calls that found the kernel short of memory.
    package var shortOfBuffers: UInt64 = 0
  }

  /// Whether bursts leave as one message. Goes from true to false when the kernel refuses one, never back.
  package var segmentationOffload: Bool { segmentsPerEntry > 1 }

  /// - Parameter maximumSegments: datagrams in one kernel message; the kernel takes 64, since Linux 6.9 128.
  package init(for socket: borrowing UDPSocket, maximumSegments: Int) {
    // Without offload every datagram takes a header of its own, and a call should still carry many.
    let capacity = 64
    headers = MessageHeaders(count: capacity, for: socket)
    entries = Column(repeating: Entry(), count: capacity)
    segmentsPerEntry = socket.segmentationOffload ? maximumSegments : 1
  }

  /// Adds what is counted here.
  func count(into statistics: inout ReactorStatistics) {
    statistics.sendCalls &+= counters.calls
    statistics.datagramsSent &+= counters.datagrams
    statistics.bytesSent &+= counters.bytes
    statistics.sendDropsTooLarge &+= counters.tooLarge
    statistics.sendDropsUndeliverable &+= counters.undeliverable
    statistics.sendBlocked &+= counters.blocked
    statistics.sendShortOfBuffers &+= counters.shortOfBuffers
    statistics.segmentationOffload = segmentationOffload
  }

  /// Sends the batch from where the last call left off. The batch is not changed; when the result is `done` the
  /// caller clears it.
  package mutating func send(_ batch: inout DatagramBatch, to socket: borrowing UDPSocket) throws(SystemError)
    -> SendProgress
  {
    if sendsAlone(batch, to: socket) { return .done }
    while true {
      let count = prepare(&batch)
      if count == 0 {
        message = 0
        start = 0
        return .done
      }
      counters.calls &+= 1
      let result = headers.send(count, to: socket)
      if result > 0 {
        advance(past: Int(result))
        continue
      }
      let head = entries[0]
      switch SendFault(errno: -result, isSegmented: head.length > head.segmentSize) {
      case .interrupted:
        continue
      case .wouldBlock:
        counters.blocked &+= 1
        return .blocked
      case .shortOfBuffers:
        counters.shortOfBuffers &+= 1
        return .shortOfBuffers
      case .offloadUnsupported:
        segmentsPerEntry = 1
      case .offloadSuspect:
        isProbing = true
      case .tooLarge:
        counters.tooLarge &+= dropMessage(batch)
      case .undeliverable:
        counters.undeliverable &+= dropMessage(batch)
      case .fatal:
        throw SystemError(
          code: -result, operation: "send \(head.length) bytes to \(batch.messages[head.message].address)")
      }
    }
  }

  /// Sends a batch that is a single datagram, as the answer to a request is, without keeping a place in it.
  /// - Returns: whether it has left: what does not go this way is for the long one, faults too.
  @inline(__always)
  private mutating func sendsAlone(_ batch: borrowing DatagramBatch, to socket: borrowing UDPSocket) -> Bool {
    guard batch.count == 1, message == 0, start == 0, !isProbing else { return false }
    let row = batch.messages[0]
    guard row.length > 0, row.length <= row.segmentSize,
      headers.write(0, row, start: 0, length: row.length, segmentSize: row.segmentSize, of: batch)
    else { return false }
    counters.calls &+= 1
    guard headers.send(1, to: socket) > 0 else { return false }
    counters.datagrams &+= 1
    counters.bytes &+= UInt64(row.length)
    return true
  }

  /// Writes headers for the datagrams that come next and returns how many headers there are.
  private mutating func prepare(_ batch: inout DatagramBatch) -> Int {
    let limit = isProbing ? 1 : entries.count
    let segments = isProbing ? 1 : segmentsPerEntry
    var count = 0
    var index = message
    var from = start
    while count < limit, index < batch.count {
      let row = batch.messages[index]
      if from >= row.length {
        index += 1
        from = 0
        continue
      }
      let segmentSize = row.segmentSize > 0 ? row.segmentSize : row.length
      let length = min(row.length - from, segmentSize * segments)
      let entry = Entry(message: index, start: from, length: length, segmentSize: segmentSize)
      if !headers.write(count, row, start: from, length: length, segmentSize: segmentSize, of: batch) {
        // An IPv6 destination on an IPv4 socket. Found at the head, so that the place in the batch is right.
        if count > 0 { break }
        (message, start) = (index, from)
        counters.undeliverable &+= dropMessage(batch)
        index = message
        from = 0
        continue
      }
      entries[count] = entry
      count += 1
      from += length
    }
    return count
  }

  /// Moves the place behind the first `sent` entries.
  private mutating func advance(past sent: Int) {
    for index in 0..<sent {
      counters.datagrams &+= UInt64(entries[index].datagrams)
      counters.bytes &+= UInt64(entries[index].length)
    }
    let last = entries[sent - 1]
    message = last.message
    start = last.start + last.length
    if isProbing {
      // Alone it went: offload is what the kernel refused.
      isProbing = false
      segmentsPerEntry = 1
    }
  }

  /// Moves the place behind the message it is in and returns how many datagrams that leaves unsent.
  private mutating func dropMessage(_ batch: borrowing DatagramBatch) -> UInt64 {
    // The place may still stand at the end of the message before.
    while message < batch.count, start >= batch.messages[message].length {
      message += 1
      start = 0
    }
    isProbing = false
    guard message < batch.count else { return 0 }
    let row = batch.messages[message]
    let segmentSize = row.segmentSize > 0 ? row.segmentSize : row.length
    let dropped = (row.length - start + segmentSize - 1) / segmentSize
    message += 1
    start = 0
    return UInt64(dropped)
  }
}

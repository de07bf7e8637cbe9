// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// How far the sending of a batch got.
package enum SendProgress: Equatable {
  /// Every message is sent or dropped.
  case done
  /// The socket's buffer is full; go on with the same batch when it is writable.
  case blocked
  /// The kernel was out of memory, or says without reason that the buffer is full; go on with the same batch behind a pause.
  case later(Nanoseconds)
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
  private let segmentsPerEntry: Int
  private var refusals = BurstRefusals()
  // The place in the batch: bytes of message `message` before `start` are sent.
  private var message = 0
  private var start = 0
  /// After a refused burst: its next datagram goes alone, to find out whether offload or the message is at fault.
  private var isProbing = false
  /// The message at the place goes from where the kernel likes, to find out whether its source is at fault.
  private var isUnsourced = false
  private let locals: LocalAddresses
  /// Calls in a row that the same message has held up.
  private var holds = 0
  /// Whether the network's errors come: then an errno may be about another datagram, and what is dropped is noted.
  package var isHearing = false
  var faults = DialFaults()
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
    /// Datagrams dropped because they would have held up all others for good.
    package var stuck: UInt64 = 0
  }

  /// So often a message may hold up the others; with the pauses in between an eighth of a second.
  private static var mostHolds: Int { 8 }
  private static var mostInterruptions: Int { 16 }
  /// An errno that may be about another datagram is taken for this one's when so many calls in a row bring such.
  private static var mostForeign: Int { 16 }

  /// Whether bursts leave as one message, but to those that refuse them.
  @inline(__always)
  package func segmentationOffload(now: Instant) -> Bool { segmentsPerEntry > 1 && !refusals.isOff(now: now) }

  /// Whether a burst to `address` is worth trying.
  @inline(__always)
  func takesBursts(_ address: Address, now: Instant) -> Bool { refusals.permits(address, now: now) }

  /// A burst has left by another way.
  @inline(__always)
  mutating func burstLeft() { refusals.burstLeft() }

  /// - Parameter maximumSegments: datagrams in one kernel message; the kernel takes 64, since Linux 6.9 128.
  package init(for socket: borrowing UDPSocket, maximumSegments: Int, locals: LocalAddresses = .none) {
    self.locals = locals
    // Without offload every datagram takes a header of its own, and a call should still carry many.
    let capacity = 64
    headers = MessageHeaders(count: capacity, for: socket, locals: locals)
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
    statistics.sendDropsStuck &+= counters.stuck
    statistics.segmentationOffload = segmentationOffload(now: currentInstant())
  }

  /// Sends the batch from where the last call left off. The batch is not changed; when the result is `done` the
  /// caller clears it.
  package mutating func send(_ batch: inout DatagramBatch, to socket: borrowing UDPSocket, now: Instant)
    throws(SystemError) -> SendProgress
  {
    var interruptions = 0
    var foreign = 0
    while true {
      let count = prepare(&batch, now)
      if count == 0 {
        message = 0
        start = 0
        return .done
      }
      counters.calls &+= 1
      let result = headers.send(count, to: socket)
      if result > 0 {
        advance(past: Int(result), batch, now)
        foreign = 0
        continue
      }
      let head = entries[0]
      if isHearing, SendFault.isOfNetwork(-result) {
        foreign += 1
        if foreign < Self.mostForeign { continue }
        foreign = 0
        if SendFault.isOfNetworkOnly(-result) {
          if let pause = hold(batch) { return .later(pause) }
          continue
        }
      }
      if SendFault.isOfSource(-result), !isUnsourced, locals.source(for: batch.messages[head.message].address) != 0 {
        isUnsourced = true
        continue
      }
      switch SendFault(errno: -result, isSegmented: head.length > head.segmentSize) {
      case .interrupted:
        interruptions += 1
        if interruptions > Self.mostInterruptions, let pause = hold(batch) { return .later(pause) }
      case .wouldBlock:
        counters.blocked &+= 1
        // The first time an event tells when there is room. If that was no room for this one, only time helps.
        if holds == 0 {
          holds = 1
          return .blocked
        }
        if let pause = hold(batch) { return .later(pause) }
      case .shortOfBuffers:
        counters.shortOfBuffers &+= 1
        if let pause = hold(batch) { return .later(pause) }
      case .burstSuspect:
        isProbing = true
      case .tooLarge:
        note(batch, head.message, head.start, -result)
        counters.tooLarge &+= dropMessage(batch)
      case .undeliverable:
        note(batch, head.message, head.start, -result)
        counters.undeliverable &+= dropMessage(batch)
      case .fatal:
        throw SystemError(
          code: -result, operation: "send \(head.length) bytes to \(batch.messages[head.message].address)")
      }
    }
  }

  /// The kernel does not take a message: it may be a dial's.
  @inline(never)
  private mutating func note(_ batch: borrowing DatagramBatch, _ index: Int, _ start: Int, _ code: Int32) {
    let row = batch.messages[index]
    guard isHearing, row.length - start >= 8 else { return }
    let id = batch.arena.bytes(row.offset + start, 8).bigEndian64(0)
    faults.append(id, to: row.address, DialFault(refused: code), by: .kernel)
  }

  /// The message at the place cannot leave now.
  /// - Returns: how long to leave it; nil when it has held up the others too often, and is dropped.
  private mutating func hold(_ batch: borrowing DatagramBatch) -> Nanoseconds? {
    holds += 1
    if holds <= Self.mostHolds { return Backoff.pause(holds) }
    counters.stuck &+= dropMessage(batch)
    return nil
  }

  /// Writes headers for the datagrams that come next and returns how many headers there are.
  private mutating func prepare(_ batch: inout DatagramBatch, _ now: Instant) -> Int {
    let limit = isProbing || isUnsourced ? 1 : entries.count
    let most = isProbing ? 1 : segmentsPerEntry
    var count = 0
    var index = message
    var from = start
    while count < limit, index < batch.count {
      var row = batch.messages[index]
      if from >= row.length {
        index += 1
        from = 0
        continue
      }
      if isUnsourced { row.address.local = 0 }
      let segmentSize = row.segmentSize > 0 ? row.segmentSize : row.length
      let segments = refusals.permits(row.address, now: now) ? most : 1
      let length = min(row.length - from, segmentSize * segments)
      let entry = Entry(message: index, start: from, length: length, segmentSize: segmentSize)
      if !headers.write(count, row, start: from, length: length, segmentSize: segmentSize, of: batch) {
        // An IPv6 destination on an IPv4 socket. Found at the head, so that the place in the batch is right.
        if count > 0 { break }
        (message, start) = (index, from)
        note(batch, index, from, EAFNOSUPPORT)
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
  private mutating func advance(past sent: Int, _ batch: borrowing DatagramBatch, _ now: Instant) {
    for index in 0..<sent {
      let datagrams = entries[index].datagrams
      if datagrams > 1 { refusals.burstLeft() }
      counters.datagrams &+= UInt64(datagrams)
      counters.bytes &+= UInt64(entries[index].length)
    }
    let last = entries[sent - 1]
    message = last.message
    start = last.start + last.length
    holds = 0
    // It is the source that the kernel refused; or the burst, and then the source is tried again.
    if isUnsourced, !isProbing { locals.refuse(batch.messages[message].address.local) }
    isUnsourced = false
    if isProbing {
      // Alone it went: the burst is what the kernel refused.
      isProbing = false
      refusals.refuse(batch.messages[message].address, now: now)
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
    isUnsourced = false
    holds = 0
    guard message < batch.count else { return 0 }
    let row = batch.messages[message]
    let segmentSize = row.segmentSize > 0 ? row.segmentSize : row.length
    let dropped = (row.length - start + segmentSize - 1) / segmentSize
    message += 1
    start = 0
    return UInt64(dropped)
  }
}

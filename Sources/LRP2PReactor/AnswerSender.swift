// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// Sends what goes to addresses that have not proved themselves, by a socket of its own on the same port.
///
/// Whoever forges the addresses of dead neighbours has the kernel keep the answers until it gives up on them, seconds later, and they
/// count against the buffer of the socket that sent them. Here they fill none that anybody else needs. What finds no room is
/// dropped at once: a stranger repeats its message, if there is one. See docs/decisions/answers-apart.md.
package struct AnswerSender: ~Copyable {
  /// What the kernel may keep of such answers, in bytes; it counts a short datagram as some 800. With the 212,992 that a process
  /// without privileges gets at most, it is some 500 datagrams.
  package static var sendBuffer: Int { 256 << 10 }

  private let socket: UDPSocket
  private let headers: MessageHeaders
  private var calls: UInt64 = 0
  private var datagrams: UInt64 = 0
  private var bytes: UInt64 = 0
  private var dropped: UInt64 = 0
  /// Whether the network's errors come: then an errno may be about another datagram.
  private var isHearing = false
  /// So often one is tried again then.
  private static var mostForeign: Int { 8 }

  package init(_ socket: consuming UDPSocket, locals: LocalAddresses) {
    headers = MessageHeaders(count: 64, for: socket, locals: locals)
    self.socket = socket
  }

  /// Adds what is counted here.
  func count(into statistics: inout ReactorStatistics) {
    statistics.sendCalls &+= calls
    statistics.datagramsSent &+= datagrams
    statistics.bytesSent &+= bytes
    statistics.sendDropsUnproved &+= dropped
    statistics.answersApart = true
  }

  /// Has the network's errors come, or not: the kernel reports to one or the other socket of the port.
  mutating func hear(_ isOn: Bool) {
    isHearing = isOn
    socket.hear(isOn)
  }

  /// Reads what has come. An error that was too long to be queued leaves its errno alone, which a socket that receives nothing would
  /// keep, and which would end every wait.
  mutating func readFaults(into faults: inout DialFaults) {
    socket.readFaults(into: &faults)
    lrp2p_clear_error(socket.descriptor.raw)
  }

  mutating func tellDescriptor() -> Int32 { socket.descriptor.raw }

  /// Sends the messages for unproved addresses, and takes them from the batch.
  package mutating func send(_ batch: inout DatagramBatch) {
    var kept = 0
    var written = 0
    var hasRoom = true
    for index in 0..<batch.count {
      let row = batch.messages[index]
      guard row.isUnproved else {
        batch.messages[kept] = row
        kept += 1
        continue
      }
      guard hasRoom, row.length <= row.segmentSize,
        headers.write(written, row, start: 0, length: row.length, segmentSize: row.segmentSize, of: batch)
      else {
        dropped &+= 1
        continue
      }
      bytes &+= UInt64(row.length)
      written += 1
      if written == headers.count {
        hasRoom = flush(written)
        written = 0
      }
    }
    if written > 0 { _ = flush(written) }
    batch.count = kept
    batch.hasUnproved = false
  }

  /// - Returns: whether the socket had room for all.
  private mutating func flush(_ count: Int) -> Bool {
    var first = 0
    var foreign = 0
    while first < count {
      calls &+= 1
      let result = headers.send(first, to: count, by: socket)
      if result > 0 {
        datagrams &+= UInt64(result)
        first += Int(result)
        foreign = 0
      } else if isHearing, SendFault.isOfNetwork(-result), foreign < Self.mostForeign {
        foreign += 1
      } else if result == -EAGAIN {
        dropped &+= UInt64(count - first)
        return false
      } else if !SendFault.isOfSource(-result) || !headers.bare(first) {
        // Whatever it was: the next one may be for somebody else.
        dropped &+= 1
        first += 1
        foreign = 0
      }
    }
    return true
  }
}

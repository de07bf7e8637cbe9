// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore
import LRP2PReactor

// What the machine could do at best: the same sockets, batches, AEAD and datagram size as the protocol's, and the same
// bytes filled and checked by the same code, but no acknowledgement, no retransmission and no order. What does not
// arrive is not counted.

/// How the ceiling's datagrams look: connection id 8, packet number 8, payload, tag 16.
enum Blast {
  static let headerLength = 16
  static let overhead = 32
  static let connectionID: UInt64 = 0x6365_696C_696E_6700

  /// A datagram without payload: the sender asks with it whether anyone is there, the receiver returns it.
  static let helloLength = headerLength

  /// Both ends know the key: nothing here is secret, it only has to be computed.
  static func keys(_ aead: AEAD) -> KeyTable {
    var key = TrafficKey()
    for index in 0..<32 { key.bytes[index] = UInt8(index) }
    key.aead = aead.rawValue
    return KeyTable(repeating: key, count: 1)
  }

  /// Fills a datagram, all but its tag.
  @inline(__always) @_lifetime(datagram: copy datagram)
  static func write(_ datagram: inout MutableRawSpan, packetNumber: UInt64, _ pattern: Pattern) {
    datagram.setBigEndian64(0, connectionID)
    datagram.setBigEndian64(8, packetNumber)
    let payload = datagram.byteCount - overhead
    var bytes = datagram._mutatingExtracting(headerLength..<headerLength + payload)
    pattern.fill(offset: packetNumber &* UInt64(payload), into: &bytes)
  }

  /// nil when the datagram is not one of these.
  @inline(__always) static func packetNumber(of datagram: RawSpan) -> UInt64? {
    datagram.bigEndian64(0) == connectionID ? datagram.bigEndian64(8) : nil
  }
}

/// A socket with its batches, as a reactor has them, but without an engine.
struct BlastSocket: ~Copyable {
  var backend: SelectedBackend
  var incoming: DatagramBatch
  var outgoing: DatagramBatch
  // The backend watches it; nobody ever signals it.
  private let signal: FileDescriptor

  init(_ job: Job, bind address: Address) throws {
    let configuration = job.configuration
    do { try configuration.validate() } catch { throw ReactorError.configuration(error) }
    let signal = FileDescriptor(owning: Int32(try check(lrp2p_eventfd(), "create eventfd")))
    let incoming = SelectedBackend.incomingBatch(
      configuration, messageCapacity: ReactorConfiguration.receiveMessageCapacity)
    let backend = try SelectedBackend(
      configuration, socket: UDPSocket(bind: address, configuration: configuration), signal: signal.raw,
      incoming: incoming)
    self.backend = backend
    self.incoming = incoming
    outgoing = DatagramBatch(
      messages: configuration.sendMessages, messageCapacity: configuration.sendMessageCapacity)
    self.signal = signal
  }

  /// Sends the outgoing batch to its end.
  mutating func flush() throws {
    while outgoing.count > 0, try !backend.send(&outgoing, now: currentInstant()) {
      _ = try backend.wait(until: instant(after: .milliseconds(1)))
    }
  }

  /// Puts a datagram without payload into the outgoing batch.
  mutating func appendHello(to address: Address) {
    var message = Message()
    message.address = address
    message.offset = outgoing.used
    message.length = Blast.helloLength
    message.segmentSize = Blast.helloLength
    var bytes = outgoing.arena.mutableBytes(message.offset, message.length)
    bytes.setBigEndian64(0, Blast.connectionID)
    bytes.setBigEndian64(8, 0)
    outgoing.messages[outgoing.count] = message
    outgoing.count += 1
    outgoing.used += message.length
  }

  /// What the socket has counted so far.
  var counters: Measurement {
    var statistics = ReactorStatistics()
    backend.count(into: &statistics)
    var counters = Measurement()
    counters[.datagramsSent] = statistics.datagramsSent
    counters[.bytesSent] = statistics.bytesSent
    counters[.bytesReceived] = statistics.bytesReceived
    counters[.kernelDrops] = statistics.kernelDrops
    counters.backend = statistics.backend
    return counters
  }
}

import CLinux
import LRP2PCore
import LRP2PReactor

extension Address {
  static func loopback4(_ port: UInt16 = 0) -> Address { Address(ipv4: 0x7F00_0001, port: port) }
  static func loopback6(_ port: UInt16 = 0) -> Address { Address(high: 0, low: 1, port: port) }
}

/// A socket with its sender, receiver and batches.
struct Endpoint: ~Copyable {
  let socket: UDPSocket
  var sender: DatagramSender
  var receiver: DatagramReceiver
  var incoming: DatagramBatch
  var outgoing: DatagramBatch

  init(
    bind address: Address, configuration: ReactorConfiguration = .init(), maximumSegments: Int = 46,
    receiveCapacity: Int = 65_536, sendCapacity: Int = 65_000, family: Int32 = AF_INET6
  ) throws(SystemError) {
    let socket = try UDPSocket(bind: address, configuration: configuration, family: family)
    let incoming = DatagramBatch(messages: 8, messageCapacity: receiveCapacity)
    sender = DatagramSender(for: socket, maximumSegments: maximumSegments)
    receiver = DatagramReceiver(over: incoming)
    outgoing = DatagramBatch(messages: 8, messageCapacity: sendCapacity)
    self.incoming = incoming
    self.socket = socket
  }

  /// Appends a message of `length` bytes, each the low byte of `salt + index`.
  mutating func append(to address: Address, length: Int, segmentSize: Int, ecn: UInt8 = 0, salt: Int = 0) {
    var message = Message()
    message.address = address
    message.offset = outgoing.used
    message.length = length
    message.segmentSize = segmentSize
    message.ecn = ecn
    outgoing.messages[outgoing.count] = message
    outgoing.count += 1
    var bytes = outgoing.arena.mutableBytes(outgoing.used, length)
    for index in 0..<length { bytes.setByte(index, UInt8(truncatingIfNeeded: salt + index)) }
    outgoing.used += length
  }

  /// Sends the outgoing batch to its end and clears it.
  mutating func flush() throws(SystemError) -> SendProgress {
    let progress = try sender.send(&outgoing, to: socket)
    if progress == .done { outgoing.clear() }
    return progress
  }

  /// Receives until `datagrams` have come or nothing is left. On loopback a datagram has arrived when its send
  /// returns.
  mutating func receive() throws(SystemError) -> Received {
    var received = Received()
    var hasMore = true
    while hasMore {
      hasMore = try receiver.fill(&incoming, from: socket)
      for index in 0..<incoming.count {
        let message = incoming.messages[index]
        let bytes = incoming.arena.bytes(message.offset, message.length)
        received.bytes += (0..<message.length).map { bytes.byte($0) }
        received.messages.append(message)
        received.datagrams += (message.length + message.segmentSize - 1) / message.segmentSize
      }
    }
    return received
  }
}

struct Received {
  var bytes: [UInt8] = []
  var messages: [Message] = []
  var datagrams = 0
}

func pattern(_ length: Int, salt: Int = 0) -> [UInt8] {
  (0..<length).map { UInt8(truncatingIfNeeded: salt + $0) }
}

/// No cryptography at all: the reactor only asks it for a seed.
struct NullSuite: CipherSuite {
  func seal(
    _ jobs: borrowing Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing Column<TrafficKey>
  ) {}
  func open(
    _ jobs: inout Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing Column<TrafficKey>
  ) {}
  func supports(_ aead: AEAD) -> Bool { true }
  func random(_ bytes: inout MutableRawSpan) {
    for index in 0..<bytes.byteCount { bytes.setByte(index, UInt8(truncatingIfNeeded: index)) }
  }
  func publicKey(of secret: SecretKey) -> PublicKey { PublicKey() }
  func agree(_ secret: SecretKey, _ peer: PublicKey) -> SecretKey? { nil }
  func hash(_ first: RawSpan, _ second: RawSpan) -> InlineArray<64, UInt8> { .init(repeating: 0) }
  func hmac(key: RawSpan, _ data: RawSpan) -> InlineArray<64, UInt8> { .init(repeating: 0) }
  func keyedHash(key: RawSpan, _ data: RawSpan) -> InlineArray<32, UInt8> { .init(repeating: 0) }
  func sealMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, plaintext: RawSpan, into out: inout MutableRawSpan
  ) {}
  func openMessage(
    key: SecretKey, counter: UInt64, associated: RawSpan, ciphertext: RawSpan, into out: inout MutableRawSpan
  ) -> Bool { false }
}

struct NullHandler: Handler {
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
}

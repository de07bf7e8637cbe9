// SPDX-License-Identifier: MIT
import CLinux
import Glibc
import LRP2PCore
import LRP2PReactor

extension Address {
  static func loopback4(_ port: UInt16 = 0) -> Address { Address(ipv4: 0x7F00_0001, port: port) }
  static func loopback6(_ port: UInt16 = 0) -> Address { Address(high: 0, low: 1, port: port) }
}

/// What the system has: where it refuses io_uring, `UringTests` says so.
let availableBackends: [ReactorBackend] = uringRefusal == nil ? [.epoll, .ioUring] : [.epoll]

/// Why there is no io_uring here; nil when there is.
let uringRefusal: SystemError? = {
  do throws(SystemError) {
    return try Endpoint(bind: .loopback4(), backend: .ioUring).backend.refusal
  } catch {
    return error
  }
}()

/// A backend over a socket of its own, with batches of eight messages.
struct Endpoint: ~Copyable {
  var backend: SelectedBackend
  var incoming: DatagramBatch
  var outgoing: DatagramBatch
  let localAddress: Address
  let family: Int32
  /// The socket's descriptor.
  let raw: Int32
  private let signal: FileDescriptor

  init(
    bind address: Address, backend choice: ReactorBackend, configuration: ReactorConfiguration = .init(),
    receiveCapacity: Int = 65_536, sendCapacity: Int = 65_000, family: Int32 = AF_INET6, answersApart: Bool = false
  ) throws(SystemError) {
    var configuration = configuration
    configuration.backend = choice
    configuration.receiveMessages = 8
    configuration.sendMessages = 8
    // Has the sockets read what they are marked with.
    configuration.engine.usesECN = true
    // Both before either is used: a noncopyable value is not initialised by halves.
    let sockets: PortSockets
    if answersApart {
      sockets = try PortSockets(bind: address, configuration: configuration, family: family)
    } else {
      sockets = PortSockets(
        main: try UDPSocket(bind: address, configuration: configuration, family: family), answers: nil)
    }
    let (localAddress, socketFamily, raw) = (
      sockets.main.localAddress, sockets.main.family, sockets.main.descriptor.raw
    )
    let signal = FileDescriptor(owning: lrp2p_eventfd())
    let incoming = SelectedBackend.incomingBatch(configuration, messageCapacity: receiveCapacity)
    let backend = try SelectedBackend(
      configuration, sockets: sockets, signal: signal.raw, incoming: incoming)
    outgoing = DatagramBatch(messages: 8, messageCapacity: sendCapacity)
    self.backend = backend
    self.incoming = incoming
    self.localAddress = localAddress
    self.family = socketFamily
    self.raw = raw
    self.signal = signal
  }

  var statistics: ReactorStatistics {
    var statistics = ReactorStatistics()
    backend.count(into: &statistics)
    return statistics
  }

  /// Appends a message of `length` bytes, each the low byte of `salt + index`.
  mutating func append(
    to address: Address, length: Int, segmentSize: Int, ecn: UInt8 = 0, salt: Int = 0, isUnproved: Bool = false
  ) {
    var message = Message()
    message.isUnproved = isUnproved
    if isUnproved { outgoing.hasUnproved = true }
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

  var canSend: Bool { backend.canSend(now: 0) }

  /// Sends the outgoing batch, and clears it when it came to its end.
  mutating func flush(now: Instant = 0) throws(SystemError) -> Bool { try backend.send(&outgoing, now: now) }

  /// Receives by one call: the lengths of the messages.
  mutating func receiveOnce() throws(SystemError) -> [Int] {
    _ = try backend.receive(into: &incoming)
    return (0..<incoming.count).map { incoming.messages[$0].length }
  }

  /// Receives until nothing is left. On loopback a datagram has arrived when its send returns.
  mutating func receive() throws(SystemError) -> Received {
    var received = Received()
    var hasMore = true
    while hasMore {
      hasMore = try backend.receive(into: &incoming)
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

func makeReactor(
  _ backend: ReactorBackend, bind: Address = .loopback4(), _ change: (inout ReactorConfiguration) -> Void = { _ in }
) throws(ReactorError) -> Reactor {
  var configuration = ReactorConfiguration()
  configuration.backend = backend
  change(&configuration)
  return try Reactor(configuration: configuration, secretKey: SecretKey(repeating: 7), suite: NullSuite(), bind: bind)
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
    _ jobs: borrowing Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {}
  func open(
    _ jobs: inout Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
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

struct NullHandler: ReceivingHandler {
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
}

/// Runs `body` on a thread of its own, while the calling thread runs `whileRunning` and then waits for it.
func onThread(_ body: () -> Void, whileRunning: () -> Void = {}) {
  // Bound: `body` outlives the thread, which is joined before this returns.
  withoutActuallyEscaping(body) { body in
    final class Box {
      let body: () -> Void
      init(_ body: @escaping () -> Void) { self.body = body }
    }
    let box = Box(body)
    var thread = pthread_t()
    let created = unsafe pthread_create(
      &thread, nil,
      {
        unsafe Unmanaged<Box>.fromOpaque($0!).takeUnretainedValue().body()
        return nil
      }, Unmanaged.passUnretained(box).toOpaque())
    precondition(created == 0)
    whileRunning()
    pthread_join(thread, nil)
    withExtendedLifetime(box) {}
  }
}

/// Runs `body` on `count` threads at once, each with its index.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  func start(_ index: Int) {
    if index == count { return }
    onThread({ body(index) }, whileRunning: { start(index + 1) })
  }
  start(0)
}

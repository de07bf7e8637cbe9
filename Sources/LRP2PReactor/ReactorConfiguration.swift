// SPDX-License-Identifier: MIT
import LRP2PCore

/// What moves datagrams between the kernel and a reactor.
public enum ReactorBackend: String, BitwiseCopyable, Sendable, CaseIterable {
  /// The one that measures better: epoll, today.
  case automatic
  /// Readiness by epoll, batches by recvmmsg and sendmmsg.
  case epoll
  /// Completion by io_uring, where the kernel has it (Linux 6.1) and allows it; else epoll. Let go of the reactor on the
  /// thread that turned it last: on another, its port stays taken for some milliseconds more.
  case ioUring = "io_uring"
}

/// Every knob of a reactor: its sockets and batches here, the protocol in `engine`. Sizes are in bytes.
public struct ReactorConfiguration: Sendable {
  /// The protocol core.
  public var engine = EngineConfiguration()
  /// How datagrams are moved; what it came to is in `ReactorStatistics.backend` and `Reactor.backendFallbackError`.
  public var backend = ReactorBackend.automatic
  /// Messages of one receive call; with receive offload each may hold dozens of datagrams. Each takes 64 KiB of
  /// memory: 1 … 256.
  public var receiveMessages = 16
  /// Messages of one send call; each is one burst of equal datagrams to one address: 1 … 256.
  public var sendMessages = 8
  /// The most datagrams in one such burst: 1 … 64. A message never exceeds 65,000 bytes, whatever this says.
  public var maximumSegments = 46
  /// The kernel's buffer for arriving datagrams; what does not fit is lost. Without CAP_NET_ADMIN the kernel
  /// grants at most net.core.rmem_max: 4096 … 1 GiB.
  public var socketReceiveBuffer = 8 << 20
  /// The kernel's buffer for datagrams on their way out. Without CAP_NET_ADMIN the kernel grants at most
  /// net.core.wmem_max: 4096 … 1 GiB.
  public var socketSendBuffer = 2 << 20
  /// Hands bursts to the kernel as one message (UDP_SEGMENT) where it can; else the datagrams go one by one.
  public var segmentationOffload = true
  /// Lets the kernel merge arriving datagrams of one sender (UDP_GRO) where it can.
  public var receiveOffload = true
  /// Has the kernel drop what cannot be ours (SO_ATTACH_FILTER, classic BPF): datagrams that are too short, and those that
  /// are neither for an id of ours nor the start of a handshake. What a flood of random datagrams, or of forged ids, then
  /// costs is the kernel's way to the socket.
  public var socketFilter = false
  /// The network device that datagrams come from and leave by (SO_BINDTODEVICE), which may be a VRF:
  /// 1 … 15 bytes of its name; nil is any.
  public var device: String? = nil
  /// A mark of what is sent, for routing rules and firewalls (SO_MARK): 0 … 4,294,967,295; 0 is none. It needs CAP_NET_ADMIN.
  public var socketMark = 0
  /// The differentiated services code point of all that is sent (RFC 2474): 0 … 63. ECN marks stay beside it.
  public var dscp = 0
  /// Called with the descriptor of each socket before it is bound, or as it is adopted, to set options that have no field here. It runs where the reactor is
  /// made. What it throws is thrown there. The descriptor is not to be closed or kept.
  public var configureSocket: (@Sendable (_ descriptor: Int32) throws(SystemError) -> Void)? = nil
  /// Receive calls in one turn before timers and sending get their share: 1 … 1024.
  public var receiveBatchesPerTurn = 4
  /// Send calls in one turn before receiving gets its share: 1 … 1024.
  public var sendBatchesPerTurn = 16
  /// How long a wait polls before it sleeps, in nanoseconds: 0 … 10,000,000. 0 is never. It takes the core that it polls
  /// on, but stops by itself, and comes back, as events tend to arrive within that time or later.
  public var longestSpin: Nanoseconds = 0
  /// Asks the kernel for huge pages (MADV_HUGEPAGE) for the tables of very many peers, tens of thousands and more: a datagram costs
  /// less where each comes from another peer. Memory is then taken 2 MiB at a time, and clearing that much takes the kernel
  /// some 100 µs.
  public var hugePages = true
  /// Whose code seals and opens datagrams.
  public var aeadProvider = AEADProvider.automatic

  /// All defaults.
  public init() {}

  /// Throws the first field that is out of range, the engine's included.
  public func validate() throws(ConfigurationError) {
    func check(_ field: String, _ value: Int, _ range: ClosedRange<Int>) throws(ConfigurationError) {
      guard range.contains(value) else {
        throw .outOfRange(field: field, allowed: "\(range.lowerBound) … \(range.upperBound)")
      }
    }
    try engine.validate()
    try check("receiveMessages", receiveMessages, 1...256)
    try check("sendMessages", sendMessages, 1...256)
    try check("maximumSegments", maximumSegments, 1...64)
    try check("socketReceiveBuffer", socketReceiveBuffer, 4096...(1 << 30))
    try check("socketSendBuffer", socketSendBuffer, 4096...(1 << 30))
    if let device, !(1...15).contains(device.utf8.count) {
      throw .outOfRange(field: "device", allowed: "1 … 15 bytes")
    }
    try check("socketMark", socketMark, 0...4_294_967_295)
    try check("dscp", dscp, 0...63)
    try check("receiveBatchesPerTurn", receiveBatchesPerTurn, 1...1024)
    try check("sendBatchesPerTurn", sendBatchesPerTurn, 1...1024)
    try check("longestSpin", Int(clamping: longestSpin), 0...10_000_000)
  }

  /// The largest message the kernel can merge is 65,535 bytes; this keeps the places aligned to cache lines.
  package static var receiveMessageCapacity: Int { 65_536 }

  /// Below the 65,507 bytes that fit an IPv4 packet, with room for IP options.
  package static var longestMessage: Int { 65_000 }

  /// Bytes of one outgoing message: whole datagrams only.
  package var sendMessageCapacity: Int {
    let segments = min(maximumSegments, Self.longestMessage / engine.maximumDatagram)
    return max(segments, 1) * engine.maximumDatagram
  }
}

// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// A bound UDP socket, non-blocking, closed with its owner.
///
/// It is an IPv6 socket that also speaks IPv4 (whose addresses are IPv4-mapped), or an IPv4 socket where the system
/// has no IPv6. IP_RECVERR is off unless a dial is under way (`hear`): an ICMP message about one peer must not surface as an
/// error of the socket that all peers share.
package struct UDPSocket: ~Copyable {
  package let descriptor: FileDescriptor
  /// AF_INET6 or AF_INET.
  package let family: Int32
  /// Where it is bound, the port filled in.
  package let localAddress: Address
  /// Whether the kernel has UDP_SEGMENT and UDP_GRO, and the configuration wants them.
  package let segmentationOffload: Bool
  package let receiveOffload: Bool
  /// The byte of what it sends in each family (IP_TOS, IPV6_TCLASS), without ECN: of `ReactorConfiguration.dscp`, or as the
  /// program has set it on the socket.
  package let trafficClass: (four: UInt8, six: UInt8)
  /// Whether `attach(filter:)` has succeeded.
  package private(set) var isFiltered = false

  /// How a socket comes to a port that it shares.
  package enum Sharing {
    /// The port is this socket's alone.
    case alone
    /// The first of those that share it. The port must be nobody's; the kernel steers by this program.
    case first(PacketProgram)
    /// One of the others.
    case further
  }

  /// - Parameter family: AF_INET leaves IPv6 out, as if the system had none.
  /// - Throws: the failure of `socket` (EMFILE, ENFILE) or `bind` (EADDRINUSE, EADDRNOTAVAIL, EACCES), with the
  ///   address in its text.
  package init(
    bind address: Address, configuration: ReactorConfiguration, family: Int32 = AF_INET6, sharing: Sharing = .alone
  ) throws(SystemError) {
    var opened = try Self.open(address, configuration, family: family, sharing)
    // No IPv6 in the kernel, or none on any interface. An IPv6 address cannot be had without it.
    if opened.failure == EAFNOSUPPORT || opened.failure == EADDRNOTAVAIL, address.isIPv4 || address.isUnspecified {
      opened = try Self.open(address, configuration, family: AF_INET, sharing)
    }
    if opened.failure != 0 { throw SystemError(code: opened.failure, operation: opened.operation) }
    try self.init(
      bound: FileDescriptor(owning: opened.raw), family: opened.family, configuration: configuration,
      "read local address of \(address)")
  }

  /// A socket that somebody else has opened and bound: a service manager, or a parent that may bind what this process may not.
  ///
  /// - Parameter descriptor: this socket's from here on, closed also where it is refused.
  /// - Throws: it is no socket (ENOTSOCK, EBADF), none of UDP (EPROTOTYPE, EAFNOSUPPORT), not bound (EADDRNOTAVAIL) or connected to
  ///   one address (EISCONN).
  package init(adopting descriptor: consuming FileDescriptor, configuration: ReactorConfiguration) throws(SystemError) {
    let operation = "take socket \(descriptor.raw)"
    let family = try Self.checkAdopted(descriptor.raw, configuration, operation)
    try self.init(bound: descriptor, family: family, configuration: configuration, operation)
  }

  /// Takes over a descriptor of somebody else's. 0 to 2 are not for sockets, as everything prints there: they stay open.
  package static func own(_ raw: Int32) throws(SystemError) -> FileDescriptor {
    guard raw > 2 else { throw SystemError(code: EBADF, operation: "take socket \(raw)") }
    return FileDescriptor(owning: raw)
  }

  private static func checkAdopted(
    _ raw: Int32, _ configuration: ReactorConfiguration, _ operation: String
  ) throws(SystemError) -> Int32 {
    let family = try check(lrp2p_adopt(raw), operation)
    var local = lrp2p_address()
    _ = try check(unsafe lrp2p_local_address(raw, &local), operation)
    if local.port == 0 { throw SystemError(code: EADDRNOTAVAIL, operation: operation) }
    try require(raw, configuration)
    return family
  }

  private init(
    bound descriptor: consuming FileDescriptor, family: Int32, configuration: ReactorConfiguration,
    _ operation: @autoclosure () -> String
  ) throws(SystemError) {
    var local = lrp2p_address()
    _ = try check(unsafe lrp2p_local_address(descriptor.raw, &local), operation())
    self.family = family
    localAddress = Address(local)
    (segmentationOffload, receiveOffload) = Self.configure(descriptor.raw, configuration)
    trafficClass = (
      Self.trafficClass(of: descriptor.raw, LRP2P_SOL_IP, IP_TOS),
      Self.trafficClass(of: descriptor.raw, LRP2P_SOL_IPV6, IPV6_TCLASS)
    )
    if localAddress.isUnspecified { Self.askWhereDatagramsCome(descriptor.raw, family) }
    self.descriptor = descriptor
  }

  private static func trafficClass(of raw: Int32, _ level: lrp2p_option_level, _ option: Int32) -> UInt8 {
    var value: Int32 = 0
    return unsafe lrp2p_get_option(raw, Int32(level.rawValue), option, &value) < 0
      ? 0 : UInt8(truncatingIfNeeded: value) & 0xFC
  }

  /// An answer leaves from the address that was asked, of which there may be several. A kernel that does not report it chooses.
  private static func askWhereDatagramsCome(_ raw: Int32, _ family: Int32) {
    // The option of IPv6 covers IPv4, too.
    _ =
      family == AF_INET6
      ? lrp2p_set_option(raw, Int32(LRP2P_SOL_IPV6.rawValue), IPV6_RECVPKTINFO, 1)
      : lrp2p_set_option(raw, Int32(LRP2P_SOL_IP.rawValue), IP_PKTINFO, 1)
  }

  private struct Opened {
    var raw: Int32 = -1
    var family: Int32
    var failure: Int32 = 0
    var operation = ""
  }

  /// What the configuration asks of the kernel, which must not be left out.
  private static func require(_ raw: Int32, _ configuration: ReactorConfiguration) throws(SystemError) {
    if let device = configuration.device {
      _ = try check(unsafe lrp2p_bind_to_device(raw, device), "bind a socket to device \(device)")
    }
    if configuration.socketMark != 0 {
      let mark = Int32(truncatingIfNeeded: configuration.socketMark)
      _ = try check(
        lrp2p_set_option(raw, Int32(LRP2P_SOL_SOCKET.rawValue), SO_MARK, mark),
        "mark a socket with \(configuration.socketMark)")
    }
    if let body = configuration.configureSocket { try body(raw) }
  }

  private static func open(
    _ address: Address, _ configuration: ReactorConfiguration, family: Int32, _ sharing: Sharing
  ) throws(SystemError) -> Opened {
    let raw = lrp2p_udp_socket(family)
    if raw == -EAFNOSUPPORT { return Opened(family: family, failure: -raw, operation: "open socket for \(address)") }
    let descriptor = FileDescriptor(owning: try check(raw, "open socket for \(address)"))
    if family == AF_INET6 {
      _ = try check(
        lrp2p_set_option(descriptor.raw, Int32(LRP2P_SOL_IPV6.rawValue), IPV6_V6ONLY, 0),
        "set IPV6_V6ONLY for \(address)")
    }
    try require(descriptor.raw, configuration)
    try share(descriptor.raw, sharing, address)
    let result = lrp2p_bind(descriptor.raw, family, address.native)
    if result < 0 { return Opened(family: family, failure: -result, operation: "bind \(address)") }
    return Opened(raw: descriptor.release(), family: family)
  }

  /// A socket that has its program before it is bound gets a port that no other socket has, or EADDRINUSE.
  private static func share(_ raw: Int32, _ sharing: Sharing, _ address: Address) throws(SystemError) {
    if case .alone = sharing { return }
    _ = try check(
      lrp2p_set_option(raw, Int32(LRP2P_SOL_SOCKET.rawValue), SO_REUSEPORT, 1), "share the port of \(address)")
    guard case .first(let program) = sharing else { return }
    _ = try check(
      attach(program, as: SO_ATTACH_REUSEPORT_CBPF, to: raw), "steer among the sockets of \(address)")
  }

  private static func attach(_ program: PacketProgram, as option: Int32, to raw: Int32) -> Int32 {
    // Bound: the kernel reads as many instructions as the array has, inside the call.
    unsafe program.code.withUnsafeBufferPointer {
      unsafe lrp2p_attach_program(raw, option, $0.baseAddress!, UInt16($0.count))
    }
  }

  /// Has the kernel drop what `program` does not accept. Where it cannot, everything comes, as without.
  package mutating func attach(filter program: PacketProgram) {
    isFiltered = Self.attach(program, as: SO_ATTACH_FILTER, to: descriptor.raw) >= 0
  }

  /// Datagrams lost so far, modulo 2^32, as `ReactorStatistics.kernelDrops` has them; nil where the kernel does not tell.
  package var drops: UInt32? {
    var drops: UInt32 = 0
    return unsafe lrp2p_socket_drops(descriptor.raw, &drops) < 0 ? nil : drops
  }

  /// Sets what improves the socket. A kernel that lacks an option still has a working socket, so failures only
  /// switch the feature off.
  private static func configure(_ raw: Int32, _ configuration: ReactorConfiguration) -> (gso: Bool, gro: Bool) {
    func set(_ level: lrp2p_option_level, _ option: Int32, _ value: Int32) -> Bool {
      lrp2p_set_option(raw, Int32(level.rawValue), option, value) >= 0
    }
    // FORCE passes the system's limit, where the process may.
    let receiveBuffer = Int32(configuration.socketReceiveBuffer)
    if !set(LRP2P_SOL_SOCKET, SO_RCVBUFFORCE, receiveBuffer) { _ = set(LRP2P_SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
    let sendBuffer = Int32(configuration.socketSendBuffer)
    if !set(LRP2P_SOL_SOCKET, SO_SNDBUFFORCE, sendBuffer) { _ = set(LRP2P_SOL_SOCKET, SO_SNDBUF, sendBuffer) }
    _ = set(LRP2P_SOL_SOCKET, SO_RXQ_OVFL, 1)
    if configuration.dscp != 0 {
      _ = set(LRP2P_SOL_IP, IP_TOS, Int32(configuration.dscp << 2))
      _ = set(LRP2P_SOL_IPV6, IPV6_TCLASS, Int32(configuration.dscp << 2))
    }
    // Never fragment, and do not let forged ICMP messages shrink what the kernel lets us send (PROBE, not DO).
    // A dual-stack socket needs both families' options.
    _ = set(LRP2P_SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
    _ = set(LRP2P_SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE)
    // Peers that are reactors send ECT where we do, and what is not ECT is not marked; asking costs every datagram.
    if configuration.engine.usesECN {
      _ = set(LRP2P_SOL_IP, IP_RECVTOS, 1)
      _ = set(LRP2P_SOL_IPV6, IPV6_RECVTCLASS, 1)
    }
    var segment: Int32 = 0
    let hasGSO = unsafe lrp2p_get_option(raw, Int32(LRP2P_SOL_UDP.rawValue), UDP_SEGMENT, &segment) >= 0
    let gro = configuration.receiveOffload && set(LRP2P_SOL_UDP, UDP_GRO, 1)
    return (configuration.segmentationOffload && hasGSO, gro)
  }

  /// What the kernel has granted, in bytes that fit: it reports twice that, for its own bookkeeping.
  package var receiveBuffer: Int? { option(SO_RCVBUF).map { $0 / 2 } }
  package var sendBuffer: Int? { option(SO_SNDBUF).map { $0 / 2 } }

  package var isDualStack: Bool { family == AF_INET6 }

  /// What the kernel granted for an integer option of SOL_SOCKET (it reports buffers doubled), or nil.
  package func option(_ option: Int32) -> Int? {
    var value: Int32 = 0
    let result = unsafe lrp2p_get_option(descriptor.raw, Int32(LRP2P_SOL_SOCKET.rawValue), option, &value)
    return result < 0 ? nil : Int(value)
  }
}

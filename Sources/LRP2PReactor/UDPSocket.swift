import CLinux
import LRP2PCore

/// A bound UDP socket, non-blocking, closed with its owner.
///
/// It is an IPv6 socket that also speaks IPv4 (whose addresses are IPv4-mapped), or an IPv4 socket where the system
/// has no IPv6. IP_RECVERR stays off: an ICMP message about one peer must not surface as an error of the socket that
/// all peers share.
package struct UDPSocket: ~Copyable {
  package let descriptor: FileDescriptor
  /// AF_INET6 or AF_INET.
  package let family: Int32
  /// Where it is bound, the port filled in.
  package let localAddress: Address
  /// Whether the kernel has UDP_SEGMENT and UDP_GRO, and the configuration wants them.
  package let segmentationOffload: Bool
  package let receiveOffload: Bool

  /// - Parameter family: AF_INET leaves IPv6 out, as if the system had none.
  /// - Throws: the failure of `socket` (EMFILE, ENFILE) or `bind` (EADDRINUSE, EADDRNOTAVAIL, EACCES), with the
  ///   address in its text.
  package init(bind address: Address, configuration: ReactorConfiguration, family: Int32 = AF_INET6)
    throws(SystemError)
  {
    var opened = try Self.open(address, family: family)
    // No IPv6 in the kernel, or none on any interface. An IPv6 address cannot be had without it.
    if opened.failure == EAFNOSUPPORT || opened.failure == EADDRNOTAVAIL, address.isIPv4 || address.isUnspecified {
      opened = try Self.open(address, family: AF_INET)
    }
    if opened.failure != 0 { throw SystemError(code: opened.failure, operation: opened.operation) }
    let descriptor = FileDescriptor(owning: opened.raw)
    var local = lrp2p_address()
    _ = try check(unsafe lrp2p_local_address(descriptor.raw, &local), "read local address of \(address)")
    self.family = opened.family
    localAddress = Address(local)
    (segmentationOffload, receiveOffload) = Self.configure(descriptor.raw, configuration)
    self.descriptor = descriptor
  }

  private struct Opened {
    var raw: Int32 = -1
    var family: Int32
    var failure: Int32 = 0
    var operation = ""
  }

  private static func open(_ address: Address, family: Int32) throws(SystemError) -> Opened {
    let raw = lrp2p_udp_socket(family)
    if raw == -EAFNOSUPPORT { return Opened(family: family, failure: -raw, operation: "open socket for \(address)") }
    let descriptor = FileDescriptor(owning: try check(raw, "open socket for \(address)"))
    if family == AF_INET6 {
      _ = try check(
        lrp2p_set_option(descriptor.raw, Int32(LRP2P_SOL_IPV6.rawValue), IPV6_V6ONLY, 0),
        "set IPV6_V6ONLY for \(address)")
    }
    let result = lrp2p_bind(descriptor.raw, family, address.native)
    if result < 0 { return Opened(family: family, failure: -result, operation: "bind \(address)") }
    return Opened(raw: descriptor.release(), family: family)
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
    // Never fragment, and do not let forged ICMP messages shrink what the kernel lets us send (PROBE, not DO).
    // A dual-stack socket needs both families' options.
    _ = set(LRP2P_SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
    _ = set(LRP2P_SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE)
    _ = set(LRP2P_SOL_IP, IP_RECVTOS, 1)
    _ = set(LRP2P_SOL_IPV6, IPV6_RECVTCLASS, 1)
    var segment: Int32 = 0
    let hasGSO = unsafe lrp2p_get_option(raw, Int32(LRP2P_SOL_UDP.rawValue), UDP_SEGMENT, &segment) >= 0
    let gro = configuration.receiveOffload && set(LRP2P_SOL_UDP, UDP_GRO, 1)
    return (configuration.segmentationOffload && hasGSO, gro)
  }

  /// What the kernel granted for an integer option of SOL_SOCKET (it reports buffers doubled), or nil.
  package func option(_ option: Int32) -> Int? {
    var value: Int32 = 0
    let result = unsafe lrp2p_get_option(descriptor.raw, Int32(LRP2P_SOL_SOCKET.rawValue), option, &value)
    return result < 0 ? nil : Int(value)
  }
}

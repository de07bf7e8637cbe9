/// An IP address and UDP port. IPv4 is kept in its IPv4-mapped IPv6 form (::ffff:a.b.c.d), as a dual-stack socket
/// reports it. 24 bytes.
public struct Address: Hashable, Sendable, BitwiseCopyable {
  /// The upper and lower half of the IPv6 address, in host order of the big-endian value.
  public var high: UInt64
  public var low: UInt64
  /// The zone of a link-local address, else 0.
  public var scope: UInt32
  public var port: UInt16

  public init(high: UInt64, low: UInt64, scope: UInt32 = 0, port: UInt16) {
    self.high = high
    self.low = low
    self.scope = scope
    self.port = port
  }

  /// An IPv4 address, given as a host-order integer (127.0.0.1 is 0x7F000001).
  public init(ipv4: UInt32, port: UInt16) {
    self.init(high: 0, low: 0x0000_FFFF_0000_0000 | UInt64(ipv4), port: port)
  }

  public var isIPv4: Bool { high == 0 && low >> 32 == 0xFFFF }

  package static var none: Address { Address(high: 0, low: 0, port: 0) }
}

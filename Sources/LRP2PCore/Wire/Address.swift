// SPDX-License-Identifier: MIT
/// An IP address and UDP port. IPv4 is kept in its IPv4-mapped IPv6 form (::ffff:a.b.c.d), as a dual-stack socket
/// reports it. 24 bytes.
public struct Address: Hashable, Sendable, BitwiseCopyable {
  /// The upper and lower half of the IPv6 address, in host order of the big-endian value.
  package var high: UInt64
  package var low: UInt64
  /// The zone of a link-local address of IPv6 (the number of an interface), else 0.
  public package(set) var scope: UInt32
  /// The UDP port. It may be set: the same host, another port.
  public var port: UInt16
  /// Which of this side's own addresses it is heard at, and answered from: the reactor's number for it, which means nothing else to the
  /// core. 0: the system chooses. Addresses that differ only in it are equal.
  package var local: UInt8 = 0

  package init(high: UInt64, low: UInt64, scope: UInt32 = 0, port: UInt16) {
    self.high = high
    self.low = low
    self.scope = scope
    self.port = port
  }

  /// An IPv4 address, given as a host-order integer (127.0.0.1 is 0x7F000001).
  public init(ipv4: UInt32, port: UInt16) {
    self.init(high: 0, low: 0x0000_FFFF_0000_0000 | UInt64(ipv4), port: port)
  }

  /// Whether it is an address of IPv4, also where it was given in its IPv4-mapped form.
  public var isIPv4: Bool { high == 0 && low >> 32 == 0xFFFF }

  package static var none: Address { Address(high: 0, low: 0, port: 0) }

  @inline(__always)
  public static func == (a: Address, b: Address) -> Bool {
    a.high == b.high && a.low == b.low && a.port == b.port && a.scope == b.scope
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(high)
    hasher.combine(low)
    hasher.combine(scope)
    hasher.combine(port)
  }

  /// The same address, and the system's choice where datagrams to it leave from.
  @inline(__always)
  package var fromAnywhere: Address {
    var address = self
    address.local = 0
    return address
  }

  /// What to dial for it: `::` and `0.0.0.0`, which a listener on all addresses prints, are this host's loopback, as for connect(2). The
  /// answer comes from there.
  package var dialled: Address {
    guard high == 0, low == 0 || low == 0xFFFF_0000_0000 else { return fromAnywhere }
    return low == 0 ? Address(high: 0, low: 1, port: port) : Address(ipv4: 0x7F00_0001, port: port)
  }
}

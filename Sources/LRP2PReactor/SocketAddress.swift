// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

extension Address {
  /// The form CLinux turns into a sockaddr of either family.
  @inline(__always) package var native: lrp2p_address {
    lrp2p_address(high: high, low: low, scope: scope, port: port)
  }

  @inline(__always) package init(_ native: lrp2p_address) {
    self.init(high: native.high, low: native.low, scope: native.scope, port: native.port)
  }

  /// All local IPv6 and IPv4 addresses.
  public static func any(port: UInt16) -> Address { Address(high: 0, low: 0, port: port) }

  /// AF_INET and AF_INET6.
  private static var ipv4Family: UInt16 { 2 }
  private static var ipv6Family: UInt16 { 10 }

  /// Reads a `sockaddr_in` or `sockaddr_in6` as the system's calls have it (getpeername, recvfrom, getaddrinfo), 16 and 28 bytes.
  ///
  /// - Returns: `nil` if it is of another family, or too short for its own; what follows is ignored.
  public init?(sockaddr bytes: RawSpan) {
    guard bytes.byteCount >= 16 else { return nil }
    let family = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt16.self)
    let port = bytes.bigEndian16(2)
    if family == Self.ipv4Family {
      self.init(ipv4: bytes.bigEndian32(4), port: port)
      return
    }
    guard family == Self.ipv6Family, bytes.byteCount >= 28 else { return nil }
    let scope = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 24, as: UInt32.self)
    self.init(high: bytes.bigEndian64(8), low: bytes.bigEndian64(16), scope: scope, port: port)
  }

  /// The bytes of a `sockaddr_in` for an IPv4 address, and of a `sockaddr_in6` for any other: 16 or 28.
  public var sockaddr: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: isIPv4 ? 16 : 28)
    var elements = bytes.mutableSpan
    var target = unsafe elements.mutableBytes
    target.storeBytes(of: isIPv4 ? Self.ipv4Family : Self.ipv6Family, toByteOffset: 0, as: UInt16.self)
    target.setBigEndian16(2, port)
    if isIPv4 {
      target.setBigEndian32(4, UInt32(truncatingIfNeeded: low))
    } else {
      target.setBigEndian64(8, high)
      target.setBigEndian64(16, low)
      target.storeBytes(of: scope, toByteOffset: 24, as: UInt32.self)
    }
    return bytes
  }

  /// Whether it is `::` or `0.0.0.0`.
  public var isUnspecified: Bool { high == 0 && (low == 0 || low == 0xFFFF_0000_0000) }
}

extension Address: LosslessStringConvertible {
  /// Parses `192.0.2.1:4433`, `[2001:db8::1]:4433` or `[fe80::1%eth0]:4433` (the zone as a name or a number). Names
  /// of hosts are not looked up; see `Resolver`.
  public init?(_ text: String) {
    guard let (host, portText) = Self.split(text), let port = UInt16(decimal: portText) else { return nil }
    let isBracketed = text.utf8.first == UInt8(ascii: "[")
    var name = host
    var zone: Substring?
    if isBracketed, let percent = host.firstIndex(of: "%") {
      name = host[..<percent]
      zone = host[host.index(after: percent)...]
    }
    var native = lrp2p_address()
    let isParsed = unsafe String(name).withCString { unsafe lrp2p_parse_host($0, &native) }
    // A colon inside the host needs brackets, and brackets an IPv6 address.
    guard isParsed, name.utf8.contains(UInt8(ascii: ":")) == isBracketed, !text.utf8.contains(0) else { return nil }
    self.init(native)
    self.port = port
    if let zone {
      let number = UInt32(decimal: zone)
      let index = unsafe number ?? String(zone).withCString { unsafe lrp2p_interface_index($0) }
      guard index != 0 else { return nil }
      scope = index
    }
  }

  /// `192.0.2.1:4433` or `[2001:db8::1]:4433`, with the zone as a number.
  public var description: String {
    let host = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 46) { buffer in
      let isFormatted = unsafe lrp2p_format_host(native, isIPv4, buffer.baseAddress!)
      return isFormatted ? unsafe String(cString: buffer.baseAddress!) : "?"
    }
    if isIPv4 { return "\(host):\(port)" }
    return scope == 0 ? "[\(host)]:\(port)" : "[\(host)%\(scope)]:\(port)"
  }

  /// The host (brackets removed) and port of `HOST:PORT`; nil without a port or with an unbracketed IPv6 address.
  static func split(_ text: String) -> (host: Substring, port: Substring)? {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let port = text[text.index(after: colon)...]
    var host = text[..<colon]
    if host.first == "[" {
      guard host.last == "]", host.count > 2 else { return nil }
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      return nil
    }
    return host.isEmpty || port.isEmpty ? nil : (host, port)
  }
}

extension FixedWidthInteger {
  /// Decimal digits only: no sign, as `init(_:)` would take.
  init?(decimal text: Substring) {
    guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) else {
      return nil
    }
    self.init(text, radix: 10)
  }
}

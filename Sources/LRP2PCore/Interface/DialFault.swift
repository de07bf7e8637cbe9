// SPDX-License-Identifier: MIT
/// Why an address cannot be dialled, as the kernel, the network or the dial itself has it.
///
/// The network's word can be forged by anyone who sees the dial's messages, so that an address is given up only when it is repeated
/// for another attempt. A connection that stands is ended by none of it.
public enum DialFault: UInt8, Hashable, Sendable, BitwiseCopyable, CaseIterable {
  /// The host is there, and nobody listens on the port.
  case portUnreachable
  /// A firewall or a route of this host, or one on the way, forbids it.
  case notPermitted
  /// The path does not even carry 1200 bytes.
  case tooLarge
  /// It is this side's own address, or something there sends back what it gets.
  case ownAddress
  /// The host does not answer in its network.
  case hostUnreachable
  /// There is no route to it.
  case noRoute
  /// The kernel refuses it for a reason of its own: a black hole among its routes, a tunnel without a key.
  case refusedByKernel
  /// Port 0 is nobody's.
  case badPort
}

/// Who has something against a dial's datagram.
package enum FaultSource: UInt8, BitwiseCopyable {
  /// This host's kernel, which did not send it.
  case kernel
  /// Somebody on the way, by ICMP: it may be forged.
  case network
}

extension DialFault {
  /// One line for people, without the address.
  public var description: String {
    switch self {
    case .portUnreachable: "nobody listens there"
    case .notPermitted: "a firewall or a route forbids it"
    case .tooLarge: "the path carries no datagrams of 1200 bytes"
    case .ownAddress: "it is this side's own address"
    case .hostUnreachable: "the host cannot be reached"
    case .noRoute: "there is no route to it"
    case .refusedByKernel: "the kernel refuses the destination"
    case .badPort: "port 0 cannot be dialled"
    }
  }

  /// Of several addresses the fault that says most is reported: the case that stands first here.
  func tellsMore(than other: DialFault) -> Bool { rawValue < other.rawValue }
}

extension DialFault: CustomStringConvertible {}

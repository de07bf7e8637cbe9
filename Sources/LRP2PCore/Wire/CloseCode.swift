// SPDX-License-Identifier: MIT
/// Why one side has closed a connection, as a number that the other side gets: 32 bits on the wire.
///
/// A program's own codes are those below 0xFFFF_FF00. It writes them as literals, or names them:
///
///     extension CloseCode {
///       static let roomIsFull: CloseCode = 7
///     }
///     engine.close(peer, code: .roomIsFull)
///
/// The others are the protocol's. A program gets them in `CloseReason`, and can send only `goingAway`, by `Engine.closeAll`.
public struct CloseCode: RawRepresentable, Hashable, Sendable, BitwiseCopyable, ExpressibleByIntegerLiteral {
  /// The number on the wire.
  public let rawValue: UInt32

  /// The code of this number; each number is one.
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// The code of this number, 0 … 0xFFFF_FFFF; a larger literal does not compile.
  @inlinable public init(integerLiteral value: UInt32) { rawValue = value }

  /// What `close` sends where no other code is given: 0, a program's own code.
  public static let none: CloseCode = 0

  /// Whether it is one of the protocol's own codes, which `close` refuses: from 0xFFFF_FF00 on.
  public var isReserved: Bool { rawValue >= 0xFFFF_FF00 }

  /// A segment that no honest peer sends (an ACK for what was never sent, data after FIN).
  public static let violation: CloseCode = 0xFFFF_FF01
  /// The dialler's key was refused.
  public static let keyRefused: CloseCode = 0xFFFF_FF02
  /// No common version, or no common application protocol.
  public static let noCommonProtocol: CloseCode = 0xFFFF_FF03
  /// Something that must not be ignored, and is not known; the reason names it.
  public static let unknownCritical: CloseCode = 0xFFFF_FF04
  /// The program, or its host, is about to end.
  public static let goingAway: CloseCode = 0xFFFF_FF05
  /// A limit is reached: of connections of a key, of a network, or of all.
  public static let resources: CloseCode = 0xFFFF_FF06
  /// Too many forged datagrams under one key.
  public static let exhausted: CloseCode = 0xFFFF_FF07
  /// The other side's program let go of its `Connection` without `close` and without `finish`, or its peer did not end its direction
  /// within half a minute of that. (This code and the next two are used by `Endpoint`.)
  public static let abandoned: CloseCode = 0xFFFF_FF10
  /// The other side's endpoint was closed.
  public static let endpointClosed: CloseCode = 0xFFFF_FF11
  /// The other side does not accept fast enough.
  public static let backlogFull: CloseCode = 0xFFFF_FF12
}

extension CloseCode: CustomStringConvertible {
  /// A few words such as "going away" where the protocol names the code, and else "code 7".
  public var description: String {
    switch self {
    case .violation: "protocol violation"
    case .keyRefused: "key refused"
    case .noCommonProtocol: "no common protocol"
    case .unknownCritical: "unknown critical item"
    case .goingAway: "going away"
    case .resources: "too many connections"
    case .exhausted: "too many forged datagrams"
    case .abandoned: "connection abandoned"
    case .endpointClosed: "endpoint closed"
    case .backlogFull: "backlog full"
    default: "code \(rawValue)"
    }
  }
}

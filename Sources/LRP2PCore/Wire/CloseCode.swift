/// Codes of CLOSE. Those below `firstOwn` are the applications'.
public enum CloseCode {
  /// From here on codes are the protocol's own: `Engine.close` refuses them.
  public static let firstOwn: UInt32 = 0xFFFF_FF00
  /// A segment that no honest peer sends (an ACK for what was never sent, data behind FIN).
  public static let violation: UInt32 = 0xFFFF_FF01
  /// The initiator's key was refused.
  public static let keyRefused: UInt32 = 0xFFFF_FF02
  /// No common version, or no common application protocol.
  public static let noCommonProtocol: UInt32 = 0xFFFF_FF03
  /// Something that must not be ignored, and is not known; the reason names it.
  public static let unknownCritical: UInt32 = 0xFFFF_FF04
  /// The program, or its host, is about to end.
  public static let goingAway: UInt32 = 0xFFFF_FF05
  /// A limit is reached: of connections of a key, of a network, or of all.
  public static let resources: UInt32 = 0xFFFF_FF06
  /// Too many forged datagrams under one key.
  public static let exhausted: UInt32 = 0xFFFF_FF07
  /// The other side's program let go of its `Connection` without `close` and without `finish`, or its peer did not end its direction
  /// in time. (This code and the next two are used by `Endpoint`.)
  public static let abandoned: UInt32 = 0xFFFF_FF10
  /// The other side's endpoint was closed.
  public static let endpointClosed: UInt32 = 0xFFFF_FF11
  /// The other side does not accept fast enough.
  public static let backlogFull: UInt32 = 0xFFFF_FF12

  /// What a code means, in a few words, such as "going away"; `nil` of a program's own codes, and of those that are not known.
  public static func text(of code: UInt32) -> String? {
    switch code {
    case violation: "protocol violation"
    case keyRefused: "key refused"
    case noCommonProtocol: "no common protocol"
    case unknownCritical: "unknown critical item"
    case goingAway: "going away"
    case resources: "too many connections"
    case exhausted: "too many forged datagrams"
    case abandoned: "connection abandoned"
    case endpointClosed: "endpoint closed"
    case backlogFull: "backlog full"
    default: nil
    }
  }
}

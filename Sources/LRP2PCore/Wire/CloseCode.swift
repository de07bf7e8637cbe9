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
}

// SPDX-License-Identifier: MIT
/// Something in an authentic segment or handshake message that must not be ignored and is not known here: the connection ends, and
/// the peer is told what it was (docs/protocol.md, section 9).
package enum UnknownCritical: BitwiseCopyable, Equatable, Sendable {
  case flag(UInt8)
  case option(UInt8)
  case control(UInt16)
  case parameter(UInt16)

  /// The reason of CLOSE.
  package var text: String {
    switch self {
    case .flag(let flag): "flag \(flag)"
    case .option(let type): "option \(type)"
    case .control(let kind): "control 0x" + String(kind, radix: 16)
    case .parameter(let type): "parameter 0x" + String(type, radix: 16)
    }
  }
}

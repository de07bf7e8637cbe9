// SPDX-License-Identifier: MIT
extension CloseReason: CustomStringConvertible {
  /// A few words. A code of the protocol is named.
  public var description: String {
    switch self {
    case .finished: "finished"
    case .local(let code): "by this side, \(code)"
    case .remote(let code, let reason): "by the peer, \(code)" + (reason.isEmpty ? "" : ", \(reason)")
    case .reset: "the peer has lost the connection: it was restarted"
    case .handshakeTimeout: "the peer does not answer, or refuses this side's key"
    case .unreachable(let fault): "the peer cannot be reached: \(fault)"
    case .idleTimeout: "the peer has gone silent"
    case .unreadTimeout: "what had come before the end was not read in time"
    case .keyRefused: "the peer has another key than expected"
    case .handshakeFailed: "no common version or cipher"
    case .noCommonProtocol: "no common application protocol or version"
    case .protocolViolation: "the peer broke the protocol"
    case .unsupported: "the peer uses something that this version does not know"
    case .keyExhausted: "too many forged datagrams"
    case .sequenceExhausted: "the peer cannot number more data in one connection"
    }
  }
}

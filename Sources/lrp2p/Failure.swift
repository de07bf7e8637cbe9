import LRP2P

/// What ends a command: one line, and exit status 1.
struct Failure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }

  init(_ error: IdentityError) { description = "\(error)" }
  init(_ error: ReactorError) { description = "\(error)" }
  init(_ error: SystemError) { description = "\(error)" }
  init(_ error: Resolver.Failure) { description = "\(error)" }

  init(_ reason: CloseReason, of peer: String) {
    description =
      switch reason {
      case .finished: "\(peer) ended the connection too early"
      case .local(let code): "connection with \(peer) closed (code \(code))"
      case .remote(CloseCode.keyRefused, _): "\(peer) refuses this key"
      case .remote(CloseCode.resources, _): "\(peer) takes no more connections of this key or network"
      case .remote(let code, let reason):
        reason.isEmpty ? "\(peer) closed the connection (code \(code))" : "\(peer): \(reason)"
      case .reset: "\(peer) has lost the connection: it was started anew"
      case .handshakeTimeout: "\(peer) does not answer, or refuses this key"
      case .idleTimeout: "connection with \(peer) timed out"
      case .unreadTimeout: "what \(peer) had sent was not read in time"
      case .keyRefused: "\(peer) has another key than the one given with --peer"
      case .handshakeFailed: "\(peer) speaks no common version or cipher"
      case .noCommonProtocol: "\(peer) speaks no common application protocol or version"
      case .protocolViolation: "\(peer) broke the protocol"
      case .unsupported: "\(peer) uses something that this version does not know"
      case .keyExhausted: "too many forged datagrams from \(peer)"
      case .sequenceExhausted: "\(peer) cannot number more data in one connection"
      }
  }
}

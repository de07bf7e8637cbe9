// SPDX-License-Identifier: MIT
import LRP2PCore

/// How a connection that was dialled has failed, for people and for scripts. The table is in docs/errors.md.
package struct DialEnd {
  /// One line.
  package let text: String
  /// The exit status of the tool: its own for each way in which a dial can fail, 1 for what comes after it.
  package let status: Int32

  /// - Parameters:
  ///   - peer: as the user has named it.
  ///   - wasAnswered: whether the handshake had got as far as its answer.
  package init(_ reason: CloseReason, of peer: String, wasAnswered: Bool) {
    let (text, status): (String, Int32) =
      switch reason {
      case .handshakeTimeout:
        wasAnswered
          ? ("\(peer) has answered and then fallen silent: it may have refused this key", 24)
          : ("\(peer) does not answer", 10)
      case .unreachable(let fault): (Self.text(fault, peer), Self.status(fault))
      case .keyRefused: ("\(peer) has another key than the one given with --peer", 19)
      case .remote(.keyRefused, _): ("\(peer) refuses this key", 20)
      case .remote(.resources, _): ("\(peer) takes no more connections of this key or network", 21)
      case .noCommonProtocol: ("\(peer) speaks no common application protocol or version", 22)
      case .handshakeFailed: ("\(peer) speaks no common version or cipher", 23)
      case .finished: ("\(peer) ended the connection too early", 1)
      case .local(let code): ("connection with \(peer) closed (\(code))", 1)
      case .remote(let code, let reason):
        (reason.isEmpty ? "\(peer) closed the connection (\(code))" : "\(peer): \(reason)", 1)
      case .reset: ("\(peer) has lost the connection: it was started anew", 1)
      case .idleTimeout: ("connection with \(peer) timed out", 1)
      case .unreadTimeout: ("what \(peer) had sent was not read in time", 1)
      case .protocolViolation: ("\(peer) broke the protocol", 1)
      case .unsupported: ("\(peer) uses something that this version does not know", 1)
      case .keyExhausted: ("too many forged datagrams from \(peer)", 1)
      case .sequenceExhausted: ("\(peer) cannot number more data in one connection", 1)
      }
    self.text = text
    self.status = status
  }

  private static func text(_ fault: DialFault, _ peer: String) -> String {
    switch fault {
    case .portUnreachable: "nobody listens on \(peer)"
    case .hostUnreachable: "the host of \(peer) cannot be reached"
    case .noRoute: "there is no route to \(peer)"
    case .notPermitted: "\(peer) is forbidden by a firewall or a route"
    case .tooLarge: "the path to \(peer) carries no datagrams of 1200 bytes"
    case .ownAddress: "\(peer) is this end's own address"
    case .badPort: "\(peer): port 0 cannot be dialled"
    case .refusedByKernel: "the kernel sends nothing to \(peer)"
    }
  }

  private static func status(_ fault: DialFault) -> Int32 {
    switch fault {
    case .portUnreachable: 11
    case .hostUnreachable: 12
    case .noRoute: 13
    case .notPermitted: 14
    case .tooLarge: 15
    case .ownAddress: 16
    case .badPort: 17
    case .refusedByKernel: 18
    }
  }
}

// SPDX-License-Identifier: MIT
import LRP2PCore

/// The handler of a crowd that is only there.
struct PresenceCaller: CrowdHandler, ReceivingHandler {
  var presence = CrowdPresence()
  /// Whether each peer asks for an answer as soon as it is connected.
  let pings: Bool
  /// Answers to the PINGs of a sample.
  private(set) var sampled = 0

  init(pings: Bool) { self.pings = pings }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    presence.connected(peer)
    if pings || presence.established == 1 { engine.ping(peer, token: CrowdSignal.firstPing) }
  }

  mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine) {
    if token == CrowdSignal.sample { sampled += 1 } else { presence.answered(peer) }
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { presence.closed(peer, reason) }
}

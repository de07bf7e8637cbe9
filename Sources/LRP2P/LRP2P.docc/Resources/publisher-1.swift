import LRP2PCore

/// Sends each message to all subscribers.
struct Publisher: WritingHandler {
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}

  /// A subscriber has nothing to say. What it sends is dropped, and costs no memory.
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
}

import LRP2PCore

/// Sends each message to all subscribers.
struct Publisher: WritingHandler {
  /// A subscriber has nothing to say. What it sends is dropped, and costs no memory.
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
}

import LRP2PCore

/// What is known of a subscriber.
struct Subscriber {}

/// Sends each message to all subscribers.
struct Publisher: WritingHandler {
  private var subscribers = PeerColumn<Subscriber>()

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    subscribers[peer] = Subscriber()
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    subscribers[peer] = nil
  }

  /// A subscriber has nothing to say. What it sends is dropped, and costs no memory.
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

  mutating func finished(_ peer: Peer, engine: inout Engine) { engine.finish(peer) }
}

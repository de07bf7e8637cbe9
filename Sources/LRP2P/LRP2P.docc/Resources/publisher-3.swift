import LRP2PCore

/// What is known of a subscriber.
struct Subscriber {}

/// Sends each message to all subscribers.
struct Publisher: WritingHandler {
  static let messageBytes = 1024
  /// Between two messages.
  let pause: Nanoseconds
  private var subscribers = PeerColumn<Subscriber>()
  private var published = 0

  init(pause: Nanoseconds) { self.pause = pause }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    subscribers[peer] = Subscriber()
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    subscribers[peer] = nil
  }

  /// A subscriber has nothing to say. What it sends is dropped, and costs no memory.
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

  mutating func finished(_ peer: Peer, engine: inout Engine) { engine.finish(peer) }

  mutating func timerFired(token: UInt64, engine: inout Engine) {
    publish(message(), engine: &engine)
    engine.setTimer(at: engine.now + pause, token: 0)
  }

  /// A number, and filling.
  private mutating func message() -> [UInt8] {
    published += 1
    var text = "\(published) "
    text += String(repeating: ".", count: Self.messageBytes - 1 - text.utf8.count) + "\n"
    return Array(text.utf8)
  }

  private mutating func publish(_ message: [UInt8], engine: inout Engine) {
    for peer in subscribers.peers { engine.write(peer, message) }
  }
}

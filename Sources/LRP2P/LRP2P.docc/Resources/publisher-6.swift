import LRP2PCore

/// What a subscriber has not been given yet.
struct Subscriber {
  /// The rest of a message of which the send buffer has taken a part.
  var rest: [UInt8] = []
  /// Since when the send buffer is full; nil if there is room.
  var fullSince: Instant?
  var missed = 0
  /// It has said all that it has to say, and gets no more than what has begun.
  var isEnding = false
}

/// Sends each message to all subscribers. One that does not keep up misses messages, and after a while its place.
struct Publisher: WritingHandler {
  static let messageBytes = 1024
  /// How long the send buffer of a subscriber may be full.
  let patience: Nanoseconds
  /// Between two messages.
  let pause: Nanoseconds
  private var subscribers = PeerColumn<Subscriber>()
  private var published = 0

  init(patience: Nanoseconds, pause: Nanoseconds) {
    self.patience = patience
    self.pause = pause
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    subscribers[peer] = Subscriber()
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    guard let subscriber = subscribers.removeValue(for: peer) else { return }
    if subscriber.missed > 0 { print("a subscriber missed \(subscriber.missed) messages and left: \(reason)") }
  }

  /// A subscriber has nothing to say. What it sends is dropped, and costs no memory.
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

  /// It leaves. Half of a message would be no message: its rest goes first.
  mutating func finished(_ peer: Peer, engine: inout Engine) {
    subscribers[peer]?.isEnding = true
    if subscribers[peer]?.rest.isEmpty ?? true { engine.finish(peer) }
  }

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
    for peer in subscribers.peers {
      guard let subscriber = subscribers[peer], !subscriber.isEnding else { continue }
      if let since = subscriber.fullSince {
        subscribers[peer]?.missed += 1
        if engine.now - since > patience { engine.close(peer, code: 1, reason: "too slow") }
      } else {
        send(message, to: peer, engine: &engine)
      }
    }
  }

  /// Gives bytes to the send buffer, and keeps what it does not take: half of a message would be no message.
  private mutating func send(_ bytes: [UInt8], to peer: Peer, engine: inout Engine) {
    guard case .full(let accepted) = engine.write(peer, bytes) else { return }
    subscribers[peer]?.rest = Array(bytes.dropFirst(accepted))
    subscribers[peer]?.fullSince = engine.now
  }

  /// There is room again: first what was left of the last message.
  mutating func writable(_ peer: Peer, engine: inout Engine) {
    guard let subscriber = subscribers[peer] else { return }
    subscribers[peer]?.rest = []
    subscribers[peer]?.fullSince = nil
    if !subscriber.rest.isEmpty { send(subscriber.rest, to: peer, engine: &engine) }
    if subscriber.isEnding, subscribers[peer]?.rest.isEmpty ?? true { engine.finish(peer) }
  }
}

/// Where a connection stands. Every change goes through `after`, so that a test can print the whole table.
package enum Phase: UInt8, BitwiseCopyable, CaseIterable, Sendable {
  /// The slot is in nobody's use.
  case free
  /// Message 1 is sent (or about to be); waits for message 2.
  case dialling
  /// Message 2 is sent; waits for message 3. The user does not know of it.
  case answering
  /// Keys are agreed; data flows.
  case established
  /// A later attempt of the same dial has won: the id stands for that one's.
  case forwarding
  /// Over for the user; the slot still answers what is on its way.
  case lingering

  package enum Event: UInt8, CaseIterable, Sendable {
    case dial
    case message1
    /// Message 2 is authentic and its key accepted.
    case message2
    /// Message 3 is authentic and its key accepted.
    case message3
    /// The key or the parameters were refused.
    case refused
    /// The handshake or the peer has gone silent, or a newer handshake took its place.
    case abandoned
    /// FIN both ways, CLOSE from either side, a violation, or the idle timeout.
    case closed
    case lingered
    /// Message 2 has come for a later attempt of the dial.
    case overtaken
  }

  /// The phase after `event`; `nil` when the event cannot happen here.
  package func after(_ event: Event) -> Phase? {
    switch (self, event) {
    case (.free, .dial): .dialling
    case (.free, .message1): .answering
    case (.dialling, .message2): .established
    case (.dialling, .refused), (.dialling, .abandoned), (.dialling, .closed): .lingering
    case (.answering, .message3): .established
    case (.answering, .refused), (.answering, .abandoned), (.answering, .closed): .free
    case (.established, .closed), (.established, .abandoned): .lingering
    case (.dialling, .overtaken): .forwarding
    case (.lingering, .lingered), (.forwarding, .lingered): .free
    case (.free, .message2), (.free, .message3), (.free, .refused), (.free, .abandoned), (.free, .closed),
      (.free, .lingered), (.dialling, .dial), (.dialling, .message1), (.dialling, .message3), (.dialling, .lingered),
      (.answering, .dial), (.answering, .message1), (.answering, .message2), (.answering, .lingered),
      (.established, .dial), (.established, .message1), (.established, .message2), (.established, .message3),
      (.established, .refused), (.established, .lingered), (.lingering, .dial), (.lingering, .message1),
      (.lingering, .message2), (.lingering, .message3), (.lingering, .refused), (.lingering, .abandoned),
      (.lingering, .closed), (.free, .overtaken), (.answering, .overtaken), (.established, .overtaken),
      (.lingering, .overtaken), (.forwarding, .dial), (.forwarding, .message1), (.forwarding, .message2),
      (.forwarding, .message3), (.forwarding, .refused), (.forwarding, .abandoned), (.forwarding, .closed),
      (.forwarding, .overtaken):
      nil
    }
  }
}

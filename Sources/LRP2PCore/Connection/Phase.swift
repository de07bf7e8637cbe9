// SPDX-License-Identifier: MIT
/// Where a connection stands. Every change goes through `after`, so that a test can print the whole table.
package enum Phase: UInt8, BitwiseCopyable, CaseIterable, Sendable {
  /// The slot is in nobody's use.
  case free
  /// Message 1 is sent (or about to be); waits for message 2.
  case dialling
  /// Message 2 is sent; waits for message 3. The user does not know of it.
  case halfOpen
  /// Keys are agreed; data flows.
  case established
  /// A later attempt of the same dial has won: the id stands for that one's.
  case superseded
  /// The user has closed it; CLOSE has not left. The user is told nothing more but `closed`.
  case closing
  /// Over, but the reader has not had all that was acknowledged: the user is told of the end behind that.
  case draining
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
    /// The user calls `close`.
    case close
    /// As `closed` or `abandoned`, while acknowledged data is unread.
    case endedUnread
    /// FIN both ways, CLOSE from either side, a violation, or the idle timeout.
    case closed
    case lingered
    /// Message 2 has come for a later attempt of the dial.
    case overtaken
  }

  /// Whether its user may be handed what has come.
  @inline(__always)
  package var delivers: Bool { self == .established || self == .draining }

  /// The phase after `event`; `nil` when the event cannot happen here.
  package func after(_ event: Event) -> Phase? {
    switch (self, event) {
    case (.free, .dial): .dialling
    case (.free, .message1): .halfOpen
    case (.dialling, .message2): .established
    case (.dialling, .refused), (.dialling, .abandoned), (.dialling, .closed): .lingering
    case (.halfOpen, .message3): .established
    case (.halfOpen, .refused), (.halfOpen, .abandoned), (.halfOpen, .closed): .free
    case (.established, .close), (.draining, .close): .closing
    case (.established, .endedUnread): .draining
    case (.established, .closed), (.established, .abandoned): .lingering
    case (.closing, .closed), (.closing, .abandoned): .lingering
    case (.draining, .closed), (.draining, .abandoned): .lingering
    case (.dialling, .overtaken): .superseded
    case (.lingering, .lingered), (.superseded, .lingered): .free
    default: nil
    }
  }
}

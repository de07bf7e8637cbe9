// SPDX-License-Identifier: MIT
import LRP2PCore

/// Whether a socket takes datagrams, as far as its last send has told.
package enum SendState: BitwiseCopyable {
  case open
  /// EAGAIN: an event will tell.
  case untilWritable
  /// ENOBUFS: the socket is writable all along, so only time helps.
  case until(Instant)

  /// What a send at `now` that got as far as `progress` has told.
  init(_ progress: SendProgress, now: Instant) {
    switch progress {
    case .done: self = .open
    case .blocked: self = .untilWritable
    case .later(let pause): self = .until(now &+ pause)
    }
  }

  package func canSend(now: Instant) -> Bool {
    switch self {
    case .open: true
    case .untilWritable: false
    case .until(let instant): now >= instant
    }
  }

  var isOpen: Bool {
    if case .open = self { return true }
    return false
  }

  var isUntilWritable: Bool {
    if case .untilWritable = self { return true }
    return false
  }

  /// When a send has a chance again without an event.
  package var deadline: Instant {
    if case .until(let instant) = self { return instant }
    return .never
  }
}
